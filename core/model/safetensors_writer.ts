/**
 * Writing safetensors files tensor by tensor, so that only one is in memory at a time.
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { CancelledError, ExportError } from "../errors.ts";
import { collectGarbage } from "../garbage.ts";
import { throwIfCancelled } from "../progress.ts";
import { bytesPerNumber, numberCount } from "./number_formats.ts";
import type { DataType } from "./types.ts";

/** The most bytes that go to the disk in one call. */
const CHUNK = 64 << 20;

/** Small tensors go to the disk together: a call costs more than they do, above all while the engine works. */
const GATHERED = 1 << 18;

/** The bytes of a tensor, whole or in pieces. */
export type TensorBytes = Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** A tensor to be written. */
export interface TensorEntry {
  /** Its name in the file. */
  readonly name: string;
  /** How its numbers are stored. */
  readonly dataType: DataType;
  /** Sizes of its axes, outermost first. */
  readonly shape: readonly number[];
  /** Makes its bytes; called once, when its turn has come. */
  readonly bytes: () => TensorBytes | Promise<TensorBytes>;
}

/** Options of {@linkcode writeSafetensors}. */
export interface WriteSafetensorsOptions {
  /** Words for `__metadata__`; `{ format: "pt" }`, which transformers asks for, if absent. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Whether the file is hashed, which takes about as long as writing it. Default true. */
  readonly hash?: boolean;
  /** Bytes before the first tensor, at least: the header is filled up with spaces. */
  readonly leastStart?: number;
  /** Cancels the writing. */
  readonly signal?: AbortSignal;
  /** Called after every tensor, with how many there are in all. */
  readonly onTensor?: (name: string, done: number, total: number) => void;
}

/** A file that was written. */
export interface WrittenFile {
  /** Its size in bytes. */
  readonly bytes: number;
  /** Its SHA-256 as hexadecimal digits; empty where it was not hashed. */
  readonly sha256: string;
}

/**
 * Writes a safetensors file. The header comes from names, types and shapes, so tensors are made one at a time. A file
 * that could not be finished is removed.
 *
 * @param path The file; replaced if it is there
 * @param entries The tensors in the order in which they are written
 * @param options Metadata, cancellation
 * @returns Size and hash of the file
 * @throws {ExportError} if a name stands twice, a tensor's bytes do not fit its shape, or the disk refuses
 * @throws {CancelledError} if the signal is aborted
 *
 * @example
 * ```ts
 * import { encode, writeSafetensors } from "./safetensors.ts";
 * import { assertEquals } from "@std/assert";
 * const path = await Deno.makeTempFile();
 * const bytes = () => encode(new Float32Array([1, 2, 3]), "BF16");
 * const written = await writeSafetensors(path, [{ name: "x", dataType: "BF16", shape: [3], bytes }]);
 * assertEquals(written.bytes, (await Deno.stat(path)).size);
 * await Deno.remove(path);
 * ```
 */
export async function writeSafetensors(
  path: string,
  entries: readonly TensorEntry[],
  options: WriteSafetensorsOptions = {},
): Promise<WrittenFile> {
  const { metadata = { format: "pt" }, leastStart } = options;
  const { header } = layOutSafetensors(path, entries, metadata, leastStart);
  throwIfCancelled(options.signal);
  const file = await openForWriting(path);
  try {
    const sink = new Sink(file, options.hash ?? true);
    await sink.write(header);
    for (const [index, entry] of entries.entries()) {
      await writeEntry(sink, entry, options.signal);
      collectGarbage();
      options.onTensor?.(entry.name, index + 1, entries.length);
    }
    const written = await sink.finish();
    file.close();
    return written;
  } catch (error) {
    file.close();
    await Deno.remove(path).catch(() => undefined);
    throw asExportError(path, error);
  }
}

/** Where everything lies in a safetensors file. */
export interface SafetensorsLayout {
  /** All bytes before the first tensor. */
  readonly header: Uint8Array;
  /** Where each tensor begins in the file, by name. */
  readonly offsets: ReadonlyMap<string, number>;
  /** Bytes of the whole file. */
  readonly fileBytes: number;
}

/**
 * Writes what is missing of a safetensors file, some of whose tensors lie in their places already.
 *
 * @param path The file; made if it is missing
 * @param entries All tensors, in their order
 * @param layout Where they lie, from {@linkcode layOutSafetensors}
 * @param isThere Whether a tensor is in its place
 * @throws {ExportError} if a tensor's bytes do not fit its shape, or the disk refuses
 */
export async function completeSafetensors(
  path: string,
  entries: readonly TensorEntry[],
  { header, offsets, fileBytes }: SafetensorsLayout,
  isThere: (name: string) => boolean,
): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true, create: true });
    await file.truncate(fileBytes);
    const sink = new Sink(file, false);
    await sink.write(header);
    for (const entry of entries.filter(({ name }) => !isThere(name))) {
      await sink.moveTo(offsets.get(entry.name)!);
      await writeEntry(sink, entry);
    }
    await sink.finish();
  } catch (error) {
    throw asExportError(path, error);
  }
}

