/**
 * Gram matrices of several domains brought together.
 * @module
 */
import { StatisticsError } from "../errors.ts";

/** Σ x xᵀ of one domain. */
export interface DomainGram {
  /** `[n, n]` */
  readonly gram: Float32Array | Float64Array;
  /** The tokens that were summed. */
  readonly tokens: number;
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
  domains: readonly DomainGram[],
  weights: readonly number[],
  n: number,
): Float64Array {
  const balanced = new Float64Array(n * n);
  balanceInto(balanced, domains, weights, n);
  return balanced;
}

/**
 * The same in float32, for matrices that are kept.
 *
 * @param domains As of {@linkcode balancedGram}
 * @param weights As of {@linkcode balancedGram}
 * @param n Channels
 * @returns `[n, n]`, added up in float64 and then rounded
 * @throws {StatisticsError} if no domain has energy, or sizes do not fit
 */
export function balancedGramInFloat32(
  domains: readonly DomainGram[],
  weights: readonly number[],
  n: number,
): Float32Array {
  const balanced = new Float32Array(n * n);
  balanceInto(balanced, domains, weights, n);
  return balanced;
}

/** Numbers that are added up at a time: few enough to stay in the processor's first cache. */
const PIECE = 2048;

function balanceInto(
  target: Float32Array | Float64Array,
  domains: readonly DomainGram[],
  weights: readonly number[],
  n: number,
): void {
  const parts: { readonly gram: DomainGram["gram"]; readonly factor: number }[] = [];
  let total = 0;
  domains.forEach(({ gram, tokens }, domain) => {
    if (gram.length !== n * n) {
      throw new StatisticsError(
        `Cannot balance Gram matrices: one of ${gram.length} numbers was given for ${n} channels`,
      );
    }
    const trace = diagonalSum(gram, n);
    if (!(trace > 0 && tokens > 0 && weights[domain] > 0)) return;
    total += weights[domain];
    parts.push({ gram, factor: weights[domain] * n / trace });
  });
  if (total === 0) {
    throw new StatisticsError("Cannot balance Gram matrices: no domain has any activation");
  }
  const piece = new Float64Array(Math.min(PIECE, target.length));
  for (let start = 0; start < target.length; start += PIECE) {
    const size = Math.min(PIECE, target.length - start);
    piece.fill(0);
    for (const { gram, factor } of parts) {
      for (let at = 0; at < size; at++) piece[at] += factor * gram[start + at];
    }
    for (let at = 0; at < size; at++) target[start + at] = piece[at] / total;
  }
}

function diagonalSum(matrix: Float32Array | Float64Array, n: number): number {
  let sum = 0;
  for (let index = 0; index < n; index++) sum += matrix[index * (n + 1)];
  return sum;
}
