/**
 * Least squares from sums: t ≈ W x with a ridge that draws to weights given before.
 * @module
 */
import { addingWith } from "./adding.ts";
import { choleskyDamped, solveCholesky } from "./cholesky.ts";
import type { Pace } from "./pace.ts";
import { type Multiply, multiplyTransposed, whole } from "./product.ts";

/** Sums over tokens of inputs x, n channels, and targets t, m outputs. */
export interface FitMatrices {
  /** Σ x xᵀ, symmetric, `[n, n]`. */
  readonly gram: Float64Array;
  /** Σ t xᵀ, `[m, n]`. */
  readonly cross: Float64Array;
  /** Σ ‖t‖². */
  readonly targetEnergy: number;
}

/**
 * The weights that meet the targets best: the minimum over W of Σ ‖t − W x‖² + λ ‖W − W₀‖².
 *
 * @param before W₀, row-major, `[m, n]`
 * @param fit Sums over tokens
 * @param options λ as a share of the mean of the Gram matrix' diagonal; called between pieces of work; what multiplies
 * matrices (default: the processor)
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
  options: { readonly ridge: number; readonly pace?: Pace; readonly multiply?: Multiply },
): Promise<Float64Array> {
  const { gram, cross } = fit;
  const n = Math.sqrt(gram.length);
  const m = cross.length / n;
  const { ridge, pace, multiply = multiplyTransposed } = options;
  const work = { pace, add: addingWith(options.multiply) };
  const met = await multiply(whole(before, m, n), whole(gram, n, n), pace);
  const missing = cross.map((value, index) => value - met[index]);
  let damping = 0;
  for (let j = 0; j < n; j++) damping += ridge * gram[j * (n + 1)] / n;
  const { factor } = await choleskyDamped(gram, n, damping, work);
  const change = await solveCholesky(factor, n, missing, m, work);
  return before.map((value, index) => value + change[index]);
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
  const n = Math.sqrt(gram.length);
  const m = cross.length / n;
  const met = await multiply(whole(weights, m, n), whole(gram, n, n), pace);
  let error = targetEnergy;
  for (let index = 0; index < weights.length; index++) {
    error += weights[index] * (met[index] - 2 * cross[index]);
  }
  return targetEnergy > 0 ? Math.max(0, error) / targetEnergy : 0;
}
