/**
 * The smaller jobs: each step of the pipeline on its own, from file to file.
 * @module
 */
import { basename, dirname, join, resolve } from "@std/path";
import { applyPlan } from "../apply/apply.ts";
import { completeStatistics } from "../calibrate/matrix_places.ts";
import { loadStatistics, saveStatistics } from "../calibrate/store.ts";
import type { Statistics } from "../calibrate/types.ts";
import { ExportError, OptionError } from "../errors.ts";
import type { Report } from "../evaluate/report.ts";
import { requireWritable, writeFolder } from "../export/folder.ts";
import { requireHolders, weightsFolder, writeFormats } from "../export/write_formats.ts";
import { inspectModel, type ModelSummary } from "../model/inspect.ts";
import { openModel } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import { makePlan } from "../plan/make_plan.ts";
import { loadPlan, savePlan } from "../plan/store.ts";
import type { Plan } from "../plan/types.ts";
import { resolveRequest } from "../plan/request.ts";
import { calibrationDomains, evaluationDomains, windowLength } from "../text/texts.ts";
import { calibrateWith } from "./calibrate.ts";
import { openOnnxFolder, writtenDecoders } from "../export/onnx/folder.ts";
import { matrixFileName } from "./resume/kept_calibration.ts";
import { evaluateFiles } from "./evaluate_files.ts";
import { evaluateModel } from "./evaluate_model.ts";
import { writeAndMeasure } from "./exports.ts";
import { asWritten, shownOutput, writeReport } from "./prune.ts";
import type { MemoryTask } from "./memory/memory_needs.ts";
import { memoryTask } from "./memory/memory_tasks.ts";
import type { ReportStage } from "./report.ts";
import { brokenPromise, MemoryPeak, outputTargets, Stopwatch, withModel } from "./setup.ts";
import type {
  ApplyOptions,
  CalibrateOptions,
  EvaluateOptions,
  ExportOptions,
  JobOptions,
  JobResult,
  PlanOptions,
} from "./types.ts";

/**
 * Describes a model.
 *
 * @param options Which model
 * @returns Its description
 * @throws {ModelError} if it cannot be used
 */
export async function inspectJob(options: JobOptions): Promise<ModelSummary> {
  return inspectModel(await openModel(options.model, options));
}

/**
 * Takes statistics and writes them to a file.
 *
 * @param options Which model, on which texts, where to
 * @returns The statistics
 * @throws {GpruneError} if anything cannot be done
 */
export async function calibrateJob(options: CalibrateOptions): Promise<Statistics> {
  await requireNewFile(options.save, options.force);
  const shape = options.shape ?? "adaptive";
  return await withModel(options, async (engine, model) => {
    const domains = await calibrationDomains(options.calibration);
    const workFolder = `${options.save}.unfinished`;
    const statistics = await calibrateWith(engine, model, domains, {
      ...options,
      // Statistics in a file serve any plan: everything that a plan can use is measured.
      request: { ...options, shape },
      gram: true,
      workFolder,
      onNote: (message) => options.onEvent?.({ type: "note", message }),
    });
    await placeStatistics(statistics, options.save, workFolder);
    return statistics;
  }, (model) => calibrationTask(model, { ...options, shape }));
}

/**
 * What a calibration that serves any plan does, as far as memory goes.
 *
 * @param model The model
 * @param options How much, and what for
 * @returns The task
 */
export function calibrationTask(
  model: Model,
  options: Omit<CalibrateOptions, "save">,
): MemoryTask {
  return memoryTask(model, {
    seqLen: windowLength(model, options.seqLen),
    requests: [resolveRequest(options, model.architecture.layers)],
    calibration: { ...options, gram: true },
    applies: false,
    evaluates: false,
  });
}

/**
 * Makes a plan from a file of statistics and writes it to a file. The model is not run.
 *
 * @param options Which model, from which statistics, what for, where to
 * @returns The plan
 * @throws {GpruneError} if anything cannot be done
 */
export async function planJob(options: PlanOptions): Promise<Plan> {
  await requireNewFile(options.save, options.force);
  const model = await openModel(options.model, options);
  const statistics = await loadStatistics(options.stats);
  const plan = makePlan(model, statistics, options);
  options.onEvent?.({ type: "planned", plan });
  await writeWhole(
    options.save,
    (path) => savePlan(plan, path, { statistics: resolve(options.stats) }),
  );
  return plan;
}

