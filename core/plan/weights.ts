/**
 * How much each domain counts.
 * @module
 */

/** The name of text sampled from the model itself. */
export const selfDomain = "self";

/**
 * Weights of domains: all alike, but text sampled from the model itself counts as much as all others together, which
 * cost the calibrated domains almost nothing in trials and won the others most (METHOD, "How much `self` should
 * weigh").
 *
 * @param names Names of the domains
 * @returns Weights that add up to 1, in the order of the names
 * @example
 * ```ts
 * import { domainWeights } from "./weights.ts";
 * console.log(domainWeights(["code", "self", "wiki"])); // [0.25, 0.5, 0.25]
 * ```
 */
export function domainWeights(names: readonly string[]): readonly number[] {
  const others = names.filter((name) => name !== selfDomain).length;
  if (others === 0 || others === names.length) return names.map(() => 1 / names.length);
  return names.map((name) => name === selfDomain ? 0.5 : 0.5 / others);
}

/**
 * Weights of domains where some of them alone give the score.
 *
 * @param names Names of all domains
 * @param chosen Those that count; all if absent
 * @returns Weights that add up to 1, 0 for those that do not count, in the order of the names
 */
export function scoreWeights(
  names: readonly string[],
  chosen: readonly string[] | undefined,
): readonly number[] {
  if (chosen === undefined) return domainWeights(names);
  const weights = domainWeights(chosen);
  return names.map((name) => chosen.includes(name) ? weights[chosen.indexOf(name)] : 0);
}
