/**
 * The multiply-adds that calibration needs.
 * @module
 */
import type { LlamaSizes } from "../llama_layout.ts";

/** Multiply-adds over all tokens and layers. */
export interface Counts {
  /** Tokens. */
  readonly tokens: number;
  /** Products with weights. */
  readonly projections: number;
  /** Scores and weighted sums over the tokens that each token may look at, which are half of all on average. */
  readonly attention: number;
  /** Σ x and Σ x² of both projections' inputs. */
  readonly moments: number;
  /** Σ x xᵀ on and below the diagonal: n (n + 1) / 2 a token. */
  readonly gramHalf: number;
  /** Σ x xᵀ in full: n² a token. */
  readonly gramFull: number;
}

/**
 * Counts.
 *
 * @param sizes The model's sizes
 * @param windows Texts
 * @param length Tokens of each
 * @returns Multiply-adds
 */
export function counts(sizes: LlamaSizes, windows: number, length: number): Counts {
  const { hiddenSize, headSize, layers, ffnWidth, keyValueHeads, queryHeads } = sizes;
  const tokens = windows * length;
  const all = tokens * layers;
  const channels = [ffnWidth, queryHeads * headSize];
  const over = (of: (n: number) => number) => all * channels.reduce((sum, n) => sum + of(n), 0);
  return {
    tokens,
    projections: all * hiddenSize *
      (2 * headSize * (queryHeads + keyValueHeads) + 3 * ffnWidth),
    attention: all * 2 * queryHeads * headSize * (length + 1) / 2,
    moments: over((n) => 2 * n),
    gramHalf: over((n) => n * (n + 1) / 2),
    gramFull: over((n) => n * n),
  };
}
