/**
 * Refining a plan with the loss of the whole pruned model, where single damage curves add up wrongly.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import type { Engine } from "../engine/types.ts";
import type { Model } from "../model/types.ts";
import { draftPlan, finishPlan, type Removals, uniformAlternatives } from "../plan/make_plan.ts";
import type { PlanOptions } from "../plan/request.ts";
import type { Plan } from "../plan/types.ts";
import { domainWeights } from "../plan/weights.ts";
import { multiplier } from "../engine/multiply.ts";
import { doEveryStep, type ResumableOptions } from "../progress.ts";
import { exchange, type ExchangeResult } from "./exchange.ts";
import { headBlocks, HeldOutRuns } from "./held_out.ts";
import { prunedLayer } from "./pruner.ts";
import { learningSchedule } from "./windows.ts";

/** Exchanges may cost this many passes over the calibration windows. */
export const exchangePasses = 1;

/** A plan, and what refining it came to. */
export interface RefinedPlan {
  /** The plan. */
  readonly plan: Plan;
  /** Loss on windows kept back before and after the exchanges, nats per token; absent where there was nothing to try. */
  readonly loss?: { readonly before: number; readonly after: number };
  /** How often the loss was measured. */
  readonly measurements: number;
}

/**
 * Makes a plan and, for `gprune`, improves its allocation by the loss on windows kept back: by exchanges in the
 * adaptive shape; in the uniform shape, where few pairs of sizes meet the budget, by measuring those.
 *
 * @param engine What runs the model
 * @param model The dense model
 * @param statistics What calibration found
 * @param options What is asked for
 * @param work Progress, cancelling, and what remembers measured losses
 * @returns The plan; that of `makePlan` where there was nothing to try
 * @throws {OptionError} if an option makes no sense
 * @throws {PlanError} if the sparsity cannot be reached
 * @throws {CancelledError} if cancelled
 */
export async function refinedPlan(
  engine: Engine,
  model: Model,
  statistics: Statistics,
  options: PlanOptions,
  work: ResumableOptions = {},
): Promise<RefinedPlan> {
  const draft = draftPlan(model, statistics, options);
  const { request, orders } = draft;
  const settled = { plan: finishPlan(draft, draft.removals), measurements: 0 };
  if (request.method !== "gprune" || request.sparsity === 0) return settled;
  const uniform = request.shape === "uniform";
  const alternatives = uniform ? uniformAlternatives(draft) : [];
  const worthIt = uniform ? alternatives.length > 1 : statistics.learned !== undefined;
  const learning = learningSchedule(model, statistics, request).domains;
  if (!worthIt || learning.length === 0) return settled;
  const runs = new HeldOutRuns(engine, model, learning);
  const measurements = affordable(model, statistics, runs);
  if (measurements < 2) return settled;
  const weights = domainWeights(learning.map(({ name }) => name));
  const judge = request.objective === "worst"
    ? (losses: readonly number[]) =>
      Math.max(...losses.map((loss, d) => loss - (statistics.learned?.denseLoss[d] ?? 0)))
    : (losses: readonly number[]) => losses.reduce((sum, loss, d) => sum + weights[d] * loss, 0);
  const denseLoss = request.objective === "worst" ? 0 : judge(statistics.learned?.denseLoss ?? []);
  const { remember = doEveryStep } = work;
  const multiply = multiplier(engine);
  const loss = async (removals: Removals) =>
    judge(
      await remember(`loss after removing ${removals.join(" ")}`, () =>
        runs.lossOf((layer) => {
          const own = orders.flatMap((order, index) =>
            order.layer === layer ? [{ order, removed: removals[index] }] : []
          );
          return prunedLayer(model, statistics, request, layer, own, multiply);
        }, work)),
    );
  const onMeasured = (done: number) =>
    work.onProgress?.({ stage: "plan", done, total: measurements, unit: "exchanges" });
  const result = uniform
    ? await best(alternatives.slice(0, measurements), loss, onMeasured)
    : await exchange(draft, loss, { measurements, onMeasured, denseLoss });
  return {
    plan: finishPlan(draft, result.removals),
    loss: { before: result.before, after: result.after },
    measurements: result.measurements,
  };
}

/** The alternative with the least measured loss. */
async function best(
  alternatives: readonly Removals[],
  loss: (removals: Removals) => Promise<number>,
  onMeasured: (done: number) => void,
): Promise<ExchangeResult> {
  const losses: number[] = [];
  for (const removals of alternatives) {
    losses.push(await loss(removals));
    onMeasured(losses.length);
  }
  const after = Math.min(...losses);
  return {
    removals: alternatives[losses.indexOf(after)],
    before: losses[0],
    after,
    measurements: losses.length,
  };
}

/** How many measurements of the whole model the allowance buys. */
function affordable(model: Model, statistics: Statistics, runs: HeldOutRuns): number {
  const layers = model.architecture.layers.length;
  const windows = statistics.domains.reduce((sum, domain) => sum + domain.windows, 0);
  const cost = runs.windows * (layers + headBlocks(model));
  return Math.floor(exchangePasses * windows * layers / cost);
}
