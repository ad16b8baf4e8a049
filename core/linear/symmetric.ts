/**
 * Sums of symmetric matrices of which one half is kept: Gram matrices are the largest numbers that this program holds,
 * and of several sums at a time only one is ever needed whole.
 * @module
 */
import { discard } from "./discard.ts";
import { mirrorLower } from "./product.ts";

/** Adds up symmetric matrices in double precision; what lies above the diagonal is neither looked at nor kept. */
export class SymmetricSum {
  readonly #diagonal: Float64Array<ArrayBuffer>;
  /** Row after row, each up to the number before the diagonal. */
  readonly #below: Float64Array<ArrayBuffer>;

  private constructor(diagonal: Float64Array<ArrayBuffer>, below: Float64Array<ArrayBuffer>) {
    this.#diagonal = diagonal;
    this.#below = below;
  }

  /**
   * A sum of nothing.
   *
   * @param size Rows and columns
   * @returns Zeros
   */
  static zero(size: number): SymmetricSum {
    return new SymmetricSum(new Float64Array(size), new Float64Array(size * (size - 1) / 2));
  }

  /**
   * A sum of one matrix, in the matrix' own memory: half of it in double precision takes no more than all of it in single
   * precision. No number is added to zero, so that none loses its sign.
   *
   * @param square Symmetric, `[size, size]`, an array of its own; used up
   * @param size Its rows and columns
   * @returns The sum
   */
  static taking(square: Float32Array<ArrayBuffer>, size: number): SymmetricSum {
    const diagonal = Float64Array.from({ length: size }, (_, row) => square[row * (size + 1)]);
    const below = new Float64Array(square.buffer, 0, size * (size - 1) / 2);
    // A row's place ends before the row itself begins, so that no number is overwritten that is still to be read.
    for (let row = 1, to = 0; row < size; row++) {
      for (let at = row * size; at < row * size + row; at++) below[to++] = square[at];
    }
    return new SymmetricSum(diagonal, below);
  }

  /** Rows and columns. */
  get size(): number {
    return this.#diagonal.length;
  }

  /** The numbers themselves, to keep them elsewhere: the diagonal, and what lies below it row after row. */
  get numbers(): readonly Float64Array<ArrayBuffer>[] {
    return [this.#diagonal, this.#below];
  }

  /**
   * Adds a matrix.
   *
   * @param square Symmetric, `[size, size]`
   * @param factor What it is multiplied by
   */
  add(square: Float32Array | Float64Array, factor = 1): void {
    for (let row = 0, at = 0; row < this.size; row++, at += this.size + 1) {
      this.#diagonal[row] += factor * square[at];
    }
    addBelow(this.#below, square, this.size, factor);
  }

  /**
   * Adds another sum.
   *
   * @param other Of the same size
   * @param factor What it is multiplied by
   */
  addSum(other: SymmetricSum, factor: number): void {
    addAll(this.#diagonal, other.#diagonal, factor);
    addAll(this.#below, other.#below, factor);
  }

  /**
   * The sum of the diagonal.
   *
   * @returns The trace
   */
  trace(): number {
    return this.#diagonal.reduce((sum, value) => sum + value, 0);
  }

  /**
   * The whole matrix, in the memory that the sum had and as much again; the sum cannot be used afterwards.
   *
   * @param divisor What each number is divided by
   * @returns `[size, size]`
   */
  takeSquare(divisor = 1): Float64Array<ArrayBuffer> {
    const { size } = this;
    const count = this.#below.length;
    const square = new Float64Array(this.#below.buffer.transfer(8 * size ** 2));
    if (divisor !== 1) divideBy(square, count, divisor);
    // From the last row on, each goes to where nothing lies that is still to be moved.
    for (let row = size - 1, from = count; row >= 0; row--) {
      from -= row;
      square.copyWithin(row * size, from, from + row);
      square[row * (size + 1)] = this.#diagonal[row] / divisor;
    }
    mirrorLower(square, size);
    return square;
  }

  /**
   * The whole matrix in single precision: each number of {@linkcode SymmetricSum.takeSquare}, rounded. The sum stays.
   *
   * @param divisor What each number is divided by
   * @returns `[size, size]`
   */
  singleSquare(divisor = 1): Float32Array<ArrayBuffer> {
    const { size } = this;
    const square = new Float32Array(size ** 2);
    divideBelow(square, this.#below, size, divisor);
    for (let row = 0; row < size; row++) {
      square[row * (size + 1)] = this.#diagonal[row] / divisor;
    }
    mirrorLower(square, size);
    return square;
  }

  /** Frees the memory at once; the sum cannot be used afterwards. */
  discard(): void {
    // What took over a matrix' memory does not fill it to its end.
    if (!this.#below.buffer.detached) this.#below.buffer.transfer(0);
    discard(this.#diagonal);
  }
}

function addBelow(
  sum: Float64Array,
  square: Float32Array | Float64Array,
  size: number,
  factor: number,
): void {
  for (let row = 1, to = 0; row < size; row++) {
    const end = row * size + row;
    for (let at = row * size; at < end; at++) sum[to++] += factor * square[at];
  }
}

function addAll(sum: Float64Array, more: Float64Array, factor: number): void {
  for (let index = 0; index < sum.length; index++) sum[index] += factor * more[index];
}

function divideBy(numbers: Float64Array, count: number, divisor: number): void {
  for (let index = 0; index < count; index++) numbers[index] /= divisor;
}

function divideBelow(
  square: Float32Array,
  sum: Float64Array,
  size: number,
  divisor: number,
): void {
  for (let row = 1, from = 0; row < size; row++) {
    const end = row * size + row;
    for (let at = row * size; at < end; at++) square[at] = sum[from++] / divisor;
  }
}
