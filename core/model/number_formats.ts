/**
 * How numbers lie in tensor files: sizes of data types, and float32 from and to each of them. Bytes are little-endian,
 * as the safetensors format wants and as every processor that Deno runs on has it.
 * @module
 */
import type { DataType } from "./types.ts";

const BYTES: Readonly<Record<DataType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** The data types that weights may have. */
export type FloatDataType = "F64" | "F32" | "F16" | "BF16";

/**
 * How many bytes one number takes.
 *
 * @param dataType How it is stored
 * @returns Bytes per number
 */
export function bytesPerNumber(dataType: DataType): number {
  return BYTES[dataType];
}

/**
 * Whether a word names a data type that gprune knows.
 *
 * @param word The word, as it stands in a file
 * @returns True for `F32`, `BF16` and the others of {@linkcode DataType}
 */
export function isDataType(word: unknown): word is DataType {
  return typeof word === "string" && Object.hasOwn(BYTES, word);
}

/**
 * Whether a data type holds floating-point numbers, and so can be read as float32.
 *
 * @param dataType How the numbers are stored
 * @returns True for `F64`, `F32`, `F16` and `BF16`
 */
export function isFloat(dataType: DataType): dataType is FloatDataType {
  return dataType === "F32" || dataType === "BF16" || dataType === "F16" || dataType === "F64";
}

/**
 * How many numbers a tensor of a shape holds.
 *
 * @param shape Sizes of its axes
 * @returns Their product; 1 for a scalar
 */
export function numberCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Turns stored numbers into float32, into a place that is there already.
 *
 * @param bytes The stored numbers; any alignment
 * @param dataType How they are stored
 * @param target Where they go: as many as there are in `bytes`
 */
export function decodeInto(
  bytes: Uint8Array,
  dataType: FloatDataType,
  target: Float32Array,
): void {
  const { buffer, byteOffset, byteLength } = bytes;
  const width = BYTES[dataType];
  if (byteOffset % width !== 0) return decodeInto(bytes.slice(), dataType, target);
  const count = byteLength / width;
  switch (dataType) {
    case "F32":
      target.set(new Float32Array(buffer, byteOffset, count));
      return;
    case "F64":
      target.set(new Float64Array(buffer, byteOffset, count));
      return;
    case "F16":
      target.set(new Float16Array(buffer, byteOffset, count));
      return;
    case "BF16":
      widen(new Uint16Array(buffer, byteOffset, count), target);
  }
}

/** bf16 to float32: its bits are the upper half. Eight at a time where they lie so, which is four times as fast. */
function widen(source: Uint16Array, target: Float32Array): void {
  const { buffer, byteOffset, length } = source;
  const bits = new Int32Array(target.buffer, target.byteOffset, length);
  let at = 0;
  if (byteOffset % 4 === 0) {
    const pairs = new Int32Array(buffer, byteOffset, length >> 1);
    for (let i = 0; i + 4 <= pairs.length; i += 4, at += 8) {
      const a = pairs[i], b = pairs[i + 1], c = pairs[i + 2], d = pairs[i + 3];
      bits[at] = a << 16;
      bits[at + 1] = a & 0xffff0000;
      bits[at + 2] = b << 16;
      bits[at + 3] = b & 0xffff0000;
      bits[at + 4] = c << 16;
      bits[at + 5] = c & 0xffff0000;
      bits[at + 6] = d << 16;
      bits[at + 7] = d & 0xffff0000;
    }
  }
  for (; at < length; at++) bits[at] = source[at] << 16;
}

/**
 * Turns stored numbers into float32.
 *
 * @param bytes The stored numbers; any alignment
 * @param dataType How they are stored
 * @returns The numbers; a float64 that float32 cannot hold is rounded
 *
 * @example
 * ```ts
 * import { decode, encode } from "./number_formats.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(decode(encode(new Float32Array([0.5, -2]), "BF16"), "BF16"), new Float32Array([0.5, -2]));
 * ```
 */
export function decode(bytes: Uint8Array, dataType: FloatDataType): Float32Array<ArrayBuffer> {
  const target = new Float32Array(bytes.byteLength / BYTES[dataType]);
  decodeInto(bytes, dataType, target);
  return target;
}

/**
 * Turns float32 into stored numbers, each rounded to the nearest one that the data type has (ties to even; what is too
 * large becomes infinite; NaN stays NaN).
 *
 * @param data The numbers
 * @param dataType How to store them
 * @returns Their bytes; for `F32` a view of `data` itself, not a copy
 */
export function encode(data: Float32Array, dataType: FloatDataType): Uint8Array {
  switch (dataType) {
    case "F32":
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    case "F64":
      return new Uint8Array(new Float64Array(data).buffer);
    case "F16":
      return new Uint8Array(new Float16Array(data).buffer);
    case "BF16":
      return encodeBrainFloat(data);
  }
}

function encodeBrainFloat(data: Float32Array): Uint8Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const target = new Uint16Array(data.length);
  for (let i = 0; i < target.length; i++) {
    const value = bits[i];
    // Rounding could carry a NaN's fraction over into the sign; a quiet NaN keeps its upper half instead.
    target[i] = (value & 0x7fffffff) > 0x7f800000
      ? (value >>> 16) | 0x40
      : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(target.buffer);
}
