/**
 * Safetensors files: their headers, read with every check that the format asks for. The numbers are read by
 * `tensor_reader.ts` and written by `safetensors_writer.ts`, which this module passes on.
 * @module
 */
import { ModelError } from "../errors.ts";
import { parseJson, repeatedKey, UnusableError } from "../json.ts";
import { bytesPerNumber, isDataType, numberCount } from "./number_formats.ts";
import type { TensorView } from "./types.ts";

export * from "./number_formats.ts";
export * from "./tensor_reader.ts";
export * from "./safetensors_writer.ts";

/**
 * The longest header that is read, in bytes: a hundred thousand tensors. The format allows three times as much, which
 * as values in memory would take a gigabyte.
 */
const LONGEST_HEADER = 32 << 20;

/** What stands in the header of a safetensors file. */
export interface SafetensorsHeader {
  /** The file's tensors in the order of their bytes. */
  readonly tensors: readonly TensorView[];
  /** The words that its writer left in `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Bytes of the whole file. */
  readonly fileBytes: number;
}

/**
 * Reads the header of a safetensors file and checks that it describes the file without holes or overlaps.
 *
 * @param path The file
 * @returns Where its tensors lie
 * @throws {ModelError} if the file cannot be read or breaks the format
 *
 * @example
 * ```ts
 * import { encode, readSafetensorsHeader, writeSafetensors } from "./safetensors.ts";
 * import { assertEquals } from "@std/assert";
 * const path = await Deno.makeTempFile();
 * const bytes = () => encode(new Float32Array(6), "F16");
 * await writeSafetensors(path, [{ name: "x", dataType: "F16", shape: [2, 3], bytes }]);
 * assertEquals((await readSafetensorsHeader(path)).tensors[0].shape, [2, 3]);
 * await Deno.remove(path);
 * ```
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  const { json, dataStart, fileBytes, realPath } = await readHeaderBytes(path);
  const text = headerText(json, path);
  const header = parseHeader(text, path);
  const metadata = checkMetadata(header["__metadata__"], path);
  const tensors = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => checkEntry({ name, entry, path, realPath, dataStart, fileBytes }))
    .sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  checkCover(tensors, { path, dataStart, fileBytes });
  return { tensors, metadata, fileBytes };
}

interface HeaderBytes {
  readonly json: Uint8Array;
  readonly dataStart: number;
  readonly fileBytes: number;
  readonly realPath: string;
}

async function readHeaderBytes(path: string): Promise<HeaderBytes> {
  let file: Deno.FsFile | undefined;
  try {
    const realPath = await Deno.realPath(path);
    // Asked before it is opened: opening a pipe waits for a writer.
    const { size: fileBytes, isFile } = await Deno.stat(realPath);
    if (!isFile) throw broken(path, "it is not a file");
    file = await Deno.open(realPath);
    if (fileBytes < 8) throw broken(path, `it has ${fileBytes} bytes, too few for a header`);
    const lengthBytes = readFully(file, 8);
    const length = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true));
    if (length > LONGEST_HEADER) {
      throw broken(
        path,
        `its header claims ${length} bytes, and gprune reads ${LONGEST_HEADER} at most`,
      );
    }
    if (8 + length > fileBytes) {
      throw broken(
        path,
        `its header of ${length} bytes goes past its end; the file is cut off or not safetensors`,
      );
    }
    return { json: readFully(file, length), dataStart: 8 + length, fileBytes, realPath };
  } catch (error) {
    if (error instanceof ModelError) throw error;
    const reason = error instanceof Deno.errors.NotFound ? "no such file" : messageOf(error);
    throw new ModelError(`Cannot read '${path}': ${reason}`, { cause: error });
  } finally {
    file?.close();
  }
}

function readFully(file: Deno.FsFile, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) throw new Deno.errors.UnexpectedEof("the file ended early");
    done += count;
  }
  return bytes;
}

function headerText(json: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
  } catch (error) {
    throw broken(path, "its header is not UTF-8 text", error);
  }
}

function parseHeader(text: string, path: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = parseJson(text);
  } catch (error) {
    const reason = error instanceof UnusableError
      ? error.message.replace(/^its JSON/, "its header")
      : "its header is not JSON";
    throw broken(path, reason, error);
  }
  if (!isRecord(header)) throw broken(path, "its header is not a JSON object");
  // JSON.parse silently keeps the last of two equal keys, so equal keys are looked for in the text itself.
  const repeated = repeatedKey(text);
  if (repeated !== undefined) throw broken(path, `its header has '${repeated}' twice`);
  return header;
}

function checkMetadata(metadata: unknown, path: string): Record<string, string> {
  if (metadata === undefined) return {};
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== "string")) {
    throw broken(path, "its '__metadata__' is not an object of strings");
  }
  return metadata as Record<string, string>;
}

interface EntryToCheck {
  readonly name: string;
  readonly entry: unknown;
  readonly path: string;
  readonly realPath: string;
  readonly dataStart: number;
  readonly fileBytes: number;
}

function checkEntry(
  { name, entry, path, realPath, dataStart, fileBytes }: EntryToCheck,
): TensorView {
  const wrong = (reason: string) =>
    new ModelError(`Cannot read tensor '${name}' of '${path}': ${reason}`);
  if (!isRecord(entry)) throw wrong("its header entry is not an object");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDataType(dtype)) throw wrong(`unknown data type ${show(dtype)}`);
  if (!isListOfSizes(shape)) throw wrong(`its shape is ${show(shape)}`);
  if (!isListOfSizes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw wrong(`its data_offsets are ${show(offsets)}`);
  }
  const [begin, end] = offsets;
  const wanted = numberCount(shape) * bytesPerNumber(dtype);
  if (wanted !== end - begin) {
    const sizes = `[${shape.join(", ")}] of ${dtype}`;
    throw wrong(`its shape ${sizes} takes ${wanted} bytes and the header gives it ${end - begin}`);
  }
  if (dataStart + end > fileBytes) {
    throw wrong(
      `it goes ${dataStart + end - fileBytes} bytes past the end of the file; the file is cut off`,
    );
  }
  const offset = dataStart + begin;
  return { name, dataType: dtype, shape, path: realPath, offset, byteLength: end - begin };
}

function checkCover(
  tensors: readonly TensorView[],
  { path, dataStart, fileBytes }: {
    readonly path: string;
    readonly dataStart: number;
    readonly fileBytes: number;
  },
): void {
  let position = dataStart;
  for (const { name, offset, byteLength } of tensors) {
    if (offset < position) {
      throw new ModelError(
        `Cannot read tensor '${name}' of '${path}': it overlaps the tensor before it`,
      );
    }
    if (offset > position) {
      throw broken(path, `${offset - position} bytes before tensor '${name}' belong to no tensor`);
    }
    position += byteLength;
  }
  if (position !== fileBytes) {
    throw broken(path, `its last ${fileBytes - position} bytes belong to no tensor`);
  }
}

function isListOfSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value of the header for an error message, cut where it is long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function broken(path: string, reason: string, cause?: unknown): ModelError {
  return new ModelError(`Cannot read '${path}': ${reason}`, { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
