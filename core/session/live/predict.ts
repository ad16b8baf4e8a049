/**
 * Predicted perplexity: what the learned damage says of a plan, put right by what has been measured so far.
 * @module
 */
import type { PlanDraft } from "../../plan/make_plan.ts";
import { domainWeights } from "../../plan/weights.ts";

/**
 * The loss that a draft's allocation is predicted to add, as if the damage of its parts added up.
 *
 * @param draft The draft
 * @param damage The predicted damage of each order on each domain, `[orders][domains][units + 1]`
 * @returns Nats per token for each domain; none where nothing was learned
 */
export function predictedLosses(
  draft: PlanDraft,
  damage: readonly (readonly Float64Array[])[],
): readonly number[] {
  const [first = []] = damage;
  return first.map((_, domain) =>
    damage.reduce((sum, own, index) => sum + own[domain][draft.removals[index]], 0)
  );
}

/**
 * The predicted loss on a text: that of the domain of the same name, or of all domains together.
 *
 * @param losses Nats per token for each domain
 * @param domains Names of the domains
 * @param text The text's name
 * @returns Nats per token
 */
export function lossOnText(
  losses: readonly number[],
  domains: readonly string[],
  text: string,
): number {
  const own = domains.indexOf(text);
  if (own >= 0) return losses[own];
  const weights = domainWeights(domains);
  return losses.reduce((sum, loss, domain) => sum + weights[domain] * loss, 0);
}

/** What a sparsity was predicted to cost on a text, and did cost. */
export interface Measurement {
  /** The sparsity. */
  readonly sparsity: number;
  /** Nats per token that the curves predict. */
  readonly predicted: number;
  /** Nats per token that were measured. */
  readonly measured: number;
}

/** Loss so small is noise, and its ratio to anything says nothing. */
const leastLoss = 1e-3;

/**
 * How much more a cut costs than the curves say: measured / predicted loss, between measured sparsities by straight
 * lines in logarithms, beyond them as at the nearest.
 *
 * @param measurements What was measured, in any order
 * @param sparsity The sparsity to tell the factor at
 * @returns A factor; 1 where nothing was measured
 * @example
 * ```ts
 * import { correction } from "./predict.ts";
 * console.log(correction([{ sparsity: 0.3, predicted: 0.1, measured: 0.2 }], 0.5)); // 2
 * ```
 */
export function correction(measurements: readonly Measurement[], sparsity: number): number {
  const points = measurements
    .filter(({ predicted }) => predicted > leastLoss)
    .map(({ sparsity, predicted, measured }) => ({
      sparsity,
      log: Math.log(Math.max(measured, leastLoss) / predicted),
    }))
    .sort((a, b) => a.sparsity - b.sparsity);
  if (points.length === 0) return 1;
  const above = points.findIndex((point) => point.sparsity >= sparsity);
  if (above === 0) return Math.exp(points[0].log);
  if (above < 0) return Math.exp(points[points.length - 1].log);
  const low = points[above - 1], high = points[above];
  const share = (sparsity - low.sparsity) / (high.sparsity - low.sparsity);
  return Math.exp(low.log + share * (high.log - low.log));
}