async function openForWriting(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { write: true, create: true, truncate: true });
  } catch (error) {
    throw asExportError(path, error);
  }
}

/** A file that counts and hashes what goes into it. */
class Sink {
  readonly #file: Deno.FsFile;
  readonly #hash: Hash | undefined;
  readonly #gathered = new Uint8Array(GATHERED);
  #waiting = 0;
  #bytes = 0;

  constructor(file: Deno.FsFile, isHashed: boolean) {
    this.#file = file;
    this.#hash = isHashed ? createHash("sha256") : undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hash?.update(bytes);
    if (this.#waiting + bytes.length > GATHERED) await this.#flush();
    if (bytes.length > GATHERED) await this.#put(bytes);
    else {
      this.#gathered.set(bytes, this.#waiting);
      this.#waiting += bytes.length;
    }
    this.#bytes += bytes.length;
  }

  /** Goes on at another place of the file. */
  async moveTo(offset: number): Promise<void> {
    const here = this.#file.seekSync(0, Deno.SeekMode.Current) + this.#waiting;
    if (here === offset) return;
    await this.#flush();
    this.#file.seekSync(offset, Deno.SeekMode.Start);
  }

  async finish(): Promise<WrittenFile> {
    await this.#flush();
    return { bytes: this.#bytes, sha256: this.#hash?.digest("hex") ?? "" };
  }

  async #flush(): Promise<void> {
    const waiting = this.#gathered.subarray(0, this.#waiting);
    this.#waiting = 0;
    await this.#put(waiting);
  }

  async #put(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += await this.#file.write(bytes.subarray(done, done + CHUNK));
    }
  }
}

async function writeEntry(sink: Sink, entry: TensorEntry, signal?: AbortSignal): Promise<void> {
  throwIfCancelled(signal);
  const wanted = byteLength(entry);
  const made = await entry.bytes();
  let count = 0;
  for await (const bytes of made instanceof Uint8Array ? [made] : made) {
    throwIfCancelled(signal);
    count += bytes.length;
    if (count > wanted) break;
    await sink.write(bytes);
    collectGarbage();
  }
  if (count !== wanted) {
    const got = count > wanted ? "more" : `${count}`;
    throw new ExportError(
      `Cannot write tensor '${entry.name}': its shape takes ${wanted} bytes and ${got} were made`,
    );
  }
}

/**
 * Works out where everything will lie in a safetensors file.
 *
 * @param path The file, for messages
 * @param entries The tensors in their order; their bytes are not asked for
 * @param metadata Words for `__metadata__`
 * @param leastStart Bytes before the first tensor, at least
 * @returns The layout
 * @throws {ExportError} if a name stands twice
 */
export function layOutSafetensors(
  path: string,
  entries: readonly TensorEntry[],
  metadata: Readonly<Record<string, string>>,
  leastStart = 0,
): SafetensorsLayout {
  // No prototype: a tensor may be called `__proto__`.
  const header: Record<string, unknown> = Object.create(null);
  header["__metadata__"] = metadata;
  let position = 0;
  const begins = new Map<string, number>();
  for (const entry of entries) {
    if (begins.has(entry.name)) {
      throw new ExportError(`Cannot write '${path}': it would hold tensor '${entry.name}' twice`);
    }
    const end = position + byteLength(entry);
    header[entry.name] = {
      dtype: entry.dataType,
      shape: entry.shape,
      data_offsets: [position, end],
    };
    begins.set(entry.name, position);
    position = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Spaces at the end put the first tensor on a multiple of 8, so that readers can map it.
  const start = Math.ceil(Math.max(8 + json.length, leastStart) / 8) * 8;
  const bytes = new Uint8Array(start).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(start - 8), true);
  bytes.set(json, 8);
  const offsets = new Map([...begins].map(([name, begin]) => [name, start + begin]));
  return { header: bytes, offsets, fileBytes: start + position };
}

function byteLength(entry: TensorEntry): number {
  return numberCount(entry.shape) * bytesPerNumber(entry.dataType);
}

function asExportError(path: string, error: unknown): Error {
  if (error instanceof ExportError || error instanceof CancelledError) return error;
  if (!(error instanceof Error)) return new ExportError(`Cannot write '${path}': ${error}`);
  // Errors of whoever makes the bytes say what is wrong by themselves; the disk's are given the file's name.
  const ofDisk = error.name in Deno.errors || "code" in error;
  return ofDisk
    ? new ExportError(`Cannot write '${path}': ${diskReason(error)}`, { cause: error })
    : error;
}

function diskReason(error: Error): string {
  if ("code" in error && error.code === "ENOSPC") return "the disk is full";
  return error instanceof Deno.errors.NotFound ? "its folder does not exist" : error.message;
}