/**
 * Carries out a plan from a file.
 *
 * @param options Which model, which plan, where to
 * @returns The folder and its report, without an evaluation
 * @throws {GpruneError} if anything cannot be done; `out` is then as it was
 */
export async function applyJob(options: ApplyOptions): Promise<JobResult> {
  const targets = outputTargets(options);
  await requireWritable(options.out, { force: options.force });
  const watch = new Stopwatch<ReportStage>();
  const file = await loadPlan(options.plan);
  return await withModel(options, async (engine, model) => {
    await requireHolders(model, targets, file.plan.request);
    const refit = options.refit ?? file.plan.request.refit;
    const plan = { ...file.plan, request: { ...file.plan.request, refit } };
    const statistics = refit === "none" ? undefined : await statisticsFor(
      options.stats ?? besidePlan(options.plan, file.statistics),
      options.plan,
      refit,
    );
    const report = await writeFolder(options.out, { force: options.force }, async (partial) => {
      const { signal, onProgress, dataType } = options;
      const directory = weightsFolder(partial, targets, options);
      const settings = { engine, statistics, directory, dataType, signal, onProgress };
      const applied = await watch.time("apply", () => applyPlan(model, plan, settings));
      const notes = ["Not evaluated: run 'gprune evaluate' on the folder"];
      const files = await writeAndMeasure({
        ...options,
        engine,
        name: basename(options.out),
        targets,
        directory: partial,
        dense: model,
        pruned: applied.model,
        texts: [],
        onNote: (message) => notes.push(message),
        watch,
      });
      const memory = new MemoryPeak();
      const broken = brokenPromise(memory.bytes, options.memory);
      if (broken !== undefined) notes.push(broken);
      const parts = {
        engine,
        model,
        pruned: await asWritten(applied.model, partial, options),
        plan,
        statistics,
        request: { seed: plan.request.seed, ...shownOutput(options) },
        refits: applied.refits,
        finalNormScale: applied.finalNormScale,
        perplexity: [],
        speed: { denseTokensPerSecond: 0, prunedTokensPerSecond: 0 },
        exports: files.rows,
        watch,
        memory,
        notes,
      };
      return await writeReport(partial, parts, watch, {
        name: basename(options.out),
        command: options.command,
      });
    });
    return { folder: options.out, report };
  }, (model) =>
    memoryTask(model, {
      seqLen: windowLength(model),
      requests: [{ ...file.plan.request, refit: options.refit ?? file.plan.request.refit }],
      applies: true,
      evaluates: false,
      targets,
    }));
}

function besidePlan(plan: string, statistics: string | undefined): string | undefined {
  return statistics === undefined ? undefined : resolve(dirname(resolve(plan)), statistics);
}

async function statisticsFor(
  path: string | undefined,
  plan: string,
  refit: string,
): Promise<Statistics> {
  if (path === undefined) {
    throw new OptionError(
      `Cannot refit with '${refit}' from '${plan}' alone: give --stats FILE, or --refit none`,
    );
  }
  return await loadStatistics(path, { leavesNumbers: true });
}

/**
 * Measures perplexity, multiple choice, speed and size of a model.
 *
 * @param options Which model, on which texts and tasks
 * @returns A report whose rows have `dense` only
 * @throws {GpruneError} if anything cannot be done
 */
