/**
 * The report of a job, put together from what its stages gave.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import type { Engine } from "../engine/types.ts";
import type {
  CalibrationRow,
  ExportRow,
  PerplexityRow,
  RefitRow,
  Report,
  TaskRow,
} from "../evaluate/report.ts";
import type { Model } from "../model/types.ts";
import { prunableParameters } from "../model/units.ts";
import type { Plan } from "../plan/types.ts";
import { damageRows } from "./damage_rows.ts";
import type { MemoryPeak, Stopwatch } from "./setup.ts";

/** The stages whose wall time a report gives. */
export type ReportStage = "calibrate" | "plan" | "apply" | "evaluate" | "export";

/** What a report is made of. */
export interface ReportParts {
  /** The engine that ran it. */
  readonly engine: Engine;
  /** The model as it was. */
  readonly model: Model;
  /** The pruned model; the model itself where nothing was pruned. */
  readonly pruned: Model;
  /** The plan, if there is one. */
  readonly plan?: Plan;
  /** The statistics, if there are any. */
  readonly statistics?: Statistics;
  /** Options to show beside the plan's request. */
  readonly request: Readonly<Record<string, unknown>> & { readonly seed: number };
  /** Outcomes of the refit. */
  readonly refits?: readonly RefitRow[];
  /** What the refit multiplied the final norm by. */
  readonly finalNormScale?: number;
  /** Perplexity rows. */
  readonly perplexity: readonly PerplexityRow[];
  /** Multiple choice. Default none. */
  readonly tasks?: readonly TaskRow[];
  /** Tokens per second. */
  readonly speed: Report["speed"];
  /** Files in other formats. */
  readonly exports?: readonly ExportRow[];
  /** Wall times. */
  readonly watch: Stopwatch<ReportStage>;
  /** Memory. */
  readonly memory: MemoryPeak;
  /** Files written. */
  readonly files: Report["files"];
  /** What a reader should know. */
  readonly notes: readonly string[];
}

/**
 * Puts a report together.
 *
 * @param parts What the stages gave
 * @returns The report
 */
export function makeReport(parts: ReportParts): Report {
  const { engine, model, pruned, plan, statistics, watch } = parts;
  const after = pruned.architecture.layers;
  return {
    schema: "gprune.report/1",
    model: {
      source: model.source,
      family: model.architecture.family,
      layers: model.architecture.layers.length,
      parameters: model.parameters,
      fingerprint: model.fingerprint,
    },
    engine: { name: engine.name, device: engine.device },
    request: { ...plan?.request, ...parts.request },
    calibration: statistics === undefined ? [] : calibrationRows(statistics),
    modules: plan?.modules ?? [],
    damage: plan === undefined || statistics === undefined
      ? undefined
      : damageRows(statistics, plan),
    layers: model.architecture.layers.map((before, layer) => ({
      layer,
      ffn: [before.ffnWidth, after[layer].ffnWidth],
      kvHeads: [before.keyValueHeads, after[layer].keyValueHeads],
      queryHeads: [before.queryHeads, after[layer].queryHeads],
    })),
    refits: parts.refits,
    finalNormScale: parts.finalNormScale,
    result: {
      sparsity: countedSparsity(model, pruned, plan),
      parameters: { before: model.parameters, after: pruned.parameters },
      bytes: { before: model.bytes, after: pruned.bytes },
    },
    perplexity: parts.perplexity,
    tasks: parts.tasks ?? [],
    speed: parts.speed,
    ...(parts.exports === undefined || parts.exports.length === 0
      ? {}
      : { exports: parts.exports }),
    seconds: {
      calibrate: watch.seconds("calibrate"),
      plan: watch.seconds("plan"),
      apply: watch.seconds("apply"),
      evaluate: watch.seconds("evaluate"),
      export: watch.seconds("export"),
    },
    peakMemoryBytes: parts.memory.bytes,
    files: parts.files,
    notes: parts.notes,
  };
}

/**
 * What the statistics were taken on.
 *
 * @param statistics Statistics
 * @returns One row per domain
 */
export function calibrationRows(statistics: Statistics): readonly CalibrationRow[] {
  return statistics.domains.map(({ name, tokens, windows, seqLen, sha256 }) => ({
    name,
    tokens,
    windows,
    seqLen,
    sha256,
  }));
}

/** Counted from the tensors that were written, not from the plan. */
function countedSparsity(model: Model, pruned: Model, plan: Plan | undefined): number {
  if (plan === undefined) return 0;
  const before = prunableParameters(model.architecture);
  // With the dense architecture's own parts: a refit may have added biases, which are no units.
  const after = prunableParameters(model.architecture, pruned.architecture.layers);
  let prunable = 0, left = 0;
  for (const structure of plan.request.structures) {
    prunable += before[structure];
    left += after[structure];
  }
  return prunable === 0 ? 0 : (prunable - left) / prunable;
}
