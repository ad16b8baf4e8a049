/**
 * Divisions by triangular matrices, in place, which cut them in half again and again.
 * @module
 */
import { discard } from "./discard.ts";
import type { Pace } from "./pace.ts";
import { type AddProduct, addProduct, type Block, part, whole } from "./product.ts";

/** Numbers of a large matrix that are copied at a time, at most. */
export const LARGEST_COPY = 1 << 22;
/** Columns that are not cut any further. */
export const BLOCK = 64;
/** Rows of a triangular matrix that are treated alike: the zeros of its corner beyond them are not multiplied. */
export const ROWS_ALIKE = 192;

/** How products are made, and what is called between them. */
export interface LinearWork {
  /** Called between pieces of work. */
  readonly pace?: Pace;
  /** Adds products to parts of matrices. Default: this program's own code. */
  readonly add?: AddProduct;
  /** Numbers of a factor that are copied at a time, at most. Default {@linkcode LARGEST_COPY}. */
  readonly largestCopy?: number;
}

/**
 * Where a range of columns is cut: where a block begins, at its middle or soon after.
 *
 * @param start Its first column, where a block begins
 * @param end The column after its last
 * @returns The first column of the second half
 */
export function middleOf(start: number, end: number): number {
  return start + BLOCK * Math.ceil((end - start) / (2 * BLOCK));
}

/** First row or column, and the one after the last. */
export type Range = readonly [number, number];

/** A lower triangular matrix L that others are divided by. Ranges of its columns begin and end where blocks do. */
export class Triangle {
  readonly #factor: Float64Array;
  readonly #size: number;
  readonly #add: AddProduct;
  readonly #pace: Pace | undefined;
  readonly #largestCopy: number;
  /** Inverses of the blocks on the diagonal, each made when it is first needed. */
  readonly #inverses = new Map<number, Float64Array>();

  /**
   * Looks at a matrix.
   *
   * @param factor L, `[size, size]`; of its columns only those need be there that are divided by
   * @param size Its rows and columns
   * @param work What makes products, and is called between them
   */
  constructor(factor: Float64Array, size: number, work: LinearWork) {
    const { add = addProduct, pace, largestCopy = LARGEST_COPY } = work;
    this.#largestCopy = largestCopy;
    this.#factor = factor;
    this.#size = size;
    this.#add = add;
    this.#pace = pace;
  }

