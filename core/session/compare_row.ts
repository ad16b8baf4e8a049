/**
 * One row of a comparison: a plan made, carried out and evaluated under the conditions of all rows.
 * @module
 */
import { applyPlan } from "../apply/apply.ts";
import type { Statistics } from "../calibrate/types.ts";
import type { Engine } from "../engine/types.ts";
import type { EvaluationText } from "../evaluate/perplexity.ts";
import type { CompareRow } from "../evaluate/report.ts";
import type { ChoiceTask } from "../evaluate/tasks.ts";
import { refinedPlan } from "../learn/refine.ts";
import type { Model } from "../model/types.ts";
import type { PlanOptions } from "../plan/request.ts";
import type { WorkOptions } from "../progress.ts";
import { evaluateTexts, type Evaluation } from "./evaluation.ts";
import { taskRows } from "./tasks.ts";

/** What all rows of a comparison have in common. */
export interface ComparisonRun {
  /** What runs the models. */
  readonly engine: Engine;
  /** The dense model. */
  readonly model: Model;
  /** Texts to evaluate on. */
  readonly texts: readonly EvaluationText[];
  /** Multiple-choice tasks. */
  readonly tasks: readonly ChoiceTask[];
  /** What the dense model reaches on them. */
  readonly dense: Evaluation;
  /** Names of the texts that calibration had. */
  readonly calibrated: readonly string[];
  /** A folder for the pruned model of the row in hand; what it holds is replaced. */
  readonly directory: string;
}

/** Options of {@linkcode measureRow}. */
export interface RowSettings extends WorkOptions {
  /**
   * Whether the refit `lsq` of `gprune` goes block by block. Default true; false refits every layer by itself, for
   * ablations.
   */
  readonly blockByBlock?: boolean;
  /** Whether that refit may scale the final norm. Default true; false is for ablations. */
  readonly scaledNorm?: boolean;
}

/**
 * Measures one row.
 *
 * @param run What all rows have in common
 * @param statistics What the plan and the refit are made from
 * @param request What is asked for
 * @param settings Progress and cancelling
 * @returns The row
 * @throws {OptionError} if the request makes no sense
 * @throws {PlanError} if the sparsity cannot be reached, or the family has no slot for what the refit adds
 * @throws {CancelledError} if cancelled
 */
export async function measureRow(
  run: ComparisonRun,
  statistics: Statistics,
  request: PlanOptions,
  settings: RowSettings = {},
): Promise<CompareRow> {
  const { engine, model, texts, tasks, dense, directory } = run;
  const { signal, onProgress } = settings;
  const { plan } = await refinedPlan(engine, model, statistics, request, settings);
  await Deno.remove(directory, { recursive: true }).catch(() => undefined);
  await Deno.mkdir(directory, { recursive: true });
  const applied = await applyPlan(model, plan, {
    engine: settings.blockByBlock === false ? undefined : engine,
    statistics,
    directory,
    scaledNorm: settings.scaledNorm,
    signal,
    onProgress,
  });
  const pruned = await evaluateTexts(engine, applied.model, texts, {
    which: "pruned",
    tasks,
    signal,
    onProgress,
  });
  const perplexity = texts.map(({ name }, index) => ({
    name,
    dense: dense.perplexity[index],
    pruned: pruned.perplexity[index],
    calibrated: run.calibrated.includes(name),
  }));
  const { method, metric, refit, shape, sparsity } = plan.request;
  return {
    method,
    metric,
    refit,
    shape,
    sparsity,
    reachedSparsity: plan.result.sparsity,
    perplexity,
    ...(tasks.length === 0 ? {} : { tasks: taskRows(tasks, dense.accuracy, pruned.accuracy) }),
    ...ratiosOf(perplexity),
  };
}

/**
 * What a row's perplexities come to.
 *
 * @param perplexity One entry or more
 * @returns Geometric means of pruned / dense over all texts, those calibrated and those not, and the worst text
 */
export function ratiosOf(
  perplexity: CompareRow["perplexity"],
): Pick<CompareRow, "geomeanRatio" | "calibratedRatio" | "uncoveredRatio" | "worst"> {
  return {
    geomeanRatio: geometricMeanRatio(perplexity) ?? NaN,
    calibratedRatio: geometricMeanRatio(perplexity.filter(({ calibrated }) => calibrated)),
    uncoveredRatio: geometricMeanRatio(perplexity.filter(({ calibrated }) => !calibrated)),
    worst: perplexity.map(({ name, dense, pruned }) => ({ name, ratio: pruned / dense }))
      .reduce((worst, row) => row.ratio > worst.ratio ? row : worst),
  };
}

/**
 * The geometric mean of pruned / dense perplexity.
 *
 * @param rows Perplexities
 * @returns The mean ratio; undefined where there is no row
 */
export function geometricMeanRatio(
  rows: readonly { readonly dense: number; readonly pruned: number }[],
): number | undefined {
  if (rows.length === 0) return undefined;
  const sum = rows.reduce((total, { dense, pruned }) => total + Math.log(pruned / dense), 0);
  return Math.exp(sum / rows.length);
}
