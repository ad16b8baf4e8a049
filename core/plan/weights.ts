/**
 * How much each domain counts.
 * @module
 */

/** The name of text sampled from the model itself. */
export const selfDomain = "self";

/** What text sampled from the model itself counts, of 1. */
const selfWeight = 0.5;

/**
 * What `self` counts while the first units of a removal order are chosen, and for which share of all units. Little is
 * lost at low sparsity, and half the weight then bought the texts that no calibration file covers less than it cost the
 * calibrated ones: with a third, a uniform cut of 20 % was no longer behind baselines on these (bench/QUALITY.md); with
 * less than that, the others lost more than was won.
 */
export const lightStart = { selfWeight: 1 / 3, share: 1 / 4 } as const;

/**
 * Weights of domains: all alike, but text sampled from the model itself counts as much as all others together, which
 * cost the calibrated domains almost nothing in trials and won the others most (METHOD, "How much `self` should
 * weigh").
 *
 * @param names Names of the domains
 * @param self What `self` counts, of 1. Default: a half
 * @returns Weights that add up to 1, in the order of the names
 * @example
 * ```ts
 * import { domainWeights } from "./weights.ts";
 * console.log(domainWeights(["code", "self", "wiki"])); // [0.25, 0.5, 0.25]
 * ```
 */
export function domainWeights(
  names: readonly string[],
  self: number = selfWeight,
): readonly number[] {
  const others = names.filter((name) => name !== selfDomain).length;
  if (others === 0 || others === names.length) return names.map(() => 1 / names.length);
  return names.map((name) => name === selfDomain ? self : (1 - self) / others);
}

/**
 * Weights of domains where some of them alone give the score.
 *
 * @param names Names of all domains
 * @param chosen Those that count; all if absent
 * @param self What `self` counts, of 1, if it counts. Default: a half
 * @returns Weights that add up to 1, 0 for those that do not count, in the order of the names
 */
export function scoreWeights(
  names: readonly string[],
  chosen: readonly string[] | undefined,
  self: number = selfWeight,
): readonly number[] {
  if (chosen === undefined) return domainWeights(names, self);
  const weights = domainWeights(chosen, self);
  return names.map((name) => chosen.includes(name) ? weights[chosen.indexOf(name)] : 0);
}
