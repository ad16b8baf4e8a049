/**
 * Allocation in the uniform shape: every layer loses equally many units of a kind.
 * @module
 */
import { PlanError } from "../errors.ts";
import { type Prospect, removalSteps } from "./allocate.ts";

/** One way to meet a budget. */
export interface UniformChoice {
  /** For each kind, units to remove from every layer. */
  readonly removed: readonly number[];
  /** Predicted loss. */
  readonly damage: number;
}

/**
 * All ways to meet a budget with the same sizes in every layer, to within half a step of the first kind.
 *
 * @param perKind For each kind, the prospects of all layers, all of the same size
 * @param budget Parameters to remove
 * @returns At least one choice
 * @throws {PlanError} if the budget cannot be met
 * @example
 * ```ts
 * import { uniformChoices } from "./allocate_uniformly.ts";
 * const neurons = { units: 4, unitParameters: 1, multiple: 1, minimumKept: 1, damage: [0, 1, 2, 3, 4] };
 * const groups = { ...neurons, units: 2, unitParameters: 2, damage: [0, 9, 20] };
 * console.log(uniformChoices([[neurons], [groups]], 2).map(({ removed }) => removed)); // [[2, 0], [0, 1]]
 * ```
 */
export function uniformChoices(
  perKind: readonly (readonly Prospect[])[],
  budget: number,
): readonly UniformChoice[] {
  const steps = perKind.map((prospects) => removalSteps(prospects[0]));
  const cost = (kind: number, step: number) =>
    step * perKind[kind][0].unitParameters * perKind[kind].length;
  const damage = (removed: readonly number[]) =>
    removed.reduce(
      (sum, step, kind) => perKind[kind].reduce((all, { damage }) => all + damage[step], sum),
      0,
    );
  const [first, ...others] = perKind.keys();
  const combinations = others.reduce<readonly (readonly number[])[]>(
    (all, kind) => all.flatMap((chosen) => steps[kind].map((step) => [...chosen, step])),
    [[]],
  );
  const choices = combinations.map((chosen) => {
    const spent = chosen.reduce((sum, step, at) => sum + cost(others[at], step), 0);
    const own = nearest(steps[first], (budget - spent) / cost(first, 1));
    const removed = [own, ...chosen];
    const gap = Math.abs(budget - spent - cost(first, own));
    return { removed, gap, damage: damage(removed) };
  });
  const step = cost(first, largestStep(steps[first]));
  const smallestGap = Math.min(...choices.map(({ gap }) => gap));
  if (smallestGap > step + 1e-6 && smallestGap > 0.005 * budget) {
    const most = perKind.reduce((sum, _, kind) => sum + cost(kind, steps[kind].at(-1)!), 0);
    throw new PlanError(
      `Cannot remove ${
        Math.round(budget)
      } parameters with the same sizes in every layer: ${most} is the most, and the nearest whole step is ${
        Math.round(smallestGap)
      } away; ask for another --sparsity, a smaller --multiple or --shape adaptive`,
    );
  }
  return choices.filter(({ gap }) => gap <= Math.max(smallestGap, step / 2 + 1e-6));
}

/**
 * Chooses the same sizes for every layer.
 *
 * @param perKind For each kind, the prospects of all layers, all of the same size
 * @param budget Parameters to remove
 * @param share Where given, the share of units that every kind should lose, as near as whole units allow (baselines);
 * the first kind makes up for the others' rounding. Otherwise the choice with the least damage is taken
 * @returns For each kind, units to remove from every layer
 * @throws {PlanError} if the budget cannot be met
 */
export function allocateUniformly(
  perKind: readonly (readonly Prospect[])[],
  budget: number,
  share?: number,
): readonly number[] {
  const rank = share === undefined
    ? ({ damage }: UniformChoice) => damage
    : ({ removed }: UniformChoice) =>
      removed.slice(1).reduce(
        (sum, count, at) => sum + Math.abs(count / perKind[at + 1][0].units - share),
        0,
      );
  return uniformChoices(perKind, budget)
    .reduce((best, choice) => rank(choice) < rank(best) ? choice : best).removed;
}

function largestStep(steps: readonly number[]): number {
  return steps.length < 2 ? 1 : Math.max(...steps.slice(1).map((step, at) => step - steps[at]));
}

function nearest(steps: readonly number[], wanted: number): number {
  return steps.reduce((best, step) =>
    Math.abs(step - wanted) < Math.abs(best - wanted) ? step : best
  );
}
