/**
 * Reading the header of a GGUF file: keys, values, and where its tensors lie.
 * @module
 */
import { ModelError } from "../../errors.ts";
import {
  aligned,
  GGUF_ALIGNMENT,
  GGUF_MAGIC,
  GGUF_VERSION,
  type GgufTensorInfo,
  storedBytes,
  tensorTypeOf,
  VALUE_CODES,
} from "./format.ts";

/** A value of a GGUF file; 64-bit numbers become plain numbers. */
export type GgufRead = number | string | boolean | readonly GgufRead[];

/** A tensor of a file. */
export interface GgufTensorPlace extends GgufTensorInfo {
  /** Where its first byte lies in the file. */
  readonly offset: number;
  /** How many bytes it takes. */
  readonly byteLength: number;
}

/** What stands in the header of a GGUF file. */
export interface GgufHeader {
  /** Values by key. */
  readonly metadata: ReadonlyMap<string, GgufRead>;
  /** The tensors by name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufTensorPlace>;
  /** Bytes of the whole file. */
  readonly fileBytes: number;
}

/** As in ggml. */
const MOST_AXES = 4;

/** Bytes that are read at first; more where the header is longer. */
const FIRST_READ = 4 << 20;

/**
 * Reads the header of a GGUF file.
 *
 * @param path The file
 * @returns Its keys and tensors
 * @throws {ModelError} if it cannot be read, is no GGUF file, is cut short, or holds kinds of numbers that gprune does
 * not write
 */
export async function readGgufHeader(path: string): Promise<GgufHeader> {
  let file: Deno.FsFile;
  try {
    // Asked before it is opened: opening a pipe waits for a writer.
    if (!(await Deno.stat(path)).isFile) throw cannotRead(path, "it is not a file");
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof ModelError) throw error;
    const reason = error instanceof Deno.errors.NotFound ? "no such file" : `${error}`;
    throw cannotRead(path, reason, error);
  }
  try {
    const { size } = await file.stat();
    for (let length = FIRST_READ;; length *= 4) {
      const bytes = await readStart(file, Math.min(length, size));
      try {
        return parseHeader(bytes, size, path);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        if (length >= size) throw cannotRead(path, "it is cut short", error);
      }
    }
  } finally {
    file.close();
  }
}

async function readStart(file: Deno.FsFile, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await file.seek(0, Deno.SeekMode.Start);
  for (let done = 0; done < length;) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return bytes;
}

function parseHeader(bytes: Uint8Array, fileBytes: number, path: string): GgufHeader {
  const source = new ByteSource(bytes);
  if (source.text(4) !== GGUF_MAGIC) throw cannotRead(path, "it is not a GGUF file");
  const version = source.number("uint32");
  if (version !== GGUF_VERSION) {
    throw cannotRead(
      path,
      `it has version ${version} of the format, and ${GGUF_VERSION} is wanted`,
    );
  }
  const tensorCount = source.number("uint64");
  const keyCount = source.number("uint64");
  const metadata = new Map<string, GgufRead>();
  for (let index = 0; index < keyCount; index++) {
    const key = source.string();
    metadata.set(key, source.value(source.number("uint32")));
  }
  const alignment = metadata.get("general.alignment") ?? GGUF_ALIGNMENT;
  if (alignment !== GGUF_ALIGNMENT) {
    throw cannotRead(path, `its alignment is ${alignment}, and ${GGUF_ALIGNMENT} is wanted`);
  }
  const places: GgufTensorPlace[] = [];
  for (let index = 0; index < tensorCount; index++) places.push(tensorPlace(source, path));
  const start = aligned(source.position);
  const tensors = new Map<string, GgufTensorPlace>();
  for (const place of places) {
    const offset = start + place.offset;
    if (offset + place.byteLength > fileBytes) throw cannotRead(path, "it is cut short");
    tensors.set(place.name, { ...place, offset });
  }
  return { metadata, tensors, fileBytes };
}

function tensorPlace(source: ByteSource, path: string): GgufTensorPlace {
  const name = source.string();
  const axes = source.number("uint32");
  if (axes > MOST_AXES) throw cannotRead(path, `tensor '${name}' has ${axes} axes`);
  const shape = Array.from({ length: axes }, () => source.number("uint64")).reverse();
  const code = source.number("uint32");
  const offset = source.number("uint64");
  const type = tensorTypeOf(code);
  if (type === undefined) {
    throw cannotRead(
      path,
      `tensor '${name}' has number format ${code} of ggml, and gprune reads F32, F16, Q8_0 and Q4_0`,
    );
  }
  const byteLength = storedBytes(type, shape.reduce((product, size) => product * size, 1));
  return { name, shape, type, offset, byteLength };
}

function cannotRead(path: string, reason: string, cause?: unknown): ModelError {
  return new ModelError(`Cannot read '${path}': ${reason}`, { cause });
}

type NumberType = Exclude<keyof typeof VALUE_CODES, "bool" | "string" | "array">;

/** Bytes that are read from front to back; throws a RangeError where they end. */
class ByteSource {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #decoder = new TextDecoder();
  position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  text(length: number): string {
    const at = this.#take(length);
    return this.#decoder.decode(this.#bytes.subarray(at, at + length));
  }

  string(): string {
    return this.text(this.number("uint64"));
  }

  number(type: NumberType): number {
    const { size, read } = NUMBERS[type];
    return read(this.#view, this.#take(size));
  }

  value(code: number, depth = 0): GgufRead {
    if (code === VALUE_CODES.string) return this.string();
    if (code === VALUE_CODES.bool) return this.number("uint8") !== 0;
    if (code === VALUE_CODES.array) {
      // No key has lists of lists; a file could nest them without end.
      if (depth > 1) throw new ModelError("Cannot read a list of lists of lists");
      const kind = this.number("uint32");
      const length = this.number("uint64");
      const values: GgufRead[] = [];
      for (let index = 0; index < length; index++) values.push(this.value(kind, depth + 1));
      return values;
    }
    const type = (Object.keys(NUMBERS) as NumberType[]).find((name) => VALUE_CODES[name] === code);
    if (type === undefined) throw new ModelError(`Cannot read a value of kind ${code}`);
    return this.number(type);
  }

  #take(length: number): number {
    const at = this.position;
    if (!(at + length <= this.#bytes.length)) throw new RangeError("the bytes end here");
    this.position += length;
    return at;
  }
}

interface NumberReader {
  readonly size: number;
  readonly read: (view: DataView, at: number) => number;
}

const NUMBERS: Readonly<Record<NumberType, NumberReader>> = {
  uint8: { size: 1, read: (view, at) => view.getUint8(at) },
  int8: { size: 1, read: (view, at) => view.getInt8(at) },
  uint16: { size: 2, read: (view, at) => view.getUint16(at, true) },
  int16: { size: 2, read: (view, at) => view.getInt16(at, true) },
  uint32: { size: 4, read: (view, at) => view.getUint32(at, true) },
  int32: { size: 4, read: (view, at) => view.getInt32(at, true) },
  float32: { size: 4, read: (view, at) => view.getFloat32(at, true) },
  uint64: { size: 8, read: (view, at) => Number(view.getBigUint64(at, true)) },
  int64: { size: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  float64: { size: 8, read: (view, at) => view.getFloat64(at, true) },
};
