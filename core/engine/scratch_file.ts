/**
 * Scratch files, for numbers that do not fit into memory. Where the system lets a file that is open lose its name, it has
 * none, so that nothing is left behind even by a process that is killed.
 * @module
 */
import { join } from "@std/path";
import { ExportError } from "../errors.ts";

/** What a scratch file needs of an open file. */
export type OpenFile = Pick<
  Deno.FsFile,
  "seekSync" | "write" | "writeSync" | "read" | "readSync" | "close"
>;

/** A file of one's own in the folder for temporary files (`TMPDIR`). Close it after use. */
export class ScratchFile {
  readonly #file: OpenFile;
  #folder: string | undefined;
  #isClosed = false;

  /**
   * Takes over a file that is open.
   *
   * @param file The file, for reading and writing
   * @param folder A folder to remove with it
   */
  constructor(file: OpenFile, folder?: string) {
    this.#file = file;
    this.#folder = folder;
  }

  /**
   * Makes a file.
   *
   * @param content What it is for, in one word
   * @returns The file, empty
   * @throws {ExportError} if there is no place for it
   */
  static open(content: string): ScratchFile {
    try {
      const folder = Deno.makeTempDirSync({ prefix: `gprune-${content}-` });
      const path = join(folder, content);
      const file = new ScratchFile(
        Deno.openSync(path, { read: true, write: true, create: true }),
        folder,
      );
      file.#loseName();
      return file;
    } catch (error) {
      throw scratchError(error);
    }
  }

  /**
   * Writes bytes, letting other work go on.
   *
   * @param offset Where they begin in the file
   * @param bytes The bytes; they stay as they are meanwhile
   * @throws {ExportError} if the disk refuses
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#move(offset, bytes, (rest) => this.#file.write(rest));
  }

  /**
   * Writes bytes at once.
   *
   * @param offset Where they begin in the file
   * @param bytes The bytes
   * @throws {ExportError} if the disk refuses
   */
  writeSync(offset: number, bytes: Uint8Array): void {
    this.#moveSync(offset, bytes, (rest) => this.#file.writeSync(rest));
  }

  /**
   * Reads bytes, letting other work go on.
   *
   * @param offset Where they begin in the file
   * @param target Where they go: as many as it holds
   * @throws {ExportError} if the disk refuses, or the file is shorter
   */
  async read(offset: number, target: Uint8Array): Promise<void> {
    await this.#move(offset, target, async (rest) => countOf(await this.#file.read(rest)));
  }

  /**
   * Reads bytes at once.
   *
   * @param offset Where they begin in the file
   * @param target Where they go: as many as it holds
   * @throws {ExportError} if the disk refuses, or the file is shorter
   */
  readSync(offset: number, target: Uint8Array): void {
    this.#moveSync(offset, target, (rest) => countOf(this.#file.readSync(rest)));
  }

  /** Removes the file. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#file.close();
    this.#loseName();
  }

  /** A call may move fewer bytes than it is given: the rest is given to another. */
  async #move(
    offset: number,
    bytes: Uint8Array,
    some: (rest: Uint8Array) => Promise<number>,
  ): Promise<void> {
    try {
      this.#file.seekSync(offset, Deno.SeekMode.Start);
      for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await some(rest));
    } catch (error) {
      throw scratchError(error);
    }
  }

  #moveSync(offset: number, bytes: Uint8Array, some: (rest: Uint8Array) => number): void {
    try {
      this.#file.seekSync(offset, Deno.SeekMode.Start);
      for (let rest = bytes; rest.length > 0;) rest = rest.subarray(some(rest));
    } catch (error) {
      throw scratchError(error);
    }
  }

  /** Windows refuses while the file is open: then it goes when it is closed. */
  #loseName(): void {
    if (this.#folder === undefined) return;
    try {
      Deno.removeSync(this.#folder, { recursive: true });
      this.#folder = undefined;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) this.#folder = undefined;
    }
  }
}

function countOf(read: number | null): number {
  if (read === null) throw new Error("it is shorter than what was written to it");
  return read;
}

function scratchError(cause: unknown): ExportError {
  const { code, message } = cause as { readonly code?: string; readonly message: string };
  const reason = code === "ENOSPC" ? "the disk is full" : message;
  return new ExportError(
    `Cannot use a scratch file: ${reason}; TMPDIR says in which folder, which may be another with more room`,
    { cause },
  );
}
