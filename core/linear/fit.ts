/**
 * Least squares from sums: t ≈ W x with a ridge that draws to weights given before.
 * @module
 */
import { addingWith } from "./adding.ts";
import { factorDamped, solveInPlace } from "./cholesky.ts";
import { discard } from "./discard.ts";
import type { Pace } from "./pace.ts";
import { type Multiply, multiplyTransposed, part, whole } from "./product.ts";
import { LARGEST_COPY } from "./triangle.ts";

/** Sums over tokens of inputs x, n channels, and targets t, m outputs. */
export interface FitMatrices {
  /** Σ x xᵀ, symmetric, `[n, n]`. */
  readonly gram: Float64Array;
  /** Σ t xᵀ, `[m, n]`. */
  readonly cross: Float64Array;
  /** Σ ‖t‖². */
  readonly targetEnergy: number;
}

/** Options of {@linkcode fitWeights}. */
export interface FitOptions {
  /** λ as a share of the mean of the Gram matrix' diagonal. */
  readonly ridge: number;
  /** Whether the sums may be used up, which saves memory for copies of them; they are empty or changed then. */
  readonly usesUp?: boolean;
  /** Called between pieces of work. */
  readonly pace?: Pace;
  /** What multiplies matrices. Default: the processor. */
  readonly multiply?: Multiply;
}

/**
 * The weights that meet the targets best: the minimum over W of Σ ‖t − W x‖² + λ ‖W − W₀‖².
 *
 * @param before W₀, row-major, `[m, n]`
 * @param fit Sums over tokens
 * @param options λ; whether the sums may be used up; called between pieces of work; what multiplies matrices
 * @returns W = W₀ + (C − W₀ G)(G + λ I)⁻¹, `[m, n]`
 * @throws {StatisticsError} if the sums hold numbers that are not finite
 * @example
 * ```ts
 * import { fitWeights } from "./fit.ts";
 * const fit = { gram: Float64Array.of(4), cross: Float64Array.of(8), targetEnergy: 16 };
 * console.log(await fitWeights(Float64Array.of(0), fit, { ridge: 0 })); // Float64Array(1) [ 2 ]
 * ```
 */
export async function fitWeights(
  before: Float64Array,
  fit: FitMatrices,
  options: FitOptions,
): Promise<Float64Array> {
  const { ridge, usesUp = false, pace, multiply = multiplyTransposed } = options;
  const gram = usesUp ? fit.gram : fit.gram.slice();
  const change = usesUp ? fit.cross : fit.cross.slice();
  const n = Math.sqrt(gram.length);
  const m = change.length / n;
  const work = { pace, add: addingWith(options.multiply) };
  await eachProduct(before, gram, multiply, (met, first) => {
    for (let index = 0; index < met.length; index++) change[first + index] -= met[index];
  }, pace);
  let damping = 0;
  for (let j = 0; j < n; j++) damping += ridge * gram[j * (n + 1)] / n;
  await factorDamped(gram, n, damping, work);
  await solveInPlace(gram, n, change, m, work);
  discard(gram);
  for (let index = 0; index < change.length; index++) change[index] += before[index];
  return change;
}

/**
 * How far weights are from the targets.
 *
 * @param weights W, row-major, `[m, n]`
 * @param fit Sums over tokens
 * @param pace Called between pieces of work
 * @param multiply What multiplies matrices
 * @returns Σ ‖t − W x‖² / Σ ‖t‖²; 0 where there is no target
 */
export async function fitError(
  weights: Float64Array,
  fit: FitMatrices,
  pace?: Pace,
  multiply: Multiply = multiplyTransposed,
): Promise<number> {
  const { gram, cross, targetEnergy } = fit;
  let error = targetEnergy;
  await eachProduct(weights, gram, multiply, (met, first) => {
    for (let index = 0; index < met.length; index++) {
      const at = first + index;
      error += weights[at] * (met[index] - 2 * cross[at]);
    }
  }, pace);
  return targetEnergy > 0 ? Math.max(0, error) / targetEnergy : 0;
}

/** Some rows of W G after the other, so that a large product is never whole; each with the place of its first number. */
async function eachProduct(
  weights: Float64Array,
  gram: Float64Array,
  multiply: Multiply,
  take: (met: Float64Array, first: number) => void,
  pace?: Pace,
): Promise<void> {
  const n = Math.sqrt(gram.length);
  const m = weights.length / n;
  const rowsAtOnce = Math.max(1, Math.floor(LARGEST_COPY / n));
  for (let row = 0; row < m; row += rowsAtOnce) {
    const rows = part(weights, n, [row, Math.min(row + rowsAtOnce, m)], [0, n]);
    const met = await multiply(rows, whole(gram, n, n), pace);
    take(met, row * n);
    discard(met);
  }
}
