/**
 * The GGUF format, version 3: the kinds of value and of tensor that gprune writes and reads, and the header's bytes.
 * Everything is little-endian; lengths and offsets are 64 bits wide.
 *
 * The format is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
 * @module
 */

/** The four letters that a file starts with. */
export const GGUF_MAGIC = "GGUF";
/** The version that gprune writes. */
export const GGUF_VERSION = 3;
/** Every tensor starts at a multiple of so many bytes, counted from the start of the first one. */
export const GGUF_ALIGNMENT = 32;
/** Numbers in a quantized block, of both kinds that gprune writes. */
export const BLOCK_SIZE = 32;

/** How the numbers of a GGUF tensor are stored, in ggml's words. */
export type GgufTensorType = "F32" | "F16" | "Q8_0" | "Q4_0";

/** One kind of tensor: its number in the file, and how many bytes a run of numbers takes. */
interface TensorLayout {
  readonly code: number;
  readonly blockSize: number;
  readonly blockBytes: number;
}

const TENSOR_LAYOUTS: Readonly<Record<GgufTensorType, TensorLayout>> = {
  F32: { code: 0, blockSize: 1, blockBytes: 4 },
  F16: { code: 1, blockSize: 1, blockBytes: 2 },
  Q4_0: { code: 2, blockSize: BLOCK_SIZE, blockBytes: 2 + BLOCK_SIZE / 2 },
  Q8_0: { code: 8, blockSize: BLOCK_SIZE, blockBytes: 2 + BLOCK_SIZE },
};

/** Numbers of the kinds of value. */
export const VALUE_CODES = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;

/** The kinds of value that gprune writes. */
export type GgufScalarType = "uint32" | "int32" | "float32" | "bool" | "string";

/** A value with its kind; several values of one kind are an array. */
export interface GgufValue {
  /** The kind of the value, or of the array's elements. */
  readonly type: GgufScalarType;
  /** The value. */
  readonly value: GgufScalar | readonly GgufScalar[];
}

/** A value without its kind. */
export type GgufScalar = number | string | boolean;

/** Keys and values in the order in which they are written. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** What the header tells of a tensor. */
export interface GgufTensorInfo {
  /** Its name, such as `blk.0.attn_q.weight`. */
  readonly name: string;
  /** Sizes of its axes, outermost first (the file has them the other way round). */
  readonly shape: readonly number[];
  /** How its numbers are stored. */
  readonly type: GgufTensorType;
}

/**
 * How many bytes numbers take.
 *
 * @param type How they are stored
 * @param count How many there are; a multiple of the block size
 * @returns Bytes
 */
export function storedBytes(type: GgufTensorType, count: number): number {
  const { blockSize, blockBytes } = TENSOR_LAYOUTS[type];
  return count / blockSize * blockBytes;
}

/**
 * The kind of tensor that a number in a file stands for.
 *
 * @param code The number
 * @returns The kind; undefined if gprune does not read it
 */
export function tensorTypeOf(code: number): GgufTensorType | undefined {
  const names = Object.keys(TENSOR_LAYOUTS) as GgufTensorType[];
  return names.find((name) => TENSOR_LAYOUTS[name].code === code);
}

/**
 * Where the next tensor may start.
 *
 * @param offset Where the one before it ends
 * @returns The next multiple of {@linkcode GGUF_ALIGNMENT}
 */
export function aligned(offset: number): number {
  return Math.ceil(offset / GGUF_ALIGNMENT) * GGUF_ALIGNMENT;
}

/**
 * The bytes before the first tensor.
 *
 * @param metadata Keys and values
 * @param tensors The tensors in the order of their bytes
 * @returns The header, padded so that the first tensor may follow
 */
export function headerBytes(
  metadata: GgufMetadata,
  tensors: readonly GgufTensorInfo[],
): Uint8Array {
  const bytes = new ByteSink();
  bytes.text(GGUF_MAGIC);
  bytes.uint32(GGUF_VERSION);
  bytes.uint64(tensors.length);
  bytes.uint64(metadata.size);
  for (const [key, value] of metadata) {
    bytes.string(key);
    writeValue(bytes, value);
  }
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    bytes.string(name);
    bytes.uint32(shape.length);
    for (const size of shape.toReversed()) bytes.uint64(size);
    bytes.uint32(TENSOR_LAYOUTS[type].code);
    bytes.uint64(offset);
    const count = shape.reduce((product, size) => product * size, 1);
    offset = aligned(offset + storedBytes(type, count));
  }
  return bytes.padded();
}

function writeValue(bytes: ByteSink, { type, value }: GgufValue): void {
  if (!isList(value)) {
    bytes.uint32(VALUE_CODES[type]);
    return writeScalar(bytes, type, value);
  }
  bytes.uint32(VALUE_CODES.array);
  bytes.uint32(VALUE_CODES[type]);
  bytes.uint64(value.length);
  for (const each of value) writeScalar(bytes, type, each);
}

function isList(value: GgufValue["value"]): value is readonly GgufScalar[] {
  return Array.isArray(value);
}

function writeScalar(bytes: ByteSink, type: GgufScalarType, value: GgufScalar): void {
  switch (type) {
    case "uint32":
      return bytes.uint32(Number(value));
    case "int32":
      return bytes.int32(Number(value));
    case "float32":
      return bytes.float32(Number(value));
    case "bool":
      return bytes.byte(value ? 1 : 0);
    case "string":
      return bytes.string(String(value));
  }
}

/** Bytes that grow as they are written. */
class ByteSink {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  readonly #encoder = new TextEncoder();

  byte(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }

  uint32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  int32(value: number): void {
    const at = this.#room(4);
    this.#view.setInt32(at, value, true);
  }

  float32(value: number): void {
    const at = this.#room(4);
    this.#view.setFloat32(at, value, true);
  }

  uint64(value: number): void {
    const at = this.#room(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  text(text: string): void {
    const bytes = this.#encoder.encode(text);
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  string(text: string): void {
    const bytes = this.#encoder.encode(text);
    this.uint64(bytes.length);
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  padded(): Uint8Array {
    this.#room(aligned(this.#length) - this.#length);
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes room for more bytes; what {@linkcode #view} shows may change, so it is looked at afterwards. */
  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}
