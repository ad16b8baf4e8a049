/**
 * A scratch file for numbers that nobody looks at for a while.
 * @module
 */
import { ScratchFile } from "../engine/scratch_file.ts";

/** Arrays by name, in a file; each name has room for what was first written under it. */
export class ParkingFile {
  readonly #file = ScratchFile.open("sums");
  readonly #offsets = new Map<string, number>();
  #end = 0;

  /**
   * Keeps numbers in place of those of the same name.
   *
   * @param name Whose they are
   * @param numbers As many as the first time
   * @throws {ExportError} if the disk refuses
   */
  write(name: string, numbers: Float64Array<ArrayBuffer>): void {
    if (!this.#offsets.has(name)) {
      this.#offsets.set(name, this.#end);
      this.#end += numbers.byteLength;
    }
    this.#file.writeSync(this.#offsets.get(name)!, bytesOf(numbers));
  }

  /**
   * Gives numbers back.
   *
   * @param name Whose they are
   * @param target Where they go: as many as were written
   * @throws {ExportError} if the disk refuses
   */
  read(name: string, target: Float64Array<ArrayBuffer>): void {
    this.#file.readSync(this.#offsets.get(name)!, bytesOf(target));
  }

  /** Removes the file. */
  close(): void {
    this.#file.close();
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
