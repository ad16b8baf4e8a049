/**
 * The pipeline as functions: what `mod.ts` offers, in the order in which data flows.
 * @module
 */
import { basename } from "@std/path";
import { applyPlan as writePlan } from "./apply/apply.ts";
import type { Statistics } from "./calibrate/types.ts";
import { openEngine } from "./engine/open.ts";
import type { Engine } from "./engine/types.ts";
import { OptionError } from "./errors.ts";
import type { Report } from "./evaluate/report.ts";
import { writeFolder } from "./export/folder.ts";
import { withOutputLock } from "./export/lock.ts";
import { requireHolders, writeFormats } from "./export/write_formats.ts";
import type { Model } from "./model/types.ts";
import { type PlanOptions, resolveRequest } from "./plan/request.ts";
import type { Plan, Refit } from "./plan/types.ts";
import type { WorkOptions } from "./progress.ts";
import { calibrateWith } from "./session/calibrate.ts";
import { evaluateModel } from "./session/evaluate_model.ts";
import { promiseMemory } from "./session/memory/promise.ts";
import { type JobShape, memoryTask } from "./session/memory/memory_tasks.ts";
import { outputTargets } from "./session/setup.ts";
import type { Domain } from "./text/domains.ts";
import { embeddedDomains, windowLength } from "./text/texts.ts";
import { embeddedCalibrationKinds, type EmbeddedKind, embeddedKinds } from "./text/embedded/mod.ts";

/** Options of everything that runs a model. */
export interface EngineOptions extends WorkOptions {
  /** What runs the model. Default `auto`. */
  readonly engine?: "auto" | "onnx" | "webgpu";
  /**
   * Bytes that the process stays below while it works, mapped weights included; refused at the start where that cannot
   * be. Default: no promise.
   */
  readonly memory?: number;
}

/** Options of {@linkcode calibrate}. */
export interface CalibrateOptions extends EngineOptions {
  /** Windows per domain. Default 128. */
  readonly samples?: number;
  /** Tokens per window. Default min(2048, the model's own limit). */
  readonly seqLen?: number;
  /** Seed of sampling. Default 0. */
  readonly seed?: number;
  /** Whether text sampled from the model itself is a domain. Default true. */
  readonly self?: boolean;
  /** What the statistics are for. Default: `gprune` in the adaptive shape, whose statistics serve every plan. */
  readonly request?: PlanOptions;
  /** A folder for finished parts, so that matrices need not stay in memory. The caller removes it after use. */
  readonly workFolder?: string;
  /** Go on from what the work folder holds. Default false. */
  readonly resume?: boolean;
}

/**
 * Takes statistics of a model on texts: sums over tokens, Gram matrices, removal orders and damage curves.
 *
 * @param model The model
 * @param domains Texts, two or more; fewer where `self` makes up for them
 * @param options How much, and what for
 * @returns Statistics that {@linkcode makePlan} makes plans from
 * @throws {OptionError} if there are too few domains, or an option makes no sense
 * @throws {TextError} if a text is too short
 * @throws {EngineError} if the engine fails
 * @throws {CancelledError} if cancelled
 * @example
 * ```ts
 * import { calibrate, embeddedTexts, openModel } from "../mod.ts";
 * const model = await openModel();
 * const statistics = await calibrate(model, embeddedTexts("calibration"), {
 *   samples: 2,
 *   seqLen: 32,
 *   request: { metric: "wanda-sp", refit: "none", structures: ["ffn"] },
 * });
 * console.log(statistics.layers.length);
 * ```
 */
export async function calibrate(
  model: Model,
  domains: readonly Domain[],
  options: CalibrateOptions = {},
): Promise<Statistics> {
  const { architecture: { layers } } = model;
  const job = {
    seqLen: windowLength(model, options.seqLen),
    requests: [resolveRequest(options.request ?? { shape: "adaptive" }, layers)],
    calibration: { self: options.self, texts: domains.length },
    applies: false,
    evaluates: false,
  };
  const gram = job.requests.some(({ metric, refit }) => metric === "obs" || refit === "lsq");
  if (options.memory !== undefined && gram && options.workFolder === undefined) {
    throw new OptionError(
      "Cannot keep a promise of memory with the Gram matrices of all layers in it: give a workFolder for them",
    );
  }
  return await withEngine(model, options, job, async (engine) =>
    await calibrateWith(
      engine,
      model,
      domains.toSorted((a, b) => a.name < b.name ? -1 : 1),
      options,
    ));
}

/** Options of {@linkcode applyPlan}. */
export interface ApplyPlanOptions extends EngineOptions {
  /** What calibration found; needed for every refit but `none`. */
  readonly statistics?: Statistics;
  /** The folder to write the smaller model to; a new temporary folder if absent. */
  readonly directory?: string;
  /** How numbers are stored. Default `keep`: as they were. */
  readonly dataType?: "keep" | "f32" | "f16" | "bf16";
  /** Another refit than the plan's. */
  readonly refit?: Refit;
}

/**
 * Carries out a plan.
 *
 * @param model The dense model
 * @param plan What stays of it
 * @param options Statistics for the refit; where to write
 * @returns The smaller model, opened from the folder that was written
 * @throws {PlanError} if the plan is damaged or belongs to another model
 * @throws {StatisticsError} if the refit needs statistics that are missing
 * @throws {ExportError} if the disk refuses
 * @throws {CancelledError} if cancelled
 */
