/**
 * Cholesky factors of symmetric positive definite matrices, and what is made with them. All are blocked so that nearly
 * all work is in products (Golub and Van Loan, "Matrix Computations", 4th edition, 4.2.9).
 * @module
 */
import { discard } from "./discard.ts";
import { StatisticsError } from "../errors.ts";
import type { Pace } from "./pace.ts";
import { addProduct, mirrorLower, multiplyTransposed, part, whole } from "./product.ts";

/** Columns that are factored at a time. */
const BLOCK = 64;
/** Rows of a triangular matrix that are treated alike: the zeros of its corner beyond them are not multiplied. */
const ROWS_ALIKE = 192;
/** Damping grows by this until the matrix can be factored. */
const DAMPING_GROWTH = 10;

/** A factor of a matrix that may have been changed a little to have one. */
export interface DampedFactor {
  /** The lower triangular factor L of matrix + damping · I = L Lᵀ, `[n, n]`. */
  readonly factor: Float64Array;
  /** What was added to the diagonal. */
  readonly damping: number;
}

/**
 * The Cholesky factor of a matrix.
 *
 * @param matrix Symmetric, `[size, size]`; only its lower part is read
 * @param size Its rows and columns
 * @param pace Called between pieces of work
 * @returns Lower triangular L, `[size, size]`, with matrix = L Lᵀ; undefined if the matrix is not positive definite
 * @throws {CancelledError} if the pace throws it
 *
 * @example
 * ```ts
 * import { cholesky } from "./cholesky.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(await cholesky(Float64Array.of(4, 2, 2, 10), 2), Float64Array.of(2, 0, 1, 3));
 * assertEquals(await cholesky(Float64Array.of(1, 2, 2, 1), 2), undefined);
 * ```
 */
export async function cholesky(
  matrix: Float64Array,
  size: number,
  pace?: Pace,
): Promise<Float64Array | undefined> {
  const factor = new Float64Array(matrix);
  return await factorInPlace(factor, size, pace) ? factor : undefined;
}

/** Puts the factor in the place of the matrix; false, and the matrix spoilt, if it is not positive definite. */
async function factorInPlace(
  factor: Float64Array,
  size: number,
  pace?: Pace,
): Promise<boolean> {
  for (let start = 0; start < size; start += BLOCK) {
    const end = Math.min(start + BLOCK, size);
    if (!factorDiagonalBlock(factor, size, start, end)) return false;
    if (end === size) break;
    const below = part(factor, size, [end, size], [start, end]);
    const inverse = invertDiagonalBlock(factor, size, start, end);
    const solved = await multiplyTransposed(below, whole(inverse, end - start, end - start), pace);
    copyInto(factor, size, end, start, solved, end - start);
    const trailing = part(factor, size, [end, size], [end, size]);
    await addProduct(trailing, below, below, { factor: -1, lowerOnly: true, pace });
  }
  for (let row = 0; row < size; row++) factor.fill(0, row * size + row + 1, (row + 1) * size);
  return true;
}

/**
 * The Cholesky factor of a matrix with something added to its diagonal: as much as was asked for, and more where that
 * is not enough to factor it.
 *
 * @param matrix Symmetric, `[size, size]`
 * @param size Its rows and columns
 * @param damping What to add at least
 * @param pace Called between pieces of work
 * @returns The factor, and what was added
 * @throws {StatisticsError} if the matrix holds numbers that are not finite
 * @throws {CancelledError} if the pace throws it
 */
export async function choleskyDamped(
  matrix: Float64Array,
  size: number,
  damping: number,
  pace?: Pace,
): Promise<DampedFactor> {
  let scale = 0;
  for (let index = 0; index < size; index++) scale += Math.abs(matrix[index * size + index]) / size;
  const factor = new Float64Array(matrix.length);
  let added = matrix.every(Number.isFinite) ? damping : NaN;
  for (; Number.isFinite(added); added = Math.max(added * DAMPING_GROWTH, 1e-12 * (scale || 1))) {
    factor.set(matrix);
    for (let index = 0; index < size; index++) factor[index * size + index] += added;
    if (await factorInPlace(factor, size, pace)) return { factor, damping: added };
  }
  throw new StatisticsError(
    "Cannot factor a Gram matrix: it holds numbers that are not finite or are too large; calibrate again",
  );
}

/**
 * Solves X A = B for X with the Cholesky factor of A, one right-hand side a row.
 *
 * @param factor Lower triangular L with A = L Lᵀ, `[size, size]`
 * @param size Its rows and columns
 * @param rightHand B, `[rows, size]`
 * @param rows How many right-hand sides
 * @param pace Called between pieces of work
 * @returns X = B A⁻¹, `[rows, size]`
 * @throws {CancelledError} if the pace throws it
 */
