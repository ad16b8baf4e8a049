/**
 * Cholesky factors of symmetric positive definite matrices, and what is made with them. All cut matrices in half again
 * and again, so that nearly all work is in products, most of it in large ones (Gustavson, "Recursion leads to automatic
 * variable blocking for dense linear-algebra algorithms", 1997).
 * @module
 */
import { discard } from "./discard.ts";
import { StatisticsError } from "../errors.ts";
import { addProduct, mirrorLower, part, whole } from "./product.ts";
import { BLOCK, clearBelow, type LinearWork, middleOf, ROWS_ALIKE, Triangle } from "./triangle.ts";

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
 * @param work What makes products, and is called between them
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
  work: LinearWork = {},
): Promise<Float64Array | undefined> {
  const factor = new Float64Array(matrix);
  if (!await factorInPlace(factor, size, work)) return undefined;
  clearUpper(factor, size);
  return factor;
}

/**
 * Puts the factor in the place of the matrix' lower half; what lies above the diagonal is neither looked at nor changed.
 * False, and the lower half spoilt, if the matrix is not positive definite.
 */
async function factorInPlace(
  factor: Float64Array,
  size: number,
  work: LinearWork,
): Promise<boolean> {
  const { add = addProduct, pace } = work;
  const triangle = new Triangle(factor, size, work);
  const isFactored = async (start: number, end: number): Promise<boolean> => {
    if (end - start <= BLOCK) return factorDiagonalBlock(factor, size, start, end);
    const middle = middleOf(start, end);
    if (!await isFactored(start, middle)) return false;
    await triangle.divide(factor, size, [middle, end], [start, middle]);
    const below = part(factor, size, [middle, end], [start, middle]);
    const trailing = part(factor, size, [middle, end], [middle, end]);
    await add(trailing, below, below, { factor: -1, lowerOnly: true, pace });
    return await isFactored(middle, end);
  };
  return await isFactored(0, size);
}

function clearUpper(matrix: Float64Array, size: number): void {
  for (let row = 0; row < size; row++) matrix.fill(0, row * size + row + 1, (row + 1) * size);
}

/**
 * The Cholesky factor of a matrix with something added to its diagonal: as much as was asked for, and more where that
 * is not enough to factor it.
 *
 * @param matrix Symmetric, `[size, size]`
 * @param size Its rows and columns
 * @param damping What to add at least
 * @param work What makes products, and is called between them
 * @returns The factor, and what was added
 * @throws {StatisticsError} if the matrix holds numbers that are not finite
 * @throws {CancelledError} if the pace throws it
 */
export async function choleskyDamped(
  matrix: Float64Array,
  size: number,
  damping: number,
  work: LinearWork = {},
): Promise<DampedFactor> {
  const factor = new Float64Array(matrix);
  const added = await factorDamped(factor, size, damping, work);
  clearUpper(factor, size);
  return { factor, damping: added };
}

/**
 * {@linkcode choleskyDamped} without memory for a second matrix: the factor takes the place of the lower half. The upper
 * half stays what it was, the matrix', from which a matrix that could not be factored is taken again.
 *
 * @param matrix Symmetric, `[size, size]`, of which the lower half is looked at; used up: the factor is on and below its
 * diagonal afterwards
 * @param size Its rows and columns
 * @param damping What to add at least
 * @param work What makes products, and is called between them
 * @returns What was added
 * @throws {StatisticsError} if the matrix holds numbers that are not finite
 * @throws {CancelledError} if the pace throws it
 */
export async function factorDamped(
  matrix: Float64Array,
  size: number,
  damping: number,
  work: LinearWork = {},
): Promise<number> {
  // Symmetric up to rounding is not enough: what is tried again is to be the same.
  mirrorLower(matrix, size);
  const diagonal = Float64Array.from({ length: size }, (_, index) => matrix[index * (size + 1)]);
  let scale = 0;
  for (const value of diagonal) scale += Math.abs(value) / size;
  let added = allFinite(matrix) ? damping : NaN;
  for (; Number.isFinite(added); added = Math.max(added * DAMPING_GROWTH, 1e-12 * (scale || 1))) {
    for (let index = 0; index < size; index++) {
      matrix[index * (size + 1)] = diagonal[index] + added;
    }
    if (await factorInPlace(matrix, size, work)) return added;
    mirrorUpper(matrix, size);
  }
  throw new StatisticsError(
    "Cannot factor a Gram matrix: it holds numbers that are not finite or are too large; calibrate again",
  );
}

