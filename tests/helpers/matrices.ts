/**
 * Small matrices for tests, and slow arithmetic on them that can be checked by eye.
 * @module
 */
import { assert } from "@std/assert";
import { normalNumbers } from "./random-model.ts";

/**
 * A random matrix.
 *
 * @param rows Its rows
 * @param columns Its columns
 * @param seed Equal seeds give equal numbers
 * @returns Standard normal numbers, row-major
 */
export function randomMatrix(rows: number, columns: number, seed: number): Float64Array {
  const next = normalNumbers(seed);
  return Float64Array.from({ length: rows * columns }, next);
}

/**
 * left · right, by the definition.
 *
 * @param left `[rows, depth]`
 * @param right `[depth, columns]`
 * @param depth Columns of the left matrix
 * @returns `[rows, columns]`
 */
export function naiveProduct(
  left: ArrayLike<number>,
  right: ArrayLike<number>,
  depth: number,
): Float64Array {
  const rows = left.length / depth, columns = right.length / depth;
  const product = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      for (let k = 0; k < depth; k++) {
        product[i * columns + j] += left[i * depth + k] * right[k * columns + j];
      }
    }
  }
  return product;
}

/**
 * Rows and columns exchanged, by the definition.
 *
 * @param matrix Row-major
 * @param columns Its columns
 * @returns Its transpose
 */
export function naiveTranspose(matrix: ArrayLike<number>, columns: number): Float64Array {
  const rows = matrix.length / columns;
  return Float64Array.from(
    { length: matrix.length },
    (_, at) => matrix[(at % rows) * columns + Math.floor(at / rows)],
  );
}

/**
 * The Gram matrix of random inputs whose channels are correlated and differ in size.
 *
 * @param n Channels
 * @param samples Inputs
 * @param seed Equal seeds give equal numbers
 * @returns `[n, n]`, their mean outer product
 */
export function randomGram(n: number, samples: number, seed: number): Float64Array {
  const inputs = randomInputs(n, samples, seed);
  return naiveProduct(naiveTranspose(inputs, n), inputs, samples).map((value) => value / samples);
}

/**
 * Random inputs whose channels are correlated, differ in size and have means.
 *
 * @param n Channels
 * @param samples Inputs
 * @param seed Equal seeds give equal numbers
 * @returns `[samples, n]`
 */
export function randomInputs(n: number, samples: number, seed: number): Float64Array {
  const raw = randomMatrix(samples, n, seed);
  const mix = randomMatrix(n, n, seed + 1);
  for (let j = 0; j < n; j++) mix[j * n + j] += 2;
  return naiveProduct(raw, mix, n).map((value, at) => (1 + at % n / n) * value + (at % 3) / 2);
}

/**
 * Solves x A = b by elimination with pivots.
 *
 * @param matrix A, symmetric, `[n, n]`
 * @param rightHand b, `[n]`
 * @returns x, `[n]`
 */
export function naiveSolve(matrix: ArrayLike<number>, rightHand: ArrayLike<number>): number[] {
  const n = rightHand.length;
  const rows = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => matrix[i * n + j]),
    rightHand[i],
  ]);
  for (let pivot = 0; pivot < n; pivot++) {
    const best = rows.slice(pivot)
      .reduce(
        (best, row, i) => Math.abs(row[pivot]) > Math.abs(rows[best][pivot]) ? pivot + i : best,
        pivot,
      );
    [rows[pivot], rows[best]] = [rows[best], rows[pivot]];
    for (let i = 0; i < n; i++) {
      if (i === pivot) continue;
      const factor = rows[i][pivot] / rows[pivot][pivot];
      for (let j = pivot; j <= n; j++) rows[i][j] -= factor * rows[pivot][j];
    }
  }
  return rows.map((row, i) => row[n] / row[i]);
}

/**
 * The output error E‖Wx − W′x_S‖² of the best W′, by solving its normal equations row by row.
 *
 * @param weight W, `[m, n]`
 * @param gram G, `[n, n]`
 * @param kept S
 * @returns tr(W G Wᵀ) less what S explains
 */
export function naiveRefitError(
  weight: ArrayLike<number>,
  gram: ArrayLike<number>,
  kept: readonly number[],
): number {
  const n = Math.sqrt(gram.length);
  const own = kept.flatMap((i) => kept.map((j) => gram[i * n + j]));
  let error = 0;
  for (let row = 0; row < weight.length / n; row++) {
    const w = Array.from({ length: n }, (_, j) => weight[row * n + j]);
    const target = kept.map((j) => w.reduce((sum, value, i) => sum + value * gram[i * n + j], 0));
    const solution = kept.length === 0 ? [] : naiveSolve(own, target);
    const change = [...w];
    kept.forEach((channel, i) => change[channel] -= solution[i]);
    error += naiveEnergy(change, gram);
  }
  return error;
}

/**
 * tr(A G Aᵀ), by the definition.
 *
 * @param matrix A, `[rows, n]`
 * @param gram G, `[n, n]`
 * @returns The trace
 */
export function naiveEnergy(matrix: ArrayLike<number>, gram: ArrayLike<number>): number {
  const n = Math.sqrt(gram.length);
  let energy = 0;
  for (let row = 0; row < matrix.length / n; row++) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        energy += matrix[row * n + i] * gram[i * n + j] * matrix[row * n + j];
      }
    }
  }
  return energy;
}

/**
 * Asserts that two lists of numbers are nearly the same.
 *
 * @param actual What came out
 * @param expected What was to come out
 * @param tolerance The largest difference allowed
 */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance = 1e-9,
): void {
  assert(actual.length === expected.length, `${actual.length} numbers, not ${expected.length}`);
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    assert(difference <= tolerance, `number ${i} is ${actual[i]}, not ${expected[i]}`);
  }
}
