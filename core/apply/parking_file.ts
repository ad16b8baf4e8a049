/**
 * A scratch file for numbers that nobody looks at for a while.
 * @module
 */
import { join } from "@std/path";

/** Numbers are written at most so many bytes at a time. */
const PIECE_BYTES = 64 << 20;

/** Arrays by name, in a file; each name has room for what was first written under it. */
export class ParkingFile {
  readonly #folder: string;
  readonly #file: Deno.FsFile;
  readonly #offsets = new Map<string, number>();
  #end = 0;
  #isClosed = false;

  /** Makes the file; close it after use. */
  constructor() {
    this.#folder = Deno.makeTempDirSync({ prefix: "gprune-sums-" });
    this.#file = Deno.openSync(join(this.#folder, "sums"), {
      read: true,
      write: true,
      create: true,
    });
  }

  /**
   * Keeps numbers in place of those of the same name.
   *
   * @param name Whose they are
   * @param numbers As many as the first time
   */
  write(name: string, numbers: Float64Array<ArrayBuffer>): void {
    if (!this.#offsets.has(name)) {
      this.#offsets.set(name, this.#end);
      this.#end += numbers.byteLength;
    }
    this.#each(name, numbers, (piece) => this.#file.writeSync(piece));
  }

  /**
   * Gives numbers back.
   *
   * @param name Whose they are
   * @param target Where they go: as many as were written
   */
  read(name: string, target: Float64Array<ArrayBuffer>): void {
    this.#each(name, target, (piece) => this.#file.readSync(piece) ?? piece.length);
  }

  /** Removes the file. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#file.close();
    Deno.removeSync(this.#folder, { recursive: true });
  }

  #each(
    name: string,
    numbers: Float64Array<ArrayBuffer>,
    move: (piece: Uint8Array<ArrayBuffer>) => number,
  ): void {
    this.#file.seekSync(this.#offsets.get(name)!, Deno.SeekMode.Start);
    const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    for (let done = 0; done < bytes.length;) {
      done += move(bytes.subarray(done, done + PIECE_BYTES));
    }
  }
}