/** By one sum: calling a function for each of millions of numbers takes as long as a product. */
function allFinite(numbers: Float64Array): boolean {
  let sum = 0;
  for (let index = 0; index < numbers.length; index++) sum += 0 * numbers[index];
  return sum === 0;
}

/**
 * Solves X A = B for X with the Cholesky factor of A, one right-hand side a row.
 *
 * @param factor Lower triangular L with A = L Lᵀ, `[size, size]`
 * @param size Its rows and columns
 * @param rightHand B, `[rows, size]`
 * @param rows How many right-hand sides
 * @param work What makes products, and is called between them
 * @returns X = B A⁻¹, `[rows, size]`
 * @throws {CancelledError} if the pace throws it
 */
export async function solveCholesky(
  factor: Float64Array,
  size: number,
  rightHand: Float64Array,
  rows: number,
  work: LinearWork = {},
): Promise<Float64Array> {
  const solution = new Float64Array(rightHand);
  await solveInPlace(factor, size, solution, rows, work);
  return solution;
}

/**
 * {@linkcode solveCholesky} without memory for a second matrix.
 *
 * @param factor L on and below its diagonal, `[size, size]`; what lies above it is not looked at
 * @param size Its rows and columns
 * @param solution B, `[rows, size]`, of which X takes the place
 * @param rows How many right-hand sides
 * @param work What makes products, and is called between them
 * @throws {CancelledError} if the pace throws it
 */
export async function solveInPlace(
  factor: Float64Array,
  size: number,
  solution: Float64Array,
  rows: number,
  work: LinearWork = {},
): Promise<void> {
  const triangle = new Triangle(factor, size, work);
  // V Lᵀ = B, then X L = V.
  await triangle.divide(solution, size, [0, rows], [0, size]);
  await triangle.divideTurned(solution, size, [0, rows], [0, size]);
}

/**
 * The inverse of a symmetric positive definite matrix, from its Cholesky factor. It needs no memory for a second matrix:
 * U = L⁻ᵀ takes the upper half, and U Uᵀ then the place of L, a few rows at a time.
 *
 * @param factor L on and below its diagonal, `[size, size]`; used up: the inverse takes its place
 * @param size Its rows and columns
 * @param work What makes products, and is called between them
 * @returns (L Lᵀ)⁻¹ on and below its diagonal, `[size, size]`; what lies above it is in no particular state
 * @throws {CancelledError} if the pace throws it
 */
export async function invertSymmetric(
  factor: Float64Array,
  size: number,
  work: LinearWork = {},
): Promise<Float64Array> {
  const matrix = factor;
  await new Triangle(matrix, size, work).invertTurned(matrix, 0, size);
  const { add = addProduct, pace } = work;
  for (let start = 0; start < size; start += ROWS_ALIKE) {
    const end = Math.min(start + ROWS_ALIKE, size);
    // Rows of an upper triangle are zero before their own number.
    clearBelow(matrix, size, [start, end]);
    const left = part(matrix, size, [start, end], [start, size]);
    const right = part(matrix, size, [0, end], [start, size]);
    const rows = new Float64Array((end - start) * end);
    await add(whole(rows, end - start, end), left, right, { pace });
    // No later rows ask for these of U before their end.
    for (let row = start; row < end; row++) {
      const from = (row - start) * end;
      matrix.set(rows.subarray(from, from + row + 1), row * size);
    }
    discard(rows);
  }
  return matrix;
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

/** Copies what lies above the diagonal to below it. */
function mirrorUpper(matrix: Float64Array, size: number): void {
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < row; column++) {
      matrix[row * size + column] = matrix[column * size + row];
    }
  }
}
