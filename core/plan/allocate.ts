/**
 * Allocation: how much each layer and kind gives up under one budget of parameters (METHOD 6).
 * @module
 */
import { PlanError } from "../errors.ts";

/** What one layer and kind can give up, and what that costs. */
export interface Prospect {
  /** Units in all. */
  readonly units: number;
  /** Parameters of one unit. */
  readonly unitParameters: number;
  /** Loss added by removing the first k units, `[units + 1]`, never falling. */
  readonly damage: ArrayLike<number>;
  /** Units removed go in steps that leave a multiple of this. */
  readonly multiple: number;
  /** Units that must stay. */
  readonly minimumKept: number;
  /** Whether so many units may stay, where not any number may. */
  readonly mayKeep?: (kept: number) => boolean;
}

/**
 * Numbers of units that may be removed: those that leave a multiple and what may be kept, and none at all.
 *
 * @param prospect What can be given up
 * @returns Growing numbers, from 0
 */
export function removalSteps(prospect: Prospect): readonly number[] {
  const { units, multiple, minimumKept, mayKeep } = prospect;
  const steps = [0];
  const first = Math.floor((units - 1) / multiple) * multiple;
  for (let kept = first; kept >= Math.max(minimumKept, 1); kept -= multiple) {
    if (mayKeep?.(kept) !== false) steps.push(units - kept);
  }
  return steps;
}

/**
 * Spends a budget of parameters where the next removed parameter costs least: greedy on the lower convex hull of every
 * damage curve, which is exact for convex curves; what is then left is spent by the smallest steps that still fit.
 *
 * @param prospects What each layer and kind can give up
 * @param budget Parameters to remove
 * @returns Units to remove from each; together within half a step of the budget
 * @throws {PlanError} if all prospects together cannot give up as much
 * @example
 * ```ts
 * import { allocate } from "./allocate.ts";
 * const common = { units: 2, unitParameters: 1, multiple: 1, minimumKept: 1 };
 * console.log(allocate([{ ...common, damage: [0, 5, 9] }, { ...common, damage: [0, 1, 9] }], 1)); // [0, 1]
 * ```
 */
export function allocate(prospects: readonly Prospect[], budget: number): readonly number[] {
  const steps = prospects.map(removalSteps);
  const most = prospects.reduce(
    (sum, prospect, i) => sum + steps[i].at(-1)! * prospect.unitParameters,
    0,
  );
  if (budget > most + tolerance(prospects, steps)) {
    throw new PlanError(
      `Cannot remove ${
        Math.round(budget)
      } parameters: at least one unit must stay in every layer, so ${most} is the most; ask for a smaller --sparsity`,
    );
  }
  const segments = prospects.flatMap((prospect, index) =>
    hullSegments(prospect, steps[index], index)
  )
    .sort((a, b) => a.slope - b.slope || a.index - b.index || a.from - b.from);
  const removed = new Array<number>(prospects.length).fill(0);
  let left = budget;
  for (const segment of segments) {
    const { unitParameters } = prospects[segment.index];
    // An earlier segment of this curve that did not fit bars the later ones.
    if (removed[segment.index] !== segment.from) continue;
    const own = steps[segment.index];
    // Steps grow one multiple at a time after the first: no need to look at all of them for every segment.
    for (let at = own.indexOf(segment.from) + 1; own[at] <= segment.to; at++) {
      const step = own[at];
      const cost = (step - removed[segment.index]) * unitParameters;
      if (cost > left) break;
      removed[segment.index] = step;
      left -= cost;
    }
  }
  return spendRest(prospects, steps, removed, left);
}

interface Segment {
  readonly index: number;
  readonly from: number;
  readonly to: number;
  readonly slope: number;
}

/** Pieces of the lower convex hull of damage over parameters, over the steps that may be taken. */
function hullSegments(
  prospect: Prospect,
  steps: readonly number[],
  index: number,
): readonly Segment[] {
  const { damage, unitParameters } = prospect;
  const hull: number[] = [];
  const slope = (a: number, b: number) => (damage[b] - damage[a]) / ((b - a) * unitParameters);
  for (const step of steps) {
    while (hull.length > 1 && slope(hull.at(-2)!, hull.at(-1)!) >= slope(hull.at(-1)!, step)) {
      hull.pop();
    }
    hull.push(step);
  }
  return hull.slice(1).map((to, at) => ({ index, from: hull[at], to, slope: slope(hull[at], to) }));
}

/** Takes the cheapest single steps that bring the sum nearer to the budget. */
function spendRest(
  prospects: readonly Prospect[],
  steps: readonly (readonly number[])[],
  removed: number[],
  rest: number,
): readonly number[] {
  let left = rest;
  for (;;) {
    let best = -1, bestTo = 0, bestSlope = Infinity;
    prospects.forEach((prospect, index) => {
      const to = steps[index].find((step) => step > removed[index]);
      if (to === undefined) return;
      const cost = (to - removed[index]) * prospect.unitParameters;
      if (Math.abs(left - cost) >= Math.abs(left)) return;
      const slope = (prospect.damage[to] - prospect.damage[removed[index]]) / cost;
      if (slope < bestSlope) [best, bestTo, bestSlope] = [index, to, slope];
    });
    if (best < 0) return removed;
    left -= (bestTo - removed[best]) * prospects[best].unitParameters;
    removed[best] = bestTo;
  }
}

function tolerance(
  prospects: readonly Prospect[],
  steps: readonly (readonly number[])[],
): number {
  return Math.max(
    ...prospects.map((prospect, i) =>
      steps[i].length < 2 ? 0 : (steps[i][1] - steps[i][0]) * prospect.unitParameters
    ),
  );
}
