/**
 * Modules: units of one layer and kind that behave alike across domains and compete only with each other
 * (METHOD 3 to 5; the idea is GPrune-LLM's, arXiv 2603.13418, the grouping and the switch are reconstructions).
 * @module
 */
import { Random } from "../random.ts";
import { ascending, rankFractions, reliability, sensitivities } from "./ranks.ts";
import type { Switch } from "./types.ts";

/** A module shrinks the number of modules rather than hold fewer units than this. */
export const minimumModuleUnits = 16;
/** Below this reliability, and this share of score magnitude, activations are no judge of a module. */
export const unreliableBelow = 0.5;

/** One module. */
export interface UnitModule {
  /** Unit numbers, ascending. */
  readonly members: Int32Array;
  /** Mean sensitivity of its units. */
  readonly sensitivity: number;
  /** Mean Spearman correlation of ranks between domains inside it. */
  readonly reliability: number;
  /** Mean rank fraction of its units' scores, 0 to 1. */
  readonly magnitude: number;
  /** What ranks its units. */
  readonly source: "activation" | "magnitude" | "blend";
}

/**
 * Groups units into quantiles of sensitivity and says what ranks each group.
 *
 * @param scoresPerDomain Scores by the base metric, `[domains][units]`
 * @param count Modules, at most; fewer where one would hold under {@linkcode minimumModuleUnits} units
 * @param unreliable Who judges modules of low reliability and low magnitude
 * @param chance Where given, members are drawn by chance with this seed, into modules of the same sizes: a control that
 * shows what grouping by sensitivity is worth
 * @returns The modules, from the most robust to the most sensitive
 * @example
 * ```ts
 * import { groupModules } from "./modules.ts";
 * const scores = [Float64Array.of(1, 2, 3), Float64Array.of(1, 2, 3)];
 * console.log(groupModules(scores, 4, "none").length); // 1
 * ```
 */
export function groupModules(
  scoresPerDomain: readonly Float64Array[],
  count: number,
  unreliable: Switch,
  chance?: string,
): readonly UnitModule[] {
  const ranks = scoresPerDomain.map(rankFractions);
  const units = ranks[0].length;
  const sensitivity = sensitivities(ranks);
  const order = chance === undefined
    ? ascending(sensitivity)
    : Random.of(chance).permutation(units);
  const modules = Math.max(1, Math.min(count, Math.floor(units / minimumModuleUnits)));
  return Array.from({ length: modules }, (_, index) => {
    const from = Math.floor(index * units / modules);
    const to = Math.floor((index + 1) * units / modules);
    const members = order.slice(from, to).sort();
    const agreement = reliability(ranks, members);
    const magnitude = meanOver(members, (unit) => meanOver(ranks, (rank) => rank[unit]));
    const low = agreement < unreliableBelow && magnitude < unreliableBelow;
    return {
      members,
      sensitivity: meanOver(members, (unit) => sensitivity[unit]),
      reliability: agreement,
      magnitude,
      source: unreliable === "magnitude" && low
        ? "magnitude"
        : unreliable === "blend" && agreement < 1
        ? "blend"
        : "activation",
    };
  });
}

function meanOver<T>(items: Iterable<T> & { readonly length: number }, of: (item: T) => number) {
  let sum = 0;
  for (const item of items) sum += of(item);
  return sum / items.length;
}
