/**
 * Calibration: texts and the model's own words through the model, to statistics that plans are made from.
 * @module
 */
import { collect } from "../calibrate/collect.ts";
import { blankLayers } from "../calibrate/matrix_places.ts";
import { numberFault } from "../calibrate/check_statistics.ts";
import type { DomainWindows, LayerStatistics, Statistics } from "../calibrate/types.ts";
import { memoryOf } from "../engine/memory.ts";
import type { Engine } from "../engine/types.ts";
import { ModelError, OptionError } from "../errors.ts";
import { learnDamage } from "../learn/damage.ts";
import { HeldOutRuns } from "../learn/held_out.ts";
import { learningSchedule } from "../learn/windows.ts";
import { layerPruner } from "../learn/pruner.ts";
import { multiplier } from "../engine/multiply.ts";
import type { Multiply } from "../linear/product.ts";
import { scoreLayer } from "../learn/score.ts";
import type { Model } from "../model/types.ts";
import { type PlanOptions, resolveRequest } from "../plan/request.ts";
import type { PlanRequest } from "../plan/types.ts";
import { selfDomain } from "../plan/weights.ts";
import type { WorkOptions } from "../progress.ts";
import type { Domain } from "../text/domains.ts";
import { windowLength } from "../text/texts.ts";
import {
  domainWindows,
  givenWindows,
  noteShortTexts,
  recordOf,
  selfWindows,
} from "./calibration_windows.ts";
import { calibrationConditions, type Condition } from "./resume/conditions.ts";
import { Journal, type JournalOptions } from "./resume/journal.ts";
import { KeptCalibration } from "./resume/kept_calibration.ts";

/** Options of {@linkcode calibrateWith}. */
export interface CalibrationSettings extends WorkOptions {
  /** Windows per domain. Default 128. */
  readonly samples?: number;
  /** Tokens per window. Default min(2048, the model's own limit). */
  readonly seqLen?: number;
  /** Seed of sampling. Default 0. */
  readonly seed?: number;
  /** Whether text sampled from the model itself is a domain. Default true. */
  readonly self?: boolean;
  /** What the statistics are for: it decides what is learned. Default: everything, for the adaptive shape. */
  readonly request?: PlanOptions;
  /** Whether Gram matrices are summed. Default: where the request needs them. */
  readonly gram?: boolean;
  /** Whether damage is learned. Default: where the request can use it. */
  readonly learn?: boolean;
  /** A folder for what an interrupted run leaves; big matrices stay there until the caller removes it. */
  readonly workFolder?: string;
  /** Whether to go on from what the folder holds. Default false: it is emptied first. */
  readonly resume?: boolean;
  /** What to do where the folder holds work of other conditions. Default `refuse`. */
  readonly otherwise?: JournalOptions["otherwise"];
  /** What keeps finished steps, opened already, in place of a folder. */
  readonly journal?: Journal;
  /** Called with things that a person should know, one sentence each. */
  readonly onNote?: (message: string) => void;
}

/**
 * Calibrates a model on domains.
 *
 * @param engine What runs the model
 * @param model The model
 * @param domains Texts; none, or one, if `self` makes up for it
 * @param settings How much, and what for
 * @returns Statistics
 * @throws {OptionError} if there are too few domains, or a setting makes no sense
 * @throws {TextError} if a text is too short
 * @throws {EngineError} if the engine fails
 * @throws {CancelledError} if cancelled
 */
export async function calibrateWith(
  engine: Engine,
  model: Model,
  domains: readonly Domain[],
  settings: CalibrationSettings = {},
): Promise<Statistics> {
  const prepared = await prepareCalibration(engine, model, domains, settings);
  const { request, seqLen, seed } = prepared;
  const journal = settings.journal ??
    await Journal.open(settings.workFolder, { ...settings, conditions: prepared.conditions });
  const kept = new KeptCalibration(
    journal,
    model.architecture.layers.length,
    memoryOf(engine).limits.gramBytes,
  );
  const self = await selfWindows(engine, model, prepared, {
    ...settings,
    known: (first, count) => kept.readGroup(first, count, seqLen),
    onGroup: (first, windows) => kept.writeGroup(first, windows),
  });
  const windows = domainWindows(prepared, self);
  noteShortTexts(windows, prepared.samples, settings.onNote);
  const work = {
    model,
    request,
    domains: windows.map(({ name }) => name),
    gram: prepared.gram,
    multiply: multiplier(engine),
  };
  const parts = { model, request, seqLen, seed, windows, texts: domains };
  if (prepared.gram) {
    await kept.layOut(blankStatistics(parts));
  }
  const finished = await kept.readLayers();
  const layers = await kept.during(() =>
    collect(engine, model, windows, {
      signal: settings.signal,
      onProgress: settings.onProgress,
      gram: prepared.gram,
      finished,
      onGram: (place, matrix) => kept.keepGram(place, matrix),
      onLayer: async (layer, statistics) =>
        await kept.writeLayer(layer, await scored(work, layer, statistics, settings)),
    })
  );
  const statistics = statisticsOf({ ...parts, layers });
  if (!prepared.learn) return statistics;
  return await withLearned({ engine, model, statistics, request, kept }, settings);
}

