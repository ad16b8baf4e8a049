/**
 * The residual stream of many windows between two blocks: in memory while it is small, in a scratch file past that.
 * @module
 */
import { join } from "@std/path";

/** Bytes that stay in memory; past this, windows go to a scratch file. */
export const activationMemoryBytes = 1024 * 1024 * 1024;

/** Batches of activations by number. Every batch is replaced in place as the blocks go by. */
export class ActivationStore {
  readonly #lengths: readonly number[];
  readonly #offsets: readonly number[];
  readonly #memory: (Float32Array | undefined)[];
  #file: Deno.FsFile | undefined;
  #folder: string | undefined;

  private constructor(lengths: readonly number[]) {
    this.#lengths = lengths;
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
   * @param limitBytes Bytes that may stay in memory
   * @returns An empty store; close it after use
   */
  static async open(
    lengths: readonly number[],
    limitBytes: number = activationMemoryBytes,
  ): Promise<ActivationStore> {
    const store = new ActivationStore(lengths);
    const bytes = lengths.reduce((sum, length) => sum + 4 * length, 0);
    if (bytes > limitBytes) {
      store.#folder = await Deno.makeTempDir({ prefix: "gprune-activations-" });
      store.#file = await Deno.open(join(store.#folder, "activations"), {
        read: true,
        write: true,
        create: true,
      });
    }
    return store;
  }

  /**
   * Keeps a batch.
   *
   * @param index The batch's number
   * @param data Its activations
   */
  async put(index: number, data: Float32Array): Promise<void> {
    if (this.#file === undefined) {
      this.#memory[index] = data;
      return;
    }
    await this.#file.seek(this.#offsets[index], Deno.SeekMode.Start);
    let bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    while (bytes.length > 0) bytes = bytes.subarray(await this.#file.write(bytes));
  }

  /**
   * Gives a batch back.
   *
   * @param index The batch's number
   * @returns Its activations, as they were put
   */
  async get(index: number): Promise<Float32Array> {
    if (this.#file === undefined) return this.#memory[index]!;
    await this.#file.seek(this.#offsets[index], Deno.SeekMode.Start);
    const data = new Float32Array(this.#lengths[index]);
    let bytes = new Uint8Array(data.buffer);
    while (bytes.length > 0) bytes = bytes.subarray(await this.#file.read(bytes) ?? bytes.length);
    return data;
  }

  /** Frees memory and the scratch file. */
  async close(): Promise<void> {
    this.#memory.fill(undefined);
    this.#file?.close();
    this.#file = undefined;
    if (this.#folder !== undefined) await Deno.remove(this.#folder, { recursive: true });
    this.#folder = undefined;
  }
}
