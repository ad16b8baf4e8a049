/**
 * The numbers of GGUF tensors: float32 to ggml's blocks and back.
 *
 * `Q8_0` keeps 32 numbers as one float16 scale d and 32 signed bytes q: x ≈ d·q with d = max|x| / 127.
 * `Q4_0` keeps 32 numbers as d and 32 half-bytes q: x ≈ d·(q − 8), where d is an eighth of the number that is largest
 * in size, with its sign turned; number i is in the low half of byte i, number i + 16 in the high half.
 *
 * Scales are divided by in float32, before they are rounded to float16, as the reference implementation of ggml does.
 * @module
 */
import { ExportError } from "../../errors.ts";
import { decodeInto, encode } from "../../model/number_formats.ts";
import { BLOCK_SIZE, type GgufTensorType, storedBytes } from "./format.ts";

/** The largest number that float16 holds. */
const LARGEST_HALF = 65504;
const HALF_BLOCK = BLOCK_SIZE / 2;

/**
 * Turns numbers into the bytes of a tensor.
 *
 * @param data The numbers; for quantized types whole blocks of 32
 * @param type How to store them
 * @returns Their bytes
 * @throws {ExportError} if a number is not finite, or too large for the type
 *
 * @example
 * ```ts
 * import { fromBlocks, toBlocks } from "./number_blocks.ts";
 * import { assertEquals } from "@std/assert";
 * const numbers = Float32Array.from({ length: 32 }, (_, index) => index - 8);
 * assertEquals(toBlocks(numbers, "Q8_0").length, 34);
 * assertEquals(fromBlocks(toBlocks(numbers, "F16"), "F16"), numbers);
 * ```
 */
export function toBlocks(data: Float32Array, type: GgufTensorType): Uint8Array {
  requireFinite(data, type);
  switch (type) {
    case "F32":
      return encode(data, "F32");
    case "F16":
      return encode(data, "F16");
    case "Q8_0":
      return toBytes(data);
    case "Q4_0":
      return toHalfBytes(data);
  }
}

/**
 * Turns the bytes of a tensor into numbers.
 *
 * @param bytes Whole blocks
 * @param type How the numbers are stored
 * @returns The numbers
 */
export function fromBlocks(bytes: Uint8Array, type: GgufTensorType): Float32Array<ArrayBuffer> {
  const count = bytes.length / storedBytes(type, BLOCK_SIZE) * BLOCK_SIZE;
  const target = new Float32Array(count);
  switch (type) {
    case "F32":
    case "F16":
      decodeInto(bytes, type, target);
      return target;
    case "Q8_0":
      for (const { at, start, scale } of blocks(bytes, type)) {
        const q = new Int8Array(bytes.buffer, bytes.byteOffset + at + 2, BLOCK_SIZE);
        for (let i = 0; i < BLOCK_SIZE; i++) target[start + i] = scale * q[i];
      }
      return target;
    case "Q4_0":
      for (const { at, start, scale } of blocks(bytes, type)) {
        for (let i = 0; i < HALF_BLOCK; i++) {
          const pair = bytes[at + 2 + i];
          target[start + i] = scale * ((pair & 15) - 8);
          target[start + i + HALF_BLOCK] = scale * ((pair >> 4) - 8);
        }
      }
      return target;
  }
}

function toBytes(data: Float32Array): Uint8Array {
  const bytes = new Uint8Array(storedBytes("Q8_0", data.length));
  const view = new DataView(bytes.buffer);
  const q = new Int8Array(bytes.buffer);
  for (let start = 0, at = 0; start < data.length; start += BLOCK_SIZE, at += 2 + BLOCK_SIZE) {
    let largest = 0;
    for (let i = start; i < start + BLOCK_SIZE; i++) largest = Math.max(largest, Math.abs(data[i]));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setFloat16(at, scale, true);
    for (let i = 0; i < BLOCK_SIZE; i++) {
      q[at + 2 + i] = roundAwayFromZero(Math.fround(data[start + i] * inverse));
    }
  }
  return bytes;
}

function toHalfBytes(data: Float32Array): Uint8Array {
  const bytes = new Uint8Array(storedBytes("Q4_0", data.length));
  const view = new DataView(bytes.buffer);
  const step = 2 + HALF_BLOCK;
  for (let start = 0, at = 0; start < data.length; start += BLOCK_SIZE, at += step) {
    let largest = 0;
    for (let i = start; i < start + BLOCK_SIZE; i++) {
      // The first of several counts: only then is the largest size.
      if (Math.abs(data[i]) > Math.abs(largest)) largest = data[i];
    }
    const scale = Math.fround(largest / -8);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    // In double precision the product is exact, as with the fused operation that processors have.
    const quantized = (value: number) => Math.min(15, Math.trunc(value * inverse + 8.5));
    view.setFloat16(at, scale, true);
    for (let i = 0; i < HALF_BLOCK; i++) {
      const low = quantized(data[start + i]);
      const high = quantized(data[start + i + HALF_BLOCK]);
      bytes[at + 2 + i] = low | high << 4;
    }
  }
  return bytes;
}

/** JavaScript rounds −0.5 up, ggml away from zero. */
function roundAwayFromZero(value: number): number {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}

interface BlockPlace {
  /** Where the block starts in the bytes. */
  readonly at: number;
  /** The number of its first number. */
  readonly start: number;
  /** Its scale. */
  readonly scale: number;
}

function* blocks(bytes: Uint8Array, type: "Q8_0" | "Q4_0"): Generator<BlockPlace> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const step = storedBytes(type, BLOCK_SIZE);
  for (let at = 0, start = 0; at < bytes.length; at += step, start += BLOCK_SIZE) {
    yield { at, start, scale: view.getFloat16(at, true) };
  }
}

/** What a scale or a number of the type can be at most. */
const LARGEST: Readonly<Record<GgufTensorType, number>> = {
  F32: Infinity,
  F16: LARGEST_HALF,
  Q8_0: LARGEST_HALF * 127,
  Q4_0: LARGEST_HALF * 8,
};

function requireFinite(data: Float32Array, type: GgufTensorType): void {
  const limit = LARGEST[type];
  for (let i = 0; i < data.length; i++) {
    if (Math.abs(data[i]) <= limit && Number.isFinite(data[i])) continue;
    const problem = Number.isFinite(data[i])
      ? `${data[i].toPrecision(3)} is too large for ${type}`
      : `${data[i]} is not a finite number`;
    throw new ExportError(`Cannot write numbers as ${type}: ${problem}; check the model's weights`);
  }
}