/** A calibration that has been checked, and whose texts are cut into windows. */
export interface PreparedCalibration {
  /** What is asked for, defaults filled in. */
  readonly request: PlanRequest;
  /** Windows per domain. */
  readonly samples: number;
  /** Tokens per window. */
  readonly seqLen: number;
  /** Seed of sampling. */
  readonly seed: number;
  /** Whether the model's own text is a domain. */
  readonly self: boolean;
  /** Whether Gram matrices are summed. */
  readonly gram: boolean;
  /** Whether damage is learned. */
  readonly learn: boolean;
  /** The windows of the texts. */
  readonly given: readonly DomainWindows[];
  /** What all this depends on. */
  readonly conditions: readonly Condition[];
}

/**
 * Checks a calibration before any work, and cuts its texts.
 *
 * @param engine What will run the model
 * @param model The model
 * @param domains Texts
 * @param settings How much, and what for
 * @returns The calibration, not begun
 * @throws {OptionError} if there are too few domains, or a setting makes no sense
 * @throws {TextError} if a text is too short
 */
export async function prepareCalibration(
  engine: Engine,
  model: Model,
  domains: readonly Domain[],
  settings: CalibrationSettings,
): Promise<PreparedCalibration> {
  const { samples = 128, seed = 0, self = true } = settings;
  requireSamples(samples);
  const request = resolveRequest(
    settings.request ?? { shape: "adaptive" },
    model.architecture.layers,
  );
  requireDomains(domains, request, self);
  const seqLen = windowLength(model, settings.seqLen);
  const parts = { model, engine, request, samples, seqLen, seed, self, domains };
  return {
    ...parts,
    gram: settings.gram ?? (request.metric === "obs" || request.refit === "lsq"),
    learn: settings.learn ?? usesLearning(request),
    given: await givenWindows(model, domains, samples, seqLen, seed),
    conditions: calibrationConditions(parts),
  };
}

/** What {@linkcode statisticsOf} puts together. */
export interface StatisticsParts {
  /** The model. */
  readonly model: Model;
  /** What was asked for. */
  readonly request: PlanRequest;
  /** Tokens per window. */
  readonly seqLen: number;
  /** Seed of sampling. */
  readonly seed: number;
  /** Windows by domain, sorted by name. */
  readonly windows: readonly DomainWindows[];
  /** The texts that the windows are of. */
  readonly texts: readonly { readonly name: string; readonly sha256: string }[];
  /** Statistics by layer. */
  readonly layers: readonly LayerStatistics[];
}

/**
 * Puts statistics together.
 *
 * @param parts What was taken, on what
 * @returns Statistics without learned damage
 */
export function statisticsOf(parts: StatisticsParts): Statistics {
  const { model, windows } = parts;
  return {
    schema: "gprune.statistics/1",
    model: {
      source: model.source,
      fingerprint: model.fingerprint,
      layers: model.architecture.layers,
    },
    seed: parts.seed,
    domains: windows.map((domain) => recordOf(domain, parts.texts, parts.seqLen)),
    windows,
    orderDomains: parts.request.scoreDomains?.toSorted(),
    layers: parts.layers,
  };
}

/**
 * Statistics with Gram matrices as they will be: sizes and words, no numbers.
 *
 * @param parts What will be taken, on what
 * @returns The statistics, to lay out their file
 */
export function blankStatistics(parts: Omit<StatisticsParts, "layers">): Statistics {
  const blank = statisticsOf({ ...parts, layers: [] });
  const obs = parts.request.metric === "obs";
  return { ...blank, layers: blankLayers(parts.model.architecture, blank.domains, { obs }) };
}

