/**
 * Evaluating one model by itself, from texts to a report.
 * @module
 */
import type { Engine } from "../engine/types.ts";
import type { Report } from "../evaluate/report.ts";
import type { ExportTarget } from "../export/formats.ts";
import type { Model } from "../model/types.ts";
import type { WorkOptions } from "../progress.ts";
import type { Domain } from "../text/domains.ts";
import { windowLength } from "../text/texts.ts";
import { evaluateTexts, evaluationTexts, perplexityRows } from "./evaluation.ts";
import { measureExports } from "./exports.ts";
import { makeReport, type ReportStage } from "./report.ts";
import { MemoryPeak, Stopwatch } from "./setup.ts";
import { evaluationTasks, taskRows } from "./tasks.ts";
import type { EvaluationOptions, SessionEvent } from "./types.ts";

/** Options of {@linkcode evaluateModel}. */
export interface EvaluateModelSettings extends WorkOptions, Omit<EvaluationOptions, "evaluation"> {
  /** Tokens per window. Default min(2048, the model's own limit). */
  readonly seqLen?: number;
  /** Seed of the places in the texts that questions are made at. Default 0. */
  readonly seed?: number;
  /** Files to measure besides the model's own weights: which, and in which folder they are. Default none. */
  readonly files?: { readonly targets: readonly ExportTarget[]; readonly directory: string };
  /** Called at every event. */
  readonly onEvent?: (event: SessionEvent) => void;
}

/**
 * Measures perplexity, multiple choice, speed and size of a model.
 *
 * @param engine What runs it
 * @param model The model, dense or pruned
 * @param domains Texts
 * @param settings Windows, tasks, progress
 * @returns A report whose rows have `dense` only
 * @throws {TextError} if a text is too short, or a task file cannot be used
 * @throws {EngineError} if the engine fails
 * @throws {CancelledError} if cancelled
 */
export async function evaluateModel(
  engine: Engine,
  model: Model,
  domains: readonly Domain[],
  settings: EvaluateModelSettings,
): Promise<Report> {
  const watch = new Stopwatch<ReportStage>();
  const { evalWindows, seed = 0 } = settings;
  const seqLen = windowLength(model, settings.seqLen);
  const texts = await evaluationTexts(model, domains, seqLen, evalWindows);
  const notes: string[] = [];
  const onNote = (message: string) => {
    notes.push(message);
    settings.onEvent?.({ type: "note", message });
  };
  const tasks = await evaluationTasks(model, texts, { ...settings, onNote });
  const result = await watch.time(
    "evaluate",
    () => evaluateTexts(engine, model, texts, { ...settings, which: "dense", tasks }),
  );
  const files = settings.files && await watch.time("evaluate", () =>
    measureExports({
      ...settings,
      ...settings.files!,
      engine,
      name: model.name,
      dense: model,
      texts,
      onNote,
    }));
  return makeReport({
    engine,
    model,
    pruned: model,
    request: { seed, seqLen, evalWindows: evalWindows ?? "all" },
    perplexity: perplexityRows(texts, result.perplexity, undefined, [], files?.perplexity),
    exports: files?.rows,
    tasks: taskRows(tasks, result.accuracy),
    speed: { denseTokensPerSecond: result.tokensPerSecond, prunedTokensPerSecond: 0 },
    watch,
    memory: new MemoryPeak(),
    files: [],
    notes,
  });
}
