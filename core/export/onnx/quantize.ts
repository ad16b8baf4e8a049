/**
 * Rounding matrices to whole numbers: int8 with a scale for each output, and blocks of 4 or 8 bits.
 * @module
 */

/** Rows of a matrix in int8. */
export interface Int8Rows {
  /** `[rows, columns]` */
  readonly data: Int8Array;
  /** What each row's numbers are multiplied by, `[rows]`. */
  readonly scales: Float32Array;
}

/** Rows of a matrix in blocks. */
export interface BlockRows {
  /** `[rows, blocks, blockSize * bits / 8]`; of two 4-bit numbers in a byte, the first has the lower half. */
  readonly packed: Uint8Array;
  /** What each block's numbers, less the middle of the range, are multiplied by, `[rows, blocks]`. */
  readonly scales: Float32Array;
}

/** How a matrix is cut into blocks. */
export interface BlockLayout {
  /** Numbers in a row. */
  readonly columns: number;
  /** Numbers in a block; the last of a row is filled up with zeros. */
  readonly blockSize: number;
  /** Bits of a number. */
  readonly bits: 4 | 8;
}

/** The largest size of a number in int8, and of the sum of two neighbours, once rounded up. */
const INT8_LARGEST = 127;

/**
 * Rounds rows to int8, so that neither a number nor the sum of two neighbours, the first and second of a row, the third
 * and fourth and so on, goes past what products can take.
 *
 * Processors with AVX2 or AVX-512 but without VNNI multiply bytes from 0 to 255 by int8 and add two neighbouring
 * products in 16 bits, which end at 32,767: past a sum of 128 the result is cut off, and ONNX Runtime gives wrong
 * numbers without a word. Halving the range of all weights, as is usual, would prevent it too, and rounds twice as
 * coarsely; two neighbours at the end of their range are rare, so that this costs less.
 *
 * @param rows `[rows, columns]`
 * @param columns Numbers in a row
 * @returns Whole numbers and scales
 */
export function toInt8(rows: Float32Array, columns: number): Int8Rows {
  const count = rows.length / columns;
  const data = new Int8Array(rows.length);
  const scales = new Float32Array(count);
  for (let row = 0; row < count; row++) {
    const from = row * columns;
    scales[row] = largestWithNeighbour(rows, from, from + columns) / INT8_LARGEST;
    const inverse = scales[row] === 0 ? 0 : 1 / scales[row];
    for (let at = from; at < from + columns; at++) {
      const steps = Math.round(rows[at] * inverse);
      data[at] = Math.max(-INT8_LARGEST, Math.min(INT8_LARGEST, steps));
    }
  }
  return { data, scales };
}

function largestWithNeighbour(rows: Float32Array, from: number, to: number): number {
  let largest = 0;
  for (let at = from; at < to; at += 2) {
    const first = rows[at];
    const second = at + 1 < to ? rows[at + 1] : 0;
    largest = Math.max(largest, Math.abs(first), Math.abs(second), Math.abs(first + second));
  }
  return largest;
}

/**
 * Rounds rows block by block. With 4 bits, the number of largest size becomes -8, the end of the range that reaches
 * farther, and smaller and larger scales are tried: the one with the least squared error stays.
 *
 * @param rows `[rows, columns]`
 * @param layout Blocks and bits
 * @returns Whole numbers and scales
 */
export function toBlocks(rows: Float32Array, layout: BlockLayout): BlockRows {
  const { columns, blockSize, bits } = layout;
  const count = rows.length / columns;
  const blocks = Math.ceil(columns / blockSize);
  const bytes = blockSize * bits / 8;
  const packed = new Uint8Array(count * blocks * bytes);
  const scales = new Float32Array(count * blocks);
  for (let row = 0; row < count; row++) {
    for (let block = 0; block < blocks; block++) {
      const start = row * columns + block * blockSize;
      const end = Math.min(start + blockSize, (row + 1) * columns);
      const index = row * blocks + block;
      const scale = blockScale(rows, start, end, bits);
      scales[index] = scale;
      packBlock(rows, start, end, scale, bits, packed.subarray(index * bytes, (index + 1) * bytes));
    }
  }
  return { packed, scales };
}

/** Parts of the plain scale that are tried with 4 bits. */
const TRIED = [1, 0.95, 0.9, 0.85, 1.05];

function blockScale(rows: Float32Array, start: number, end: number, bits: 4 | 8): number {
  let largest = 0;
  for (let at = start; at < end; at++) {
    if (Math.abs(rows[at]) > Math.abs(largest)) largest = rows[at];
  }
  if (largest === 0) return 0;
  const plain = Math.fround(largest / -(2 ** (bits - 1)));
  if (bits === 8) return plain;
  let [best, least] = [plain, Infinity];
  for (const part of TRIED) {
    const scale = Math.fround(plain * part);
    const error = squaredError(rows, start, end, scale);
    if (error < least) [best, least] = [scale, error];
  }
  return best;
}

/** The middle of the range is added before rounding: for numbers from 0 on, cutting off is rounding down, and fast. */
function squaredError(rows: Float32Array, start: number, end: number, scale: number): number {
  const inverse = 1 / scale;
  let sum = 0;
  for (let at = start; at < end; at++) {
    const shifted = rows[at] * inverse + 8.5;
    const value = shifted <= 0 ? -8 : shifted >= 15 ? 7 : (shifted | 0) - 8;
    const error = rows[at] - value * scale;
    sum += error * error;
  }
  return sum;
}

function packBlock(
  rows: Float32Array,
  start: number,
  end: number,
  scale: number,
  bits: 4 | 8,
  target: Uint8Array,
): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  const middle = 2 ** (bits - 1);
  const top = 2 * middle - 1;
  // What fills up the last block stands for 0.
  target.fill(bits === 4 ? 0x88 : 0x80);
  for (let at = start; at < end; at++) {
    const shifted = rows[at] * inverse + middle + 0.5;
    const value = shifted <= 0 ? 0 : shifted >= top ? top : shifted | 0;
    const place = at - start;
    if (bits === 8) target[place] = value;
    else if (place % 2 === 0) target[place >> 1] = (target[place >> 1] & 0xf0) | value;
    else target[place >> 1] = (target[place >> 1] & 0x0f) | (value << 4);
  }
}
