/**
 * Gram matrices in files. They are symmetric and by far the most of what statistics hold, so that only what lies on and
 * below the diagonal is kept there; whoever needs one gets it whole.
 * @module
 */
import { discard } from "../linear/discard.ts";
import { mirrorLower } from "../linear/product.ts";
import { isView, readTensor } from "../model/tensor_reader.ts";
import type { Tensor } from "../model/types.ts";

/**
 * Numbers on and below the diagonal.
 *
 * @param channels Rows and columns, n
 * @returns n (n + 1) / 2
 */
export function halfLength(channels: number): number {
  return channels * (channels + 1) / 2;
}

/** Numbers of a piece, at most, where a row has no more. */
const PIECE = 2 << 20;

/**
 * What a file keeps of a Gram matrix.
 *
 * @param square Symmetric, `[n, n]`; it stays as it is
 * @param channels n
 * @returns What lies on and below the diagonal, row after row, n (n + 1) / 2 numbers in float32, in pieces of some rows
 */
export function* halfPieces(
  square: Float32Array,
  channels: number,
): Generator<Uint8Array<ArrayBuffer>> {
  for (let row = 0; row < channels;) {
    const first = halfLength(row);
    let end = row + 1;
    while (end < channels && halfLength(end + 1) - first <= PIECE) end++;
    const piece = new Float32Array(halfLength(end) - first);
    for (let to = 0; row < end; row++) {
      piece.set(square.subarray(row * channels, row * channels + row + 1), to);
      to += row + 1;
    }
    yield new Uint8Array(piece.buffer);
    discard(piece);
  }
}

/**
 * Reads a Gram matrix.
 *
 * @param gram `[n, n]`, or what {@linkcode halfPieces} gives of it
 * @returns The whole matrix, `[n, n]`; of one in memory its own array
 * @throws {ModelError} if its file cannot be read
 */
export async function readGram(gram: Tensor): Promise<Float32Array> {
  const numbers = await readTensor(gram);
  if (gram.shape.length === 2) return numbers;
  const own = isView(gram) ? numbers as Float32Array<ArrayBuffer> : numbers.slice();
  return squareOf(own, (Math.sqrt(8 * own.length + 1) - 1) / 2);
}

/** The whole matrix, in the memory that its half had and as much again; the half cannot be used afterwards. */
function squareOf(half: Float32Array<ArrayBuffer>, channels: number): Float32Array<ArrayBuffer> {
  const square = new Float32Array(half.buffer.transfer(4 * channels ** 2));
  // From the last row on, each goes to where nothing lies that is still to be moved.
  for (let row = channels - 1; row > 0; row--) {
    const from = halfLength(row);
    square.copyWithin(row * channels, from, from + row + 1);
  }
  mirrorLower(square, channels);
  return square;
}
