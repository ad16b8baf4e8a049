/**
 * Comparing: methods × sparsities × refits from one set of statistics, evaluated under the same conditions.
 * @module
 */
import { join } from "@std/path";
import { applyPlan } from "../apply/apply.ts";
import type { Statistics } from "../calibrate/types.ts";
import type { Engine } from "../engine/types.ts";
import { OptionError, PlanError } from "../errors.ts";
import type { EvaluationText } from "../evaluate/perplexity.ts";
import type { CompareRow, Comparison } from "../evaluate/report.ts";
import type { ChoiceTask } from "../evaluate/tasks.ts";
import { refinedPlan } from "../learn/refine.ts";
import type { Model } from "../model/types.ts";
import { methods, type PlanOptions, resolveRequest } from "../plan/request.ts";
import type { Method, Refit } from "../plan/types.ts";
import { calibrationDomains, evaluationDomains, windowLength } from "../text/texts.ts";
import { calibrateWith } from "./calibrate.ts";
import { evaluateTexts, type Evaluation, evaluationTexts, perplexityRows } from "./evaluation.ts";
import { calibrationRows } from "./report.ts";
import { withModel } from "./setup.ts";
import { evaluationTasks, taskRows } from "./tasks.ts";
import type { CompareOptions } from "./types.ts";

/** Sparsities that are compared unless told otherwise. */
const defaultSparsities: readonly number[] = [0.3, 0.5];

/**
 * Compares methods on one model.
 *
 * @param options Which model, on which texts, which methods, sparsities and refits
 * @returns One row for each combination that can be carried out; notes on those that cannot
 * @throws {GpruneError} if nothing can be compared
 */
export async function compareJob(options: CompareOptions): Promise<Comparison> {
  const notes: string[] = [];
  const note = (message: string) => {
    notes.push(message);
    options.onEvent?.({ type: "note", message });
  };
  return await withModel(options, async (engine, model) => {
    const combinations = combinationsOf(options);
    if (combinations.length === 0) {
      throw new OptionError("Cannot compare nothing: give --methods, --sparsity and --refit");
    }
    const requests = combinations.map((combination) =>
      resolveRequest(combination, model.architecture.layers)
    );
    const seqLen = windowLength(model, options.seqLen);
    const evaluated = await evaluationDomains(options.evaluation);
    const texts = await evaluationTexts(model, evaluated, seqLen, options.evalWindows);
    const choiceTasks = options.choiceTasks ?? false;
    const tasks = await evaluationTasks(model, texts, { ...options, choiceTasks, onNote: note });
    const domains = await calibrationDomains(options.calibration);
    const own = requests.find(({ method }) => method === "gprune");
    const workFolder = await Deno.makeTempDir({ prefix: "gprune-compare-" });
    try {
      const statistics = await calibrateWith(engine, model, domains, {
        ...options,
        self: own === undefined ? false : options.self,
        request: own ?? requests[0],
        gram: own !== undefined || requests.some(({ refit }) => refit === "lsq"),
        workFolder: join(workFolder, "statistics"),
        resume: false,
        onNote: note,
      });
      const dense = await evaluateTexts(engine, model, texts, {
        ...options,
        which: "dense",
        tasks,
      });
      const run = { engine, model, statistics, texts, tasks, dense, options };
      const rows: CompareRow[] = [];
      for (const combination of combinations) {
        try {
          rows.push(await compareOne(run, combination, join(workFolder, "pruned")));
        } catch (error) {
          if (!(error instanceof PlanError) || combinations.length === 1) throw error;
          note(`Left out ${nameOf(combination)}: ${error.message}`);
        }
      }
      return {
        schema: "gprune.compare/1",
        model: { source: model.source, fingerprint: model.fingerprint },
        calibration: calibrationRows(statistics),
        texts: perplexityRows(texts, dense.perplexity, undefined, domains.map((d) => d.name)),
        rows,
        notes,
      };
    } finally {
      await Deno.remove(workFolder, { recursive: true }).catch(() => undefined);
    }
  });
}

type Combination = PlanOptions & { readonly method: Method };

function combinationsOf(options: CompareOptions): readonly Combination[] {
  const refits: readonly (Refit | undefined)[] = options.refits ?? [undefined];
  return (options.methods ?? methods).flatMap((method) =>
    (options.sparsities ?? defaultSparsities).flatMap((sparsity) =>
      refits.map((refit) => ({
        ...options.request,
        metric: method === "gprune" ? options.request?.metric : undefined,
        seed: options.seed,
        method,
        sparsity,
        refit,
      }))
    )
  );
}

function nameOf({ method, sparsity, refit }: Combination): string {
  return `${method} at ${sparsity}${refit === undefined ? "" : ` with refit ${refit}`}`;
}

interface CompareRun {
  readonly engine: Engine;
  readonly model: Model;
  readonly statistics: Statistics;
  readonly texts: readonly EvaluationText[];
  readonly tasks: readonly ChoiceTask[];
  readonly dense: Evaluation;
  readonly options: CompareOptions;
}

async function compareOne(
  run: CompareRun,
  combination: Combination,
  directory: string,
): Promise<CompareRow> {
  const { engine, model, statistics, texts, tasks, dense, options } = run;
  const { plan } = await refinedPlan(engine, model, statistics, combination, options);
  await Deno.remove(directory, { recursive: true }).catch(() => undefined);
  await Deno.mkdir(directory, { recursive: true });
  const { signal, onProgress } = options;
  const applied = await applyPlan(model, plan, {
    engine,
    statistics,
    directory,
    signal,
    onProgress,
  });
  const label = { ...options, which: "pruned" as const, onEvent: undefined, tasks };
  const pruned = await evaluateTexts(engine, applied.model, texts, label);
  const perplexity = texts.map(({ name }, index) => ({
    name,
    dense: dense.perplexity[index],
    pruned: pruned.perplexity[index],
    calibrated: statistics.domains.some((domain) => domain.name === name),
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
    geomeanRatio: geometricMeanRatio(perplexity)!,
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
