/**
 * Gram matrices of several domains brought together.
 * @module
 */
import { StatisticsError } from "../errors.ts";

/** Brings Gram matrices together that come one by one, so that they need not be in memory at once. */
export class GramBalance {
  readonly #balanced: Float64Array;
  readonly #n: number;
  #total = 0;

  /**
   * Starts at zero.
   *
   * @param n Channels
   */
  constructor(n: number) {
    this.#n = n;
    this.#balanced = new Float64Array(n * n);
  }

  /**
   * Adds a domain; one without energy, tokens or weight is left out.
   *
   * @param gram Σ x xᵀ, `[n, n]`
   * @param tokens Tokens that were summed
   * @param weight How much the domain counts
   * @throws {StatisticsError} if the size does not fit, or a number is not finite
   */
  add(gram: Float32Array | Float64Array, tokens: number, weight: number): void {
    const [balanced, n] = [this.#balanced, this.#n];
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
    if (!(trace > 0 && tokens > 0 && weight > 0)) return;
    this.#total += weight;
    const factor = weight * n / trace;
    for (let index = 0; index < gram.length; index++) balanced[index] += factor * gram[index];
  }

  /**
   * The balanced matrix; call it once.
   *
   * @returns `[n, n]`, with a trace of n
   * @throws {StatisticsError} if no domain had energy
   */
  result(): Float64Array {
    if (this.#total === 0) {
      throw new StatisticsError("Cannot balance Gram matrices: no domain has any activation");
    }
    const balanced = this.#balanced;
    for (let index = 0; index < balanced.length; index++) balanced[index] /= this.#total;
    return balanced;
  }
}

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
  const balance = new GramBalance(n);
  domains.forEach(({ gram, tokens }, domain) => balance.add(gram, tokens, weights[domain]));
  return balance.result();
}

function diagonalSum(matrix: Float32Array | Float64Array, n: number): number {
  let sum = 0;
  for (let index = 0; index < n; index++) sum += matrix[index * (n + 1)];
  return sum;
}
