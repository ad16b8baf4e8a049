/**
 * The jobs that write, each alone on its output: two runs on one output are kept apart.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import { withOutputLock } from "../export/lock.ts";
import type { Plan } from "../plan/types.ts";
import * as parts from "./parts/calibrate_part.ts";
import type { CalibratePartOptions } from "./parts/calibrate_part.ts";
import * as jobs from "./jobs.ts";
import * as merge from "./parts/merge.ts";
import type { MergeOptions } from "./parts/merge.ts";
import type { PartWords } from "./parts/part_store.ts";
import { prune as pruneAlone } from "./prune.ts";
import type {
  ApplyOptions,
  CalibrateOptions,
  ExportOptions,
  JobOptions,
  JobResult,
  PlanOptions,
  PruneOptions,
} from "./types.ts";

/**
 * Prunes a model and writes the result.
 *
 * @param options Which model, on which texts, how much, where to
 * @returns The folder and its report
 * @throws {GpruneError} if anything cannot be done, or another run is at work on `out`, which is then as it was
 */
export async function prune(options: PruneOptions): Promise<JobResult> {
  return await alone(options.out, options, () => pruneAlone(options));
}

/**
 * Carries out a plan from a file.
 *
 * @param options Which model, which plan, where to
 * @returns The folder and its report, without an evaluation
 * @throws {GpruneError} if anything cannot be done, or another run is at work on `out`, which is then as it was
 */
export async function applyJob(options: ApplyOptions): Promise<JobResult> {
  return await alone(options.out, options, () => jobs.applyJob(options));
}

/**
 * Writes a model in another format.
 *
 * @param options Which model, which format, where to
 * @returns The folder and its report
 * @throws {GpruneError} if anything cannot be done, or another run is at work on `out`, which is then as it was
 */
export async function exportJob(options: ExportOptions): Promise<JobResult> {
  return await alone(options.out, options, () => jobs.exportJob(options));
}

/**
 * Takes statistics and writes them to a file.
 *
 * @param options Which model, on which texts, where to
 * @returns The statistics
 * @throws {GpruneError} if anything cannot be done, or another run is at work on the file
 */
export async function calibrateJob(options: CalibrateOptions): Promise<Statistics> {
  return await alone(options.save, options, () => jobs.calibrateJob(options));
}

/**
 * Makes a plan from a file of statistics and writes it to a file. The model is not run.
 *
 * @param options Which model, from which statistics, what for, where to
 * @returns The plan
 * @throws {GpruneError} if anything cannot be done, or another run is at work on the file
 */
export async function planJob(options: PlanOptions): Promise<Plan> {
  return await alone(options.save, options, () => jobs.planJob(options));
}

/**
 * Takes the sums of one part of a calibration and writes them to a file.
 *
 * @param options Which model, on which texts, which part, where to
 * @returns What the file says
 * @throws {GpruneError} if anything cannot be done, or another run is at work on the file
 */
export async function calibratePartJob(options: CalibratePartOptions): Promise<PartWords> {
  return await alone(options.save, options, () => parts.calibratePartJob(options));
}

/**
 * Puts the parts of a calibration together and writes statistics to a file.
 *
 * @param options Which parts, where to
 * @returns The statistics
 * @throws {GpruneError} if anything cannot be done, or another run is at work on the file
 */
export async function mergeJob(options: MergeOptions): Promise<Statistics> {
  return await alone(options.save, options, () => merge.mergeJob(options));
}

async function alone<T>(
  output: string,
  { onEvent }: Pick<JobOptions, "onEvent">,
  work: () => Promise<T>,
): Promise<T> {
  const onNote = (message: string) => onEvent?.({ type: "note", message });
  return await withOutputLock(output, { onNote }, work);
}