/**
 * Works out what needs whole matrices, while those of a layer are at hand.
 *
 * @param work The model, what is asked for, names of the domains, whether there are Gram matrices, what makes products
 * @param layer Counted from 0
 * @param statistics The layer's sums
 * @param options Progress and cancelling
 * @returns The statistics with the order of units, where the metric is `obs`
 * @throws {ModelError} if numbers are not finite
 */
export async function scored(
  { model, request, domains, gram, multiply }: {
    readonly model: Model;
    readonly request: PlanRequest;
    readonly domains: readonly string[];
    readonly gram: boolean;
    readonly multiply: Multiply;
  },
  layer: number,
  statistics: LayerStatistics,
  { signal, onProgress }: WorkOptions,
): Promise<LayerStatistics> {
  requireNumbers(model, layer, statistics);
  if (!gram || request.metric !== "obs") return statistics;
  const { scoreDomains } = request;
  const options = { signal, onProgress, scoreDomains, multiply };
  return await scoreLayer(model, layer, statistics, domains, options);
}

/** Weights that hold NaN or infinities show here first, and would be the end of everything that follows. */
function requireNumbers(model: Model, layer: number, { ffn, heads }: LayerStatistics): void {
  const fault = numberFault(ffn) ?? numberFault(heads);
  if (fault === undefined) return;
  throw new ModelError(
    `Cannot calibrate '${model.source}': in layer ${layer} ${fault}; its weights hold NaN, infinities or numbers too large to be multiplied, so take another copy of it`,
  );
}

/**
 * Checks a number of windows per domain.
 *
 * @param samples The number
 * @throws {OptionError} if it is no whole number from 1
 */
export function requireSamples(samples: number): void {
  if (Number.isInteger(samples) && samples >= 1) return;
  throw new OptionError(`Cannot calibrate on ${samples} windows: give --samples 1 or more`);
}

function requireDomains(domains: readonly Domain[], request: PlanRequest, self: boolean): void {
  if (domains.some(({ name }) => name === selfDomain)) {
    throw new OptionError(
      `Cannot name a text '${selfDomain}': that is the text sampled from the model; rename it`,
    );
  }
  if (domains.length === 0 && !self) {
    throw new OptionError(
      "Cannot calibrate on nothing: give --calib NAME=PATH, or leave out --no-self",
    );
  }
  if (request.method === "gprune" && domains.length < 2 && !self) {
    throw new OptionError(
      `Cannot measure how ranks move between texts with '${
        domains[0].name
      }' alone: give a second --calib NAME=PATH, or leave out --no-self`,
    );
  }
}

/**
 * Whether plans for a request use learned damage.
 *
 * @param request What is asked for
 * @returns Whether learning is of use
 */
export function usesLearning(request: PlanRequest): boolean {
  return request.method === "gprune" && request.shape === "adaptive";
}

/** What damage is learned from, and for. */
export interface LearningRun {
  /** What runs the model. */
  readonly engine: Engine;
  /** The model. */
  readonly model: Model;
  /** Statistics with their windows. */
  readonly statistics: Statistics;
  /** What is asked for: curves depend on its order of units and on its refit, not on its sparsity. */
  readonly request: PlanRequest;
  /** Keeps finished curves. Default: nothing is kept. */
  readonly kept?: KeptCalibration;
}

/**
 * Learns damage for a request from statistics that were taken before.
 *
 * @param run Model, statistics and request
 * @param settings Progress and cancelling
 * @returns The statistics with curves; those they had are replaced
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function withLearned(
  run: LearningRun,
  settings: WorkOptions = {},
): Promise<Statistics> {
  const { engine, model, statistics, request, kept } = run;
  const schedule = learningSchedule(model, statistics, request);
  if (schedule.domains.length === 0) return statistics;
  const runs = new HeldOutRuns(engine, model, schedule.domains);
  const pruneLayer = layerPruner(model, statistics, request, multiplier(engine));
  const learned = await learnDamage(runs, model, statistics, request, schedule, pruneLayer, {
    signal: settings.signal,
    onProgress: settings.onProgress,
    finished: await kept?.readCurves(),
    denseLoss: await kept?.readDenseLoss(),
    onDenseLoss: async (losses) => await kept?.writeDenseLoss(losses),
    onCurves: async (layer, curves) => await kept?.writeCurves(layer, curves),
  });
  return { ...statistics, learned };
}
