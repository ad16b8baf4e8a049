/**
 * The residual stream of many windows between two blocks: in memory while it is small, in a scratch file past that.
 * @module
 */
import { MemoryBudget, ordinaryLimits } from "./memory.ts";
import { ScratchFile } from "./scratch_file.ts";
import { closeStream } from "./streams.ts";
import type { Stream } from "./types.ts";

/**
 * Batches of activations by number. Every batch is replaced in place as the blocks go by. A store of streams holds those
 * that stay on a graphics card too: they are the store's, which closes them when they are replaced.
 */
export class ActivationStore<Held extends Stream = Float32Array> {
  readonly #lengths: readonly number[];
  readonly #offsets: readonly number[];
  readonly #memory: (Stream | undefined)[];
  #file: ScratchFile | undefined;
  readonly #budget: MemoryBudget;
  /** Bytes that were taken from the budget. */
  #taken = 0;

  private constructor(lengths: readonly number[], budget: MemoryBudget) {
    this.#lengths = lengths;
    this.#budget = budget;
    let offset = 0;
    this.#offsets = lengths.map((length) => {
      const at = offset;
      offset += 4 * length;
      return at;
    });
    this.#memory = lengths.map(() => undefined);
  }

  /**
   * Makes a store.
   *
   * @param lengths Numbers in each batch
   * @param memory Where the memory comes from, or bytes that may stay in memory; past it, there is a scratch file
   * @returns An empty store; close it after use
   * @throws {ExportError} if there is no place for a scratch file
   */
  static open<Held extends Stream = Float32Array>(
    lengths: readonly number[],
    memory: MemoryBudget | number = ordinaryLimits.streamBytes,
  ): ActivationStore<Held> {
    const budget = typeof memory === "number"
      ? new MemoryBudget({ ...ordinaryLimits, streamBytes: memory })
      : memory;
    const store = new ActivationStore<Held>(lengths, budget);
    const bytes = lengths.reduce((sum, length) => sum + 4 * length, 0);
    if (budget.takeStream(bytes)) {
      store.#taken = bytes;
    } else {
      store.#file = ScratchFile.open("activations");
    }
    return store;
  }

  /**
   * Keeps a batch.
   *
   * @param index The batch's number
   * @param data Its activations
   * @throws {ExportError} if the disk refuses
   */
  async put(index: number, data: Held): Promise<void> {
    const before = this.#memory[index];
    if (before !== undefined && before !== data) closeStream(before);
    if (this.#file === undefined || !(data instanceof Float32Array)) {
      this.#memory[index] = data;
      return;
    }
    this.#memory[index] = undefined;
    const { buffer, byteOffset, byteLength } = data;
    await this.#file.write(this.#offsets[index], new Uint8Array(buffer, byteOffset, byteLength));
  }

  /**
   * Gives a batch back.
   *
   * @param index The batch's number
   * @returns Its activations, as they were put
   * @throws {ExportError} if the disk refuses
   */
  async get(index: number): Promise<Held> {
    const known = this.#memory[index];
    if (this.#file === undefined || known !== undefined) return known as Held;
    const data = new Float32Array(this.#lengths[index]);
    await this.#file.read(this.#offsets[index], new Uint8Array(data.buffer));
    // What comes from a file is in memory, which every kind of store may hold.
    return data as Stream as Held;
  }

  /**
   * Brings a batch that stays on a graphics card into the computer's memory, or the scratch file.
   *
   * @param index The batch's number
   * @throws {EngineError} if it is lost
   */
  async settle(index: number): Promise<void> {
    const held = this.#memory[index];
    if (held === undefined || held instanceof Float32Array) return;
    await this.put(index, await held.read() as Stream as Held);
  }

  /** Frees memory, the card and the scratch file. */
  close(): void {
    for (const data of this.#memory) if (data !== undefined) closeStream(data);
    this.#memory.fill(undefined);
    this.#budget.giveStream(this.#taken);
    this.#taken = 0;
    this.#file?.close();
    this.#file = undefined;
  }
}