export async function applyPlan(
  model: Model,
  plan: Plan,
  options: ApplyPlanOptions = {},
): Promise<Model> {
  const directory = options.directory ?? await Deno.makeTempDir({ prefix: "gprune-" });
  const request = { ...plan.request, refit: options.refit ?? plan.request.refit };
  const seqLen = options.statistics?.domains[0]?.seqLen ?? windowLength(model);
  return await withEngine(
    model,
    options,
    { seqLen, requests: [request], applies: true, evaluates: false },
    async (engine) => (await writePlan(model, plan, { ...options, engine, directory })).model,
  );
}

/** Options of {@linkcode evaluate}. */
export interface EvaluateOptions extends EngineOptions {
  /** Tokens per window. Default min(2048, the model's own limit). */
  readonly seqLen?: number;
  /** First windows of each text; all if absent. Multiple choice from a text then has 8 questions a window at most. */
  readonly evalWindows?: number;
  /** Multiple-choice tasks: `.jsonl` files of `{ "context", "choices": […], "answer": index }`. Default none. */
  readonly tasks?: readonly { readonly name: string; readonly path: string }[];
  /** Whether to make a multiple-choice task `NAME-choice` from every text. Default true. */
  readonly choiceTasks?: boolean;
  /** Seed of the places in the texts that questions are made at. Default 0. */
  readonly seed?: number;
}

/**
 * Measures perplexity per text, accuracy of multiple choice, speed and size of a model.
 *
 * @param model The model, dense or pruned
 * @param domains Texts that calibration did not see
 * @param options Windows and tasks
 * @returns A report whose rows have `dense` only
 * @throws {TextError} if a text is too short, or a task file cannot be used
 * @throws {EngineError} if the engine fails
 * @throws {CancelledError} if cancelled
 */
export async function evaluate(
  model: Model,
  domains: readonly Domain[],
  options: EvaluateOptions = {},
): Promise<Report> {
  return await withEngine(
    model,
    options,
    { seqLen: windowLength(model, options.seqLen), applies: false, evaluates: true },
    async (engine) => await evaluateModel(engine, model, domains, options),
  );
}

/** Options of {@linkcode exportModel}. */
export interface ExportModelOptions extends WorkOptions {
  /** The format, or several of them in one folder: `hf`, `onnx`, `gguf`. Default `hf`. */
  readonly format?: string | readonly string[];
  /** How numbers are stored: `none`, `f16`, `q8`, `q4` of `onnx`; `f16`, `q8_0`, `q4_0` of `gguf`. */
  readonly quantize?: string | readonly string[];
  /** How the numbers of `hf` are stored. Default `keep`: as they are. */
  readonly dataType?: "keep" | "f32" | "f16" | "bf16";
  /** Whether `hf` is padded with zero units, so that stock classes load an adaptive model. Default false. */
  readonly zeroPad?: boolean;
  /** Replace the folder if it exists. Default false. */
  readonly force?: boolean;
}

/**
 * Writes a model, dense or pruned, to a folder, which appears whole or not at all.
 *
 * @param model The model
 * @param out The folder to make
 * @param options Formats, quantisation, data type
 * @throws {OptionError} if a format or quantisation is unknown, or the folder exists and may not be replaced
 * @throws {ExportError} if a format cannot hold the model, another run is at work on the folder, or the disk refuses
 * @throws {CancelledError} if cancelled
 * @example
 * ```ts
 * import { exportModel, openModel } from "../mod.ts";
 * const folder = await Deno.makeTempDir();
 * await exportModel(await openModel(), `${folder}/small`, { format: ["hf", "onnx"], quantize: "q8" });
 * console.log((await Deno.stat(`${folder}/small/onnx/model_quantized.onnx`)).size);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function exportModel(
  model: Model,
  out: string,
  options: ExportModelOptions = {},
): Promise<void> {
  const list = (words?: string | readonly string[]) => typeof words === "string" ? [words] : words;
  const targets = outputTargets({
    formats: list(options.format),
    quantize: list(options.quantize),
    dataType: options.dataType,
    zeroPad: options.zeroPad,
  });
  await requireHolders(model, targets);
  const settings = { ...options, name: basename(out) };
  await withOutputLock(
    out,
    {},
    () => writeFolder(out, options, (partial) => writeFormats(model, partial, targets, settings)),
  );
}

/**
 * The embedded texts, which need no file: several kinds for calibration, and held-out text of all kinds.
 *
 * @param part `calibration` or `held-out`
 * @param kinds Which kinds; those calibrated by default, or all
 * @returns The texts
 * @example
 * ```ts
 * import { embeddedTexts } from "../mod.ts";
 * console.log(embeddedTexts("held-out").map(({ name }) => name).join(" "));
 * ```
 */
export function embeddedTexts(
  part: "calibration" | "held-out",
  kinds: readonly EmbeddedKind[] = part === "calibration"
    ? embeddedCalibrationKinds
    : embeddedKinds,
): readonly Domain[] {
  return embeddedDomains(part, kinds);
}

async function withEngine<T>(
  model: Model,
  options: EngineOptions,
  job: JobShape,
  work: (engine: Engine) => Promise<T>,
): Promise<T> {
  const memory = options.memory === undefined
    ? undefined
    : promiseMemory(memoryTask(model, job), options.memory);
  const engine = await openEngine(options.engine ?? "auto", {
    architecture: model.architecture,
    memory,
  });
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}
