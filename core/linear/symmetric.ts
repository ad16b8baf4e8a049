/**
 * Sums of symmetric matrices of which one half is kept: Gram matrices are the largest numbers that this program holds,
 * and of several sums at a time only one is ever needed whole.
 * @module
 */
import { discard } from "./discard.ts";
import { mirrorLower } from "./product.ts";

/** Adds up symmetric matrices in double precision; what lies above the diagonal is neither looked at nor kept. */
export class SymmetricSum {
  readonly #size: number;
  /** Row after row, each up to the diagonal. */
  #numbers: Float64Array<ArrayBuffer>;

  /**
   * Starts at zero.
   *
   * @param size Rows and columns
   */
  constructor(size: number) {
    this.#size = size;
    this.#numbers = new Float64Array(size * (size + 1) / 2);
  }

  /**
   * Starts with a matrix.
   *
   * @param square Symmetric, `[size, size]`
   * @param size Its rows and columns
   * @returns The sum of it alone: no number is added to zero, so that none loses its sign
   */
  static from(square: Float32Array | Float64Array, size: number): SymmetricSum {
    const sum = new SymmetricSum(size);
    for (let row = 0, to = 0; row < size; to += ++row) {
      sum.#numbers.set(square.subarray(row * size, row * size + row + 1), to);
    }
    return sum;
  }

  /** Rows and columns. */
  get size(): number {
    return this.#size;
  }

  /** The numbers themselves, row after row, each up to the diagonal: for keeping them elsewhere. */
  get numbers(): Float64Array<ArrayBuffer> {
    return this.#numbers;
  }

  /**
   * Adds a matrix.
   *
   * @param square Symmetric, `[size, size]`
   * @param factor What it is multiplied by
   */
  add(square: Float32Array | Float64Array, factor = 1): void {
    addLower(this.#numbers, square, this.#size, factor);
  }

  /**
   * Adds another sum.
   *
   * @param other Of the same size
   * @param factor What it is multiplied by
   */
  addSum(other: SymmetricSum, factor: number): void {
    const [own, more] = [this.#numbers, other.#numbers];
    for (let index = 0; index < own.length; index++) own[index] += factor * more[index];
  }

  /**
   * The sum of the diagonal.
   *
   * @returns The trace
   */
  trace(): number {
    let trace = 0;
    for (let row = 0, at = 0; row < this.#size; row++, at += row + 1) trace += this.#numbers[at];
    return trace;
  }

  /**
   * The whole matrix, in the memory that the sum had and as much again; the sum cannot be used afterwards.
   *
   * @param divisor What each number is divided by
   * @returns `[size, size]`
   */
  takeSquare(divisor = 1): Float64Array<ArrayBuffer> {
    const [size, count] = [this.#size, this.#numbers.length];
    const square = new Float64Array(this.#numbers.buffer.transfer(8 * size ** 2));
    if (divisor !== 1) divideBy(square, count, divisor);
    // From the last row on, each goes to where nothing lies that is still to be moved.
    for (let row = size - 1, from = count; row >= 0; row--) {
      from -= row + 1;
      square.copyWithin(row * size, from, from + row + 1);
    }
    mirrorLower(square, size);
    return square;
  }

  /**
   * The whole matrix in single precision: each number of {@linkcode SymmetricSum.takeSquare}, rounded. The
   * sum stays.
   *
   * @param divisor What each number is divided by
   * @returns `[size, size]`
   */
  singleSquare(divisor = 1): Float32Array<ArrayBuffer> {
    const result = new Float32Array(this.#size ** 2);
    divideLower(result, this.#numbers, this.#size, divisor);
    mirrorLower(result, this.#size);
    return result;
  }

  /** Frees the memory at once; the sum cannot be used afterwards. */
  discard(): void {
    discard(this.#numbers);
  }
}

function addLower(
  sum: Float64Array,
  square: Float32Array | Float64Array,
  size: number,
  factor: number,
): void {
  for (let row = 0, to = 0; row < size; row++) {
    const end = row * size + row;
    for (let at = row * size; at <= end; at++) sum[to++] += factor * square[at];
  }
}

function divideBy(numbers: Float64Array, count: number, divisor: number): void {
  for (let index = 0; index < count; index++) numbers[index] /= divisor;
}

function divideLower(
  square: Float32Array,
  sum: Float64Array,
  size: number,
  divisor: number,
): void {
  for (let row = 0, from = 0; row < size; row++) {
    const end = row * size + row;
    for (let at = row * size; at <= end; at++) square[at] = sum[from++] / divisor;
  }
}
