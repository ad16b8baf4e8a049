/**
 * Exchanges: an allocation from single damage curves is put right by the loss of the whole pruned model (METHOD 6).
 *
 * Curves are measured one layer at a time, so they miss how damage adds up. What they miss is mostly a trend: over
 * depth, at the two ends, or between the two kinds of unit. Each exchange therefore shifts budget along one such
 * trend, by scaling the curves with exp(strength · trend), and is kept if the real loss falls.
 * @module
 */
import { allocate } from "../plan/allocate.ts";
import type { PlanDraft, Removals } from "../plan/make_plan.ts";
import { prunableBudget } from "../plan/make_plan.ts";

/** What an exchange came to. */
export interface ExchangeResult {
  /** Units that each order of the draft gives up. */
  readonly removals: Removals;
  /** Loss of the draft's own allocation, nats per token. */
  readonly before: number;
  /** Loss of the result. */
  readonly after: number;
  /** How often the loss was measured. */
  readonly measurements: number;
}

/** Options of {@linkcode exchange}. */
export interface ExchangeOptions {
  /** How often the loss may be measured. */
  readonly measurements: number;
  /** Loss of the dense model: what lies above it is damage. Default 0. */
  readonly denseLoss?: number;
  /** Called after every measurement. */
  readonly onMeasured?: (done: number) => void;
}

/**
 * An exchange must lessen the damage by this share. Windows kept back are few, and each layer is refitted by itself
 * where the plan will be refitted block by block: smaller gains were as often losses on other text.
 */
export const leastGain = 0.05;

/** Strength of the first shift along a trend; halved whenever a round brings nothing. */
const firstStrength = 0.5;
const weakestStrength = 0.1;

/**
 * Tries exchanges until none helps or the allowance is spent.
 *
 * @param draft A plan draft in the adaptive shape
 * @param loss Measures the loss of the model that loses these units
 * @param options The allowance
 * @returns The best allocation found; the draft's own at worst
 */
export async function exchange(
  draft: PlanDraft,
  loss: (removals: Removals) => Promise<number>,
  options: ExchangeOptions,
): Promise<ExchangeResult> {
  const trends = trendsOf(draft);
  const seen = new Map<string, number>();
  let measurements = 0;
  const measure = async (removals: Removals) => {
    const key = removals.join(" ");
    const known = seen.get(key);
    if (known !== undefined) return known;
    const value = await loss(removals);
    seen.set(key, value);
    options.onMeasured?.(++measurements);
    return value;
  };
  const before = await measure(draft.removals);
  let best = { removals: draft.removals, loss: before, strengths: trends.map(() => 0) };
  for (let strength = firstStrength; strength >= weakestStrength; strength /= 2) {
    for (const [index] of trends.entries()) {
      for (const direction of [1, -1]) {
        if (measurements >= options.measurements) break;
        const strengths = best.strengths.with(index, best.strengths[index] + direction * strength);
        const removals = allocateScaled(draft, trends, strengths);
        const value = await measure(removals);
        if (value > best.loss - leastGain * (best.loss - (options.denseLoss ?? 0))) continue;
        best = { removals, loss: value, strengths };
        break;
      }
    }
  }
  return { removals: best.removals, before, after: best.loss, measurements };
}

/** Each trend is a number from -1 to 1 for every order of the draft. */
function trendsOf(draft: PlanDraft): readonly (readonly number[])[] {
  const last = Math.max(1, draft.model.architecture.layers.length - 1);
  const depth = draft.orders.map(({ layer }) => 2 * layer / last - 1);
  const ends = depth.map((place) => 2 * place * place - 1);
  const kind = draft.orders.map(({ structure }) => structure === "heads" ? 1 : -1);
  const trends = [depth, ends, kind];
  return trends.filter((trend) => new Set(trend).size > 1);
}

function allocateScaled(
  draft: PlanDraft,
  trends: readonly (readonly number[])[],
  strengths: readonly number[],
): Removals {
  const scaled = draft.prospects.map((prospect, index) => {
    const shift = trends.reduce((sum, trend, t) => sum + strengths[t] * trend[index], 0);
    const scale = Math.exp(shift);
    return { ...prospect, damage: Float64Array.from(prospect.damage, (loss) => loss * scale) };
  });
  return allocate(scaled, prunableBudget(draft.model, draft.request));
}
