/**
 * Gram matrices of several domains brought together.
 * @module
 */
import { StatisticsError } from "../errors.ts";
import { SymmetricSum } from "./symmetric.ts";

/** Brings Gram matrices together that come one by one, so that they need not be in memory at once. */
export class GramBalance {
  readonly #n: number;
  /** The first matrix, while no other has come: then it need not be added to anything. */
  #first: ScaledGram | undefined;
  /** The sum of several. */
  #balanced: SymmetricSum | undefined;
  #total = 0;

  /**
   * Starts at zero.
   *
   * @param n Channels
   */
  constructor(n: number) {
    this.#n = n;
  }

  /**
   * Adds a domain; one without energy, tokens or weight is left out.
   *
   * @param gram Σ x xᵀ, symmetric, `[n, n]`; it stays as it is until it is released
   * @param tokens Tokens that were summed
   * @param weight How much the domain counts
   * @param release Called when the matrix is not looked at any more, which may be at the next one or at the result
   * @throws {StatisticsError} if the size does not fit, or a number is not finite
   */
  add(
    gram: Float32Array | Float64Array,
    tokens: number,
    weight: number,
    release: () => void = () => undefined,
  ): void {
    const n = this.#n;
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
    if (!(trace > 0 && tokens > 0 && weight > 0)) {
      release();
      return;
    }
    this.#total += weight;
    const scaled = { gram, factor: weight * n / trace, release };
    if (this.#first === undefined && this.#balanced === undefined) this.#first = scaled;
    else addScaled(this.#several(), scaled);
  }

  /**
   * The balanced matrix; call it, or {@linkcode GramBalance.singleResult}, once.
   *
   * @returns `[n, n]`, with a trace of n
   * @throws {StatisticsError} if no domain had energy
   */
  result(): Float64Array {
    const total = this.#energy();
    return this.#several().takeSquare(total);
  }

  /**
   * The balanced matrix in single precision: each number of {@linkcode GramBalance.result}, rounded.
   *
   * @returns `[n, n]`, with a trace of n
   * @throws {StatisticsError} if no domain had energy
   */
  singleResult(): Float32Array {
    const total = this.#energy();
    // A single domain mostly counts 1: a quotient by it is not worth a pass over numbers in double precision.
    if (this.#first !== undefined && total === 1) {
      const { gram, factor, release } = this.#first;
      const result = new Float32Array(this.#n ** 2);
      // Added to zero, as it would be to a sum: no result is -0.
      for (let index = 0; index < result.length; index++) result[index] = 0 + factor * gram[index];
      release();
      return result;
    }
    const balanced = this.#several();
    const result = balanced.singleSquare(total);
    balanced.discard();
    return result;
  }

  #energy(): number {
    if (this.#total > 0) return this.#total;
    throw new StatisticsError("Cannot balance Gram matrices: no domain has any activation");
  }

  #several(): SymmetricSum {
    if (this.#balanced !== undefined) return this.#balanced;
    const balanced = this.#balanced = SymmetricSum.zero(this.#n);
    addScaled(balanced, this.#first!);
    this.#first = undefined;
    return balanced;
  }
}

/** A matrix of a domain, and what it is multiplied by. */
interface ScaledGram {
  readonly gram: Float32Array | Float64Array;
  readonly factor: number;
  readonly release: () => void;
}

function addScaled(sum: SymmetricSum, { gram, factor, release }: ScaledGram): void {
  sum.add(gram, factor);
  release();
}

/**
 * The balanced Gram matrix of several domains, Σ_d w_d · G_d / (trace(G_d) / n): every domain has the same energy, so
 * that none drowns the others.
 *
 * @param domains Σ x xᵀ of each domain, symmetric, `[n, n]`; their numbers of tokens cancel. A domain without energy is left out
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