  /**
   * Solves V Lᵀ = X in place: V₁ first, then X₂ ← X₂ − V₁ L₂₁ᵀ.
   *
   * @param x What V takes the place of
   * @param stride Its columns
   * @param rows Rows of it
   * @param columns Columns of it, and rows and columns of L
   * @throws {CancelledError} if the pace throws it
   */
  async divide(x: Float64Array, stride: number, rows: Range, [start, end]: Range): Promise<void> {
    if (end - start <= BLOCK) {
      return await this.#multiply(x, stride, rows, [start, end], this.#inverse(start, end));
    }
    const middle = middleOf(start, end);
    await this.divide(x, stride, rows, [start, middle]);
    const known = part(x, stride, rows, [start, middle]);
    const below = part(this.#factor, this.#size, [middle, end], [start, middle]);
    const rest = part(x, stride, rows, [middle, end]);
    await this.#add(rest, known, below, { factor: -1, pace: this.#pace });
    await this.divide(x, stride, rows, [middle, end]);
  }

  /**
   * Solves V L = X in place: V₂ first, then X₁ ← X₁ − V₂ L₂₁.
   *
   * @param x What V takes the place of
   * @param stride Its columns
   * @param rows Rows of it
   * @param columns Columns of it, and rows and columns of L
   * @throws {CancelledError} if the pace throws it
   */
  async divideTurned(
    x: Float64Array,
    stride: number,
    rows: Range,
    [start, end]: Range,
  ): Promise<void> {
    const width = end - start;
    if (width <= BLOCK) {
      const turned = transposedPart(this.#inverse(start, end), width, [0, width], [0, width]);
      return await this.#multiply(x, stride, rows, [start, end], turned);
    }
    const middle = middleOf(start, end);
    await this.divideTurned(x, stride, rows, [middle, end]);
    const known = part(x, stride, rows, [middle, end]);
    const atOnce = Math.max(BLOCK, Math.floor(this.#largestCopy / (end - middle)));
    for (let first = start; first < middle; first += atOnce) {
      const columns = [first, Math.min(first + atOnce, middle)] as const;
      const copy = transposedPart(this.#factor, this.#size, [middle, end], columns);
      const turned = whole(copy, columns[1] - first, end - middle);
      const rest = part(x, stride, rows, columns);
      await this.#add(rest, known, turned, { factor: -1, pace: this.#pace });
      discard(copy);
    }
    await this.divideTurned(x, stride, rows, [start, middle]);
  }

  /**
   * Puts U = L⁻ᵀ into an upper half: U₁₂ L₂₂ᵀ = −U₁₁ L₂₁ᵀ, since U Lᵀ = I.
   *
   * @param upper Where U goes, on and above its diagonal, `[size, size]`. It may be L itself, of which the lower half is
   * then used up: of every part, L is looked at last when U is made there
   * @param start First of its rows and columns to be made
   * @param end The one after the last
   * @throws {CancelledError} if the pace throws it
   */
  async invertTurned(upper: Float64Array, start: number, end: number): Promise<void> {
    const width = end - start;
    if (width <= BLOCK) {
      const own = transposedPart(this.#inverse(start, end), width, [0, width], [0, width]);
      return copyInto(upper, this.#size, start, start, own, width);
    }
    const middle = middleOf(start, end);
    await this.invertTurned(upper, start, middle);
    for (let top = start; top < middle; top += ROWS_ALIKE) {
      const rows = [top, Math.min(top + ROWS_ALIKE, middle)] as const;
      // Rows of an upper triangle are zero before their own number.
      clearBelow(upper, this.#size, rows);
      const left = part(upper, this.#size, rows, [top, middle]);
      const below = part(this.#factor, this.#size, [middle, end], [top, middle]);
      const right = part(upper, this.#size, rows, [middle, end]);
      clear(right);
      await this.#add(right, left, below, { factor: -1, pace: this.#pace });
    }
    await this.divide(upper, this.#size, [start, middle], [middle, end]);
    await this.invertTurned(upper, middle, end);
  }

  /** X ← X · otherᵀ for a few columns of X. */
  async #multiply(
    x: Float64Array,
    stride: number,
    rows: Range,
    columns: Range,
    other: Float64Array,
  ): Promise<void> {
    const width = columns[1] - columns[0];
    const block = part(x, stride, rows, columns);
    const before = new Float64Array(block.rows * width);
    for (let row = 0; row < block.rows; row++) {
      const start = block.offset + row * stride;
      before.set(x.subarray(start, start + width), row * width);
      x.fill(0, start, start + width);
    }
    const left = whole(before, block.rows, width);
    await this.#add(block, left, whole(other, width, width), { pace: this.#pace });
  }

  #inverse(start: number, end: number): Float64Array {
    const known = this.#inverses.get(start) ??
      invertDiagonalBlock(this.#factor, this.#size, start, end);
    this.#inverses.set(start, known);
    return known;
  }
}

/** The inverse of a lower triangular block on the diagonal, `[end - start, end - start]`. */
function invertDiagonalBlock(
  factor: Float64Array,
  stride: number,
  start: number,
  end: number,
): Float64Array {
  const size = end - start;
  const inverse = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const from = (start + row) * stride + start;
    const pivot = 1 / factor[from + row];
    for (let inner = 0; inner < row; inner++) {
      const weight = factor[from + inner] * pivot;
      for (let column = 0; column <= inner; column++) {
        inverse[row * size + column] -= weight * inverse[inner * size + column];
      }
    }
    inverse[row * size + row] = pivot;
  }
  return inverse;
}

/**
 * Fills a square on the diagonal with zeros below it.
 *
 * @param matrix `[size, size]`
 * @param size Its rows and columns
 * @param range The square's rows and columns
 */
export function clearBelow(matrix: Float64Array, size: number, [start, end]: Range): void {
  for (let row = start; row < end; row++) matrix.fill(0, row * size + start, row * size + row);
}

function clear({ data, offset, stride, rows, columns }: Block): void {
  for (let row = 0, at = offset; row < rows; row++, at += stride) data.fill(0, at, at + columns);
}

function copyInto(
  target: Float64Array,
  stride: number,
  firstRow: number,
  firstColumn: number,
  source: Float64Array,
  columns: number,
): void {
  for (let from = 0, row = firstRow; from < source.length; from += columns, row++) {
    target.set(source.subarray(from, from + columns), row * stride + firstColumn);
  }
}

function transposedPart(
  matrix: Float64Array,
  stride: number,
  rows: readonly [number, number],
  columns: readonly [number, number],
): Float64Array {
  const height = rows[1] - rows[0];
  const result = new Float64Array(height * (columns[1] - columns[0]));
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let column = columns[0]; column < columns[1]; column++) {
      result[(column - columns[0]) * height + row - rows[0]] = matrix[row * stride + column];
    }
  }
  return result;
}
