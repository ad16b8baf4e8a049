/**
 * Gram matrices of several domains brought together.
 * @module
 */
import { StatisticsError } from "../errors.ts";

/**
 * The balanced Gram matrix of several domains, Σ_d w_d · G_d / (trace(G_d) / n): every domain has the same energy, so
 * that none drowns the others.
 *
 * @param domains Σ x xᵀ of each domain, `[n, n]`; their numbers of tokens cancel. A domain without energy is left out
 * @param weights How much each domain counts; only their ratios matter
 * @param n Channels
 * @returns `[n, n]`, with a trace of n
 * @throws {StatisticsError} if no domain has energy, or sizes do not fit
 */
export function balancedGram(
  domains: readonly { readonly gram: Float32Array | Float64Array; readonly tokens: number }[],
  weights: readonly number[],
  n: number,
): Float64Array {
  const balanced = new Float64Array(n * n);
  let total = 0;
  domains.forEach(({ gram, tokens }, domain) => {
    if (gram.length !== n * n) {
      throw new StatisticsError(
        `Cannot balance Gram matrices: one of ${gram.length} numbers was given for ${n} channels`,
      );
    }
    const trace = diagonalSum(gram, n);
    if (!Number.isFinite(trace)) {
      throw new StatisticsError(
        "Cannot balance Gram matrices: one holds NaN, infinities or sums too large; the model's weights or the statistics are damaged, so take another copy or calibrate again",
      );
    }
    if (!(trace > 0 && tokens > 0 && weights[domain] > 0)) return;
    total += weights[domain];
    const factor = weights[domain] * n / trace;
    for (let index = 0; index < gram.length; index++) balanced[index] += factor * gram[index];
  });
  if (total === 0) {
    throw new StatisticsError("Cannot balance Gram matrices: no domain has any activation");
  }
  for (let index = 0; index < balanced.length; index++) balanced[index] /= total;
  return balanced;
}

function diagonalSum(matrix: Float32Array | Float64Array, n: number): number {
  let sum = 0;
  for (let index = 0; index < n; index++) sum += matrix[index * (n + 1)];
  return sum;
}
