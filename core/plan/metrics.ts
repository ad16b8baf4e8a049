/**
 * Base metrics: the score of a channel from sums over tokens and from weights, and of a unit from its channels.
 *
 * - `wanda-sp`: mean_i |W_ij| · sqrt(E x_j²), after Wanda (Sun et al., arXiv 2306.11695) in the structured form of
 *   FLAP's paper
 * - `rms`: ‖W_:j‖² · E x_j², the output energy that a channel carries
 * - `wifv`: ‖W_:j‖² · Var x_j, the fluctuation metric of FLAP (An et al., arXiv 2312.11983)
 * - `magnitude`: the product of the norms of the unit's weights
 * - `random`: by seed
 * @module
 */
import type { DomainSums, KindStatistics } from "../calibrate/types.ts";
import type { Metric } from "./types.ts";
import { Random } from "../random.ts";

/** Means over tokens, `[n]` each. */
export interface Moments {
  /** E x. */
  readonly mean: Float64Array;
  /** E x². */
  readonly meanSquare: Float64Array;
}

/**
 * Means over the tokens of several domains, each domain scaled to the same energy and weighted.
 *
 * @param domains Sums per domain
 * @param weights A weight for each domain; they need not add up to 1
 * @returns Weighted means. With one domain these are the plain means
 */
export function balancedMoments(
  domains: readonly DomainSums[],
  weights: readonly number[],
): Moments {
  const channels = domains[0].sum.length;
  const mean = new Float64Array(channels);
  const meanSquare = new Float64Array(channels);
  const energies = domains.map((domain) =>
    domain.sumOfSquares.reduce((a, b) => a + b, 0) / (domain.tokens * channels)
  );
  const totalWeight = weights.reduce((a, b) => a + b, 0);
  // Back to the scale of the activations, so that one domain gives its plain means.
  const scale = domains.reduce((sum, _, d) => sum + weights[d] / totalWeight * energies[d], 0);
  domains.forEach((domain, d) => {
    const energy = energies[d] === 0 ? 1 : energies[d] / scale;
    const weight = weights[d] / totalWeight / domain.tokens;
    const { sum, sumOfSquares } = domain;
    for (let j = 0; j < channels; j++) {
      mean[j] += weight * sum[j] / Math.sqrt(energy);
      meanSquare[j] += weight * sumOfSquares[j] / energy;
    }
  });
  return { mean, meanSquare };
}

/**
 * Means over the tokens of several domains taken together, as if they were one text.
 *
 * @param domains Sums per domain
 * @returns Plain means
 */
export function pooledMoments(domains: readonly DomainSums[]): Moments {
  const channels = domains[0].sum.length;
  const tokens = domains.reduce((sum, domain) => sum + domain.tokens, 0);
  const mean = new Float64Array(channels);
  const meanSquare = new Float64Array(channels);
  for (const { sum, sumOfSquares } of domains) {
    for (let j = 0; j < channels; j++) {
      mean[j] += sum[j] / tokens;
      meanSquare[j] += sumOfSquares[j] / tokens;
    }
  }
  return { mean, meanSquare };
}

/**
 * Scores of channels by a metric. `obs`, which is no sum over channels, is stood in for by `rms`, its diagonal.
 *
 * @param metric The metric
 * @param statistics The weights' norms
 * @param moments Means over tokens
 * @param seed A text that seeds `random`
 * @returns Scores, `[channels]`, larger for what matters more
 */
export function channelScores(
  metric: Metric,
  statistics: KindStatistics,
  moments: Moments,
  seed: string,
): Float64Array {
  const { columnNorm, columnMeanAbsolute, rowNorm } = statistics.weights;
  const { mean, meanSquare } = moments;
  // One function for each metric: a choice at every channel would take longer than the score.
  switch (metric) {
    case "wanda-sp":
      return columnMeanAbsolute.map((size, j) => size * Math.sqrt(meanSquare[j]));
    case "obs":
    case "rms":
      return columnNorm.map((norm, j) => norm * norm * meanSquare[j]);
    case "wifv":
      return columnNorm.map((norm, j) =>
        norm * norm * Math.max(0, meanSquare[j] - mean[j] * mean[j])
      );
    case "magnitude":
      return columnNorm.map((norm, j) => norm * rowNorm[j]);
    case "random": {
      const random = Random.of(seed);
      return columnNorm.map(() => random.next());
    }
  }
}

/**
 * Scores of units: the sum over each unit's channels, which lie side by side.
 *
 * @param channels Scores of channels, `[units * channelsPerUnit]`
 * @param units Number of units
 * @returns Scores, `[units]`
 */
export function unitScores(channels: Float64Array, units: number): Float64Array {
  const perUnit = channels.length / units;
  const scores = new Float64Array(units);
  for (let unit = 0; unit < units; unit++) {
    for (let j = unit * perUnit; j < (unit + 1) * perUnit; j++) scores[unit] += channels[j];
  }
  return scores;
}
