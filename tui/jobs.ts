/**
 * The jobs that the commands start. They are loaded at the first use, so that `--help` does not wait for an engine.
 * @module
 */
import type { Statistics } from "../core/calibrate/types.ts";
import type { Comparison, Report } from "../core/evaluate/report.ts";
import type { ModelSummary } from "../core/model/inspect.ts";
import type { Plan } from "../core/plan/types.ts";
import type {
  ApplyOptions,
  CalibrateOptions,
  CompareOptions,
  EvaluateOptions,
  ExportOptions,
  JobOptions,
  JobResult,
  PlanOptions,
  PruneOptions,
} from "../core/session/types.ts";
import type { CalibratePartOptions } from "../core/session/parts/calibrate_part.ts";
import type { MergeOptions } from "../core/session/parts/merge.ts";
import type { PartWords } from "../core/session/parts/part_store.ts";
import type { Diagnosis } from "./tables/diagnosis.ts";

/** Everything that a command can have done. Tests put other functions in their place. */
export interface Jobs {
  /** Calibrates, plans, applies, evaluates and writes. */
  readonly prune: (options: PruneOptions) => Promise<JobResult>;
  /** Takes statistics and saves them. */
  readonly calibrate: (options: CalibrateOptions) => Promise<Statistics>;
  /** Takes one part of statistics and saves it. */
  readonly calibratePart: (options: CalibratePartOptions) => Promise<PartWords>;
  /** Adds parts of statistics and saves them. */
  readonly merge: (options: MergeOptions) => Promise<Statistics>;
  /** Makes a plan of statistics and saves it. */
  readonly plan: (options: PlanOptions) => Promise<Plan>;
  /** Carries out a plan. */
  readonly apply: (options: ApplyOptions) => Promise<JobResult>;
  /** Measures a model. */
  readonly evaluate: (options: EvaluateOptions) => Promise<Report>;
  /** Measures methods against each other. */
  readonly compare: (options: CompareOptions) => Promise<Comparison>;
  /** Writes a model in another format. */
  readonly export: (options: ExportOptions) => Promise<JobResult>;
  /** Sums a model up. */
  readonly inspect: (options: JobOptions) => Promise<ModelSummary>;
  /** Looks at this machine. */
  readonly diagnose: () => Promise<Diagnosis>;
}

/**
 * The jobs of the library.
 *
 * @returns Jobs that load the library when one of them is started
 */
export function libraryJobs(): Jobs {
  const session = () => import("../core/session.ts");
  return {
    prune: async (options) => await (await session()).prune(options),
    calibrate: async (options) => await (await session()).calibrateJob(options),
    calibratePart: async (options) => await (await session()).calibratePartJob(options),
    merge: async (options) => await (await session()).mergeJob(options),
    plan: async (options) => await (await session()).planJob(options),
    apply: async (options) => await (await session()).applyJob(options),
    evaluate: async (options) => await (await session()).evaluateJob(options),
    compare: async (options) => await (await session()).compareJob(options),
    export: async (options) => await (await session()).exportJob(options),
    inspect: async (options) => await (await session()).inspectJob(options),
    diagnose: async () => await (await import("./diagnosis.ts")).diagnose(),
  };
}
