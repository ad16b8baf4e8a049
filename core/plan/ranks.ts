/**
 * Ranks, and what moves them: rank fractions, Spearman correlation, and the sensitivity of a unit.
 * @module
 */

/**
 * Ranks as fractions: 0 for the smallest score, 1 for the largest; equal scores share their mean rank.
 *
 * @param scores Scores, `[n]`
 * @returns Rank fractions, `[n]`; 0.5 where n is 1
 * @example
 * ```ts
 * import { rankFractions } from "./ranks.ts";
 * console.log([...rankFractions([3, 1, 2])]); // [1, 0, 0.5]
 * ```
 */
export function rankFractions(scores: ArrayLike<number>): Float64Array {
  const count = scores.length;
  const ranks = new Float64Array(count);
  if (count === 1) return ranks.fill(0.5);
  const order = ascending(scores);
  for (let start = 0; start < count;) {
    let end = start + 1;
    while (end < count && scores[order[end]] === scores[order[start]]) end++;
    const shared = (start + end - 1) / 2 / (count - 1);
    for (let at = start; at < end; at++) ranks[order[at]] = shared;
    start = end;
  }
  return ranks;
}

/**
 * Positions sorted by score, smallest first; equal scores in the order of their positions.
 *
 * @param scores Scores, `[n]`
 * @returns Positions, `[n]`
 */
export function ascending(scores: ArrayLike<number>): Int32Array {
  const count = scores.length;
  const values = Float64Array.from(scores);
  let order = Int32Array.from({ length: count }, (_, index) => index);
  let merged = new Int32Array(count);
  // Runs are merged, which keeps equal scores in their places: the runtime's own sort calls a function at every
  // comparison, and took most of the time of a plan.
  for (let run = 1; run < count; run *= 2) {
    for (let start = 0; start < count; start += 2 * run) {
      const [middle, end] = [Math.min(start + run, count), Math.min(start + 2 * run, count)];
      let left = start, right = middle;
      for (let to = start; to < end; to++) {
        const takesLeft = right === end ||
          left < middle && !(values[order[right]] < values[order[left]]);
        merged[to] = takesLeft ? order[left++] : order[right++];
      }
    }
    [order, merged] = [merged, order];
  }
  return order;
}

/**
 * Pearson's correlation of two lists of numbers; of ranks, this is Spearman's.
 *
 * @param a Numbers, `[n]`
 * @param b Numbers, `[n]`
 * @returns -1 to 1; 1 where neither list varies, 0 where one does not
 */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const count = a.length;
  let meanA = 0, meanB = 0;
  for (let i = 0; i < count; i++) {
    meanA += a[i] / count;
    meanB += b[i] / count;
  }
  let both = 0, squareA = 0, squareB = 0;
  for (let i = 0; i < count; i++) {
    both += (a[i] - meanA) * (b[i] - meanB);
    squareA += (a[i] - meanA) ** 2;
    squareB += (b[i] - meanB) ** 2;
  }
  if (squareA === 0 || squareB === 0) return squareA === squareB ? 1 : 0;
  return both / Math.sqrt(squareA * squareB);
}

/**
 * Sensitivity of each unit: the standard deviation of its rank fraction over domains (METHOD: the cross-dataset
 * ranking variance of GPrune-LLM, arXiv 2603.13418).
 *
 * @param ranksPerDomain Rank fractions, `[domains][units]`
 * @returns Standard deviations, `[units]`, from 0 (robust) to 0.5
 */
export function sensitivities(ranksPerDomain: readonly Float64Array[]): Float64Array {
  const units = ranksPerDomain[0]?.length ?? 0;
  const domains = ranksPerDomain.length;
  return Float64Array.from({ length: units }, (_, unit) => {
    const mean = ranksPerDomain.reduce((sum, ranks) => sum + ranks[unit], 0) / domains;
    const variance = ranksPerDomain.reduce((sum, ranks) => sum + (ranks[unit] - mean) ** 2, 0) /
      domains;
    // Equal ranks can leave a rounding error behind, which would make an order out of nothing.
    return variance < 1e-24 ? 0 : Math.sqrt(variance);
  });
}

/**
 * Mean Spearman correlation over all pairs of domains, within a set of units.
 *
 * @param ranksPerDomain Rank fractions or scores, `[domains][units]`
 * @param members Units to look at
 * @returns -1 to 1; 1 where there is but one domain or one unit
 */
export function reliability(
  ranksPerDomain: readonly Float64Array[],
  members: ArrayLike<number>,
): number {
  const local = ranksPerDomain.map((ranks) =>
    rankFractions(Array.from(members, (unit) => ranks[unit]))
  );
  let sum = 0, pairs = 0;
  for (let a = 0; a < local.length; a++) {
    for (let b = a + 1; b < local.length; b++) {
      sum += correlation(local[a], local[b]);
      pairs++;
    }
  }
  return pairs === 0 || members.length < 2 ? 1 : sum / pairs;
}