export async function solveCholesky(
  factor: Float64Array,
  size: number,
  rightHand: Float64Array,
  rows: number,
  pace?: Pace,
): Promise<Float64Array> {
  const solution = new Float64Array(rightHand);
  const all = [0, rows] as const;
  const divide = async (start: number, end: number, divisor: Float64Array) => {
    const block = part(solution, size, all, [start, end]);
    const divided = await multiplyTransposed(block, whole(divisor, end - start, end - start), pace);
    copyInto(solution, size, 0, start, divided, end - start);
  };
  // V Lᵀ = B, first column to last.
  for (let start = 0; start < size; start += BLOCK) {
    const end = Math.min(start + BLOCK, size);
    const known = part(solution, size, all, [0, start]);
    const row = part(factor, size, [start, end], [0, start]);
    await addProduct(part(solution, size, all, [start, end]), known, row, { factor: -1, pace });
    await divide(start, end, invertDiagonalBlock(factor, size, start, end));
  }
  // X L = V, last column to first.
  for (let start = Math.floor((size - 1) / BLOCK) * BLOCK; start >= 0; start -= BLOCK) {
    const end = Math.min(start + BLOCK, size);
    const known = part(solution, size, all, [end, size]);
    const column = transposedPart(factor, size, [end, size], [start, end]);
    const below = whole(column, end - start, size - end);
    await addProduct(part(solution, size, all, [start, end]), known, below, { factor: -1, pace });
    const inverse = invertDiagonalBlock(factor, size, start, end);
    const turned = transposedPart(inverse, end - start, [0, end - start], [0, end - start]);
    await divide(start, end, turned);
  }
  return solution;
}

/**
 * The inverse of a symmetric positive definite matrix, from its Cholesky factor.
 *
 * @param factor Lower triangular L, `[size, size]`
 * @param size Its rows and columns
 * @param pace Called between pieces of work
 * @returns (L Lᵀ)⁻¹, `[size, size]`, symmetric
 * @throws {CancelledError} if the pace throws it
 */
export async function invertSymmetric(
  factor: Float64Array,
  size: number,
  pace?: Pace,
): Promise<Float64Array> {
  const upper = await invertTransposed(factor, size, pace);
  const inverse = new Float64Array(size * size);
  for (let start = 0; start < size; start += ROWS_ALIKE) {
    const end = Math.min(start + ROWS_ALIKE, size);
    // Rows of an upper triangle are zero before their own number.
    const left = part(upper, size, [start, end], [start, size]);
    const right = part(upper, size, [0, end], [start, size]);
    await addProduct(part(inverse, size, [start, end], [0, end]), left, right, { pace });
  }
  discard(upper);
  mirrorLower(inverse, size);
  return inverse;
}

/** L⁻ᵀ, upper triangular: its columns from first to last, since (L⁻ᵀ) Lᵀ = I. */
async function invertTransposed(
  factor: Float64Array,
  size: number,
  pace?: Pace,
): Promise<Float64Array> {
  const upper = new Float64Array(size * size);
  for (let start = 0; start < size; start += BLOCK) {
    const end = Math.min(start + BLOCK, size);
    for (let top = 0; top < start; top += ROWS_ALIKE) {
      const rows = [top, Math.min(top + ROWS_ALIKE, start)] as const;
      const known = part(upper, size, rows, [top, start]);
      const row = part(factor, size, [start, end], [top, start]);
      await addProduct(part(upper, size, rows, [start, end]), known, row, { factor: -1, pace });
    }
    const inverse = invertDiagonalBlock(factor, size, start, end);
    const divisor = whole(inverse, end - start, end - start);
    const above = part(upper, size, [0, start], [start, end]);
    const divided = await multiplyTransposed(above, divisor, pace);
    copyInto(upper, size, 0, start, divided, end - start);
    const own = transposedPart(inverse, end - start, [0, end - start], [0, end - start]);
    copyInto(upper, size, start, start, own, end - start);
  }
  return upper;
}

/** Factors a block on the diagonal in place; false if it is not positive definite. */
function factorDiagonalBlock(
  matrix: Float64Array,
  stride: number,
  start: number,
  end: number,
): boolean {
  for (let row = start; row < end; row++) {
    for (let column = start; column <= row; column++) {
      let sum = matrix[row * stride + column];
      for (let inner = start; inner < column; inner++) {
        sum -= matrix[row * stride + inner] * matrix[column * stride + inner];
      }
      if (column < row) matrix[row * stride + column] = sum / matrix[column * stride + column];
      else if (sum > 0 && Number.isFinite(sum)) matrix[row * stride + row] = Math.sqrt(sum);
      else return false;
    }
  }
  return true;
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