export async function evaluateJob(options: EvaluateOptions): Promise<Report> {
  const targets = options.formats === undefined ? [] : outputTargets(options);
  const described = await openOnnxFolder(options.model);
  if (described !== undefined) return await evaluateFiles(described, options);
  return await withModel(options, async (engine, model) => {
    const domains = await evaluationDomains(options.evaluation);
    if (targets.length === 0) {
      const written = await writtenDecoders(model.folder);
      const files = written.length === 0 ? undefined : {
        targets: written,
        directory: model.folder,
      };
      return await evaluateModel(engine, model, domains, { ...options, files });
    }
    const directory = await Deno.makeTempDir({ prefix: "gprune-" });
    try {
      const others = targets.filter(({ format }) => format !== "hf");
      await writeFormats(model, directory, others, { ...options, name: model.name });
      const files = { targets: others, directory };
      return await evaluateModel(engine, model, domains, { ...options, files });
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  }, (model) =>
    memoryTask(model, {
      seqLen: windowLength(model, options.seqLen),
      applies: false,
      evaluates: true,
      targets,
    }));
}

/**
 * Writes a model in another format.
 *
 * @param options Which model, which format, where to
 * @returns The folder and its report
 * @throws {GpruneError} if anything cannot be done; `out` is then as it was
 */
export async function exportJob(options: ExportOptions): Promise<JobResult> {
  const targets = outputTargets(options);
  await requireWritable(options.out, { force: options.force });
  const watch = new Stopwatch<ReportStage>();
  return await withModel(options, async (engine, model) => {
    await requireHolders(model, targets);
    const report = await writeFolder(options.out, { force: options.force }, async (partial) => {
      const notes = ["Not evaluated: run 'gprune evaluate' on the folder"];
      const files = await writeAndMeasure({
        ...options,
        engine,
        name: basename(options.out),
        targets,
        directory: partial,
        dense: model,
        texts: [],
        onNote: (message) => notes.push(message),
        watch,
      });
      const huggingFace = targets.some(({ format }) => format === "hf");
      const memory = new MemoryPeak();
      const broken = brokenPromise(memory.bytes, options.memory);
      if (broken !== undefined) notes.push(broken);
      const parts = {
        engine,
        model,
        pruned: huggingFace && !options.zeroPad
          ? await openModel(partial)
          : await asWritten(model, partial, options),
        request: { seed: 0, ...shownOutput(options) },
        perplexity: [],
        speed: { denseTokensPerSecond: 0, prunedTokensPerSecond: 0 },
        exports: files.rows,
        watch,
        memory,
        notes,
      };
      return await writeReport(partial, parts, watch, {
        name: basename(options.out),
        command: options.command,
      });
    });
    return { folder: options.out, report };
  }, (model) =>
    memoryTask(model, {
      seqLen: 2,
      applies: false,
      evaluates: false,
      targets,
    }));
}

/**
 * Checks before any work that a file can be made.
 *
 * @param path The file
 * @param force Whether it may be replaced
 * @throws {ExportError} if it is there and may not be replaced, or its folder cannot be made
 */
export async function requireNewFile(path: string, force = false): Promise<void> {
  const info = await Deno.stat(path).catch(() => undefined);
  if (info?.isDirectory) throw new ExportError(`Cannot write '${path}': it is a folder`);
  if (info !== undefined && !force) {
    throw new ExportError(`Cannot write '${path}': it exists; give --force to replace it`);
  }
  await Deno.mkdir(dirname(resolve(path)), { recursive: true }).catch((cause) => {
    throw new ExportError(`Cannot write '${path}': ${(cause as Error).message}`, { cause });
  });
}

/**
 * Puts a finished file of statistics in its place and takes the folder of unfinished work away.
 *
 * @param statistics The statistics
 * @param path The file
 * @param workFolder The folder, on the same disk
 */
export async function placeStatistics(
  statistics: Statistics,
  path: string,
  workFolder: string,
): Promise<void> {
  // Written in the folder, so that a run that is killed meanwhile leaves nothing else behind.
  const partial = join(workFolder, matrixFileName);
  if (await completeStatistics(statistics, partial)) await Deno.rename(partial, path);
  else {
    const other = `${partial}.whole`;
    await saveStatistics(statistics, other);
    await Deno.rename(other, path);
  }
  await Deno.remove(workFolder, { recursive: true }).catch(() => undefined);
}

/** A file appears whole or not at all. */
async function writeWhole(path: string, write: (path: string) => Promise<void>): Promise<void> {
  // The name by which the output's lock finds what a killed run left.
  const mark = crypto.randomUUID().slice(0, 8);
  const partial = join(dirname(resolve(path)), `.${basename(path)}.partial-${mark}`);
  try {
    await write(partial);
    await Deno.rename(partial, path);
  } catch (error) {
    await Deno.remove(partial).catch(() => undefined);
    throw error;
  }
}
