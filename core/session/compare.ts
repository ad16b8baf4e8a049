/**
 * Comparing: methods × sparsities × refits from one set of statistics, evaluated under the same conditions.
 * @module
 */
import { join } from "@std/path";
import type { Statistics } from "../calibrate/types.ts";
import type { Engine } from "../engine/types.ts";
import { OptionError, PlanError } from "../errors.ts";
import type { CompareRow, Comparison } from "../evaluate/report.ts";
import type { Model } from "../model/types.ts";
import { methods, type PlanOptions, resolveRequest } from "../plan/request.ts";
import type { PlanRequest, Refit } from "../plan/types.ts";
import { calibrationDomains, evaluationDomains, windowLength } from "../text/texts.ts";
import { calibrateWith, usesLearning, withLearned } from "./calibrate.ts";
import { type ComparisonRun, measureRow } from "./compare_row.ts";
import { evaluateTexts, evaluationTexts, perplexityRows } from "./evaluation.ts";
import { memoryTask } from "./memory/memory_tasks.ts";
import { calibrationRows } from "./report.ts";
import { rowCost, rowProgress } from "./row_progress.ts";
import { withModel } from "./setup.ts";
import { evaluationTasks } from "./tasks.ts";
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
    const requests = combinations.map((each) => resolveRequest(each, model.architecture.layers));
    const seqLen = windowLength(model, options.seqLen);
    const evaluated = await evaluationDomains(options.evaluation);
    const texts = await evaluationTexts(model, evaluated, seqLen, options.evalWindows);
    const choiceTasks = options.choiceTasks ?? false;
    const tasks = await evaluationTasks(model, texts, { ...options, choiceTasks, onNote: note });
    const domains = await calibrationDomains(options.calibration);
    const workFolder = await Deno.makeTempDir({ prefix: "gprune-compare-" });
    try {
      const own = requests.find(({ method }) => method === "gprune");
      const statistics = await calibrateWith(engine, model, domains, {
        ...options,
        // Published methods know nothing of text that the model wrote itself.
        self: own === undefined ? false : options.self,
        request: own ?? requests[0],
        gram: requests.some(needsGram),
        learn: false,
        workFolder: join(workFolder, "statistics"),
        resume: false,
        onNote: note,
      });
      const dense = await evaluateTexts(engine, model, texts, {
        ...options,
        which: "dense",
        tasks,
      });
      const calibrated = domains.map(({ name }) => name);
      const directory = join(workFolder, "pruned");
      const run = { engine, model, texts, tasks, dense, calibrated, directory };
      return {
        schema: "gprune.compare/1",
        model: { source: model.source, fingerprint: model.fingerprint },
        calibration: calibrationRows(statistics),
        texts: perplexityRows(texts, dense.perplexity, undefined, calibrated),
        rows: await measureRows(run, statistics, requests, options, note),
        notes,
      };
    } finally {
      await Deno.remove(workFolder, { recursive: true }).catch(() => undefined);
    }
  }, (model) => {
    const requests = combinationsOf(options)
      .map((each) => resolveRequest(each, model.architecture.layers));
    return memoryTask(model, {
      seqLen: windowLength(model, options.seqLen),
      requests,
      calibration: { ...options, gram: requests.some(needsGram) },
      applies: true,
      evaluates: true,
    });
  });
}

function combinationsOf(options: CompareOptions): readonly PlanOptions[] {
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

function needsGram({ metric, refit }: PlanRequest): boolean {
  return metric === "obs" || refit === "lsq";
}

async function measureRows(
  run: ComparisonRun,
  statistics: Statistics,
  requests: readonly PlanRequest[],
  options: CompareOptions,
  note: (message: string) => void,
): Promise<readonly CompareRow[]> {
  const { engine, model } = run;
  const learned = await learnedByRefit(engine, model, statistics, requests, options);
  const tokens = {
    evaluation: evaluationTokens(run),
    calibration: statistics.domains.reduce((sum, domain) => sum + domain.tokens, 0),
  };
  const rows = requests.map((request) => ({
    name: `${request.method} + ${request.refit} at ${percent(request.sparsity)}`,
    cost: rowCost(request, tokens),
  }));
  const progressOf = rowProgress(rows, options.onProgress);
  const result: CompareRow[] = [];
  for (const [index, request] of requests.entries()) {
    const progress = progressOf(index);
    const own = usesLearning(request) ? learned.get(request.refit) ?? statistics : statistics;
    try {
      const settings = { signal: options.signal, onProgress: progress.report };
      result.push(await measureRow(run, own, request, settings));
    } catch (error) {
      if (!(error instanceof PlanError) || requests.length === 1) throw error;
      note(
        `Left out ${request.method} at ${request.sparsity} with refit ${request.refit}: ${error.message}`,
      );
    }
    progress.end();
  }
  return result;
}

/** Curves follow the refit, so that each refit has its own; without `gprune` rows nothing is learned. */
async function learnedByRefit(
  engine: Engine,
  model: Model,
  statistics: Statistics,
  requests: readonly PlanRequest[],
  { signal, onProgress }: CompareOptions,
): Promise<ReadonlyMap<Refit, Statistics>> {
  const learned = new Map<Refit, Statistics>();
  for (const request of requests) {
    if (!usesLearning(request) || request.sparsity === 0 || learned.has(request.refit)) continue;
    const work = {
      signal,
      onProgress: onProgress && ((progress: Parameters<typeof onProgress>[0]) =>
        onProgress({
          ...progress,
          detail: `refit ${request.refit}, ${progress.detail ?? ""}`,
        })),
    };
    const own = await withLearned({ engine, model, statistics, request }, work);
    learned.set(request.refit, own);
  }
  return learned;
}

function evaluationTokens({ texts, tasks }: Pick<ComparisonRun, "texts" | "tasks">): number {
  const inTexts = texts.reduce((sum, { windows }) => sum + windows.length * windows[0].length, 0);
  const choices = tasks.flatMap(({ items }) => items.flatMap((item) => item.choices));
  return choices.reduce((sum, { tokens }) => sum + tokens.length, inTexts);
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(2))} %`;
}
