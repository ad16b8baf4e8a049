/**
 * Calibration: texts and the model's own words through the model, to statistics that plans are made from.
 * @module
 */
import { collect } from "../calibrate/collect.ts";
import { numberFault } from "../calibrate/check_statistics.ts";
import { clusterWindows, sampleSelf } from "../calibrate/self.ts";
import type {
  DomainRecord,
  DomainWindows,
  LayerStatistics,
  Statistics,
} from "../calibrate/types.ts";
import { limitsThatCount, memoryOf } from "../engine/memory.ts";
import type { Engine } from "../engine/types.ts";
import { ModelError, OptionError } from "../errors.ts";
import { learnDamage } from "../learn/damage.ts";
import { HeldOutRuns } from "../learn/held_out.ts";
import { learningSchedule } from "../learn/windows.ts";
import { layerPruner } from "../learn/pruner.ts";
import { scoreLayer } from "../learn/score.ts";
import type { Model } from "../model/types.ts";
import { scoreDomains } from "../plan/order.ts";
import { type PlanOptions, resolveRequest } from "../plan/request.ts";
import type { PlanRequest } from "../plan/types.ts";
import { selfDomain } from "../plan/weights.ts";
import type { WorkOptions } from "../progress.ts";
import type { Domain } from "../text/domains.ts";
import { windowLength, windowsOf } from "../text/texts.ts";
import { hashWindows, heldOutCount, sampleWindows } from "../text/windows.ts";
import { Checkpoint } from "./checkpoint.ts";

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
  /** Called with things that a person should know, one sentence each. */
  readonly onNote?: (message: string) => void;
}

/** Groups that `self` is split into where it is the only domain. */
const selfGroups = 4;

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
  const { samples = 128, seed = 0 } = settings;
  if (!Number.isInteger(samples) || samples < 1) {
    throw new OptionError(`Cannot calibrate on ${samples} windows: give --samples 1 or more`);
  }
  const request = resolveRequest(
    settings.request ?? { shape: "adaptive" },
    model.architecture.layers,
  );
  requireDomains(domains, request, settings.self ?? true);
  const seqLen = windowLength(model, settings.seqLen);
  const given = await givenWindows(model, domains, samples, seqLen, seed);
  const checkpoint = await Checkpoint.open(settings.workFolder, settings.resume ?? false, {
    fingerprint: model.fingerprint,
    seqLen,
    samples,
    seed,
    self: settings.self ?? true,
    scoreDomains: request.scoreDomains,
    limits: limitsThatCount(memoryOf(engine).limits),
    texts: domains.map(({ name, sha256 }) => `${name} ${sha256}`),
  }, settings.onNote);
  const self = settings.self === false
    ? []
    : await selfWindows(engine, model, samples, seqLen, seed, checkpoint, settings);
  const windows = withSelf(given, self, seed)
    .toSorted((a, b) => a.name < b.name ? -1 : 1);
  scoreDomains(windows.map(({ name }) => name), request);
  noteShortTexts(windows, samples, settings.onNote);
  const gram = settings.gram ?? (request.metric === "obs" || request.refit === "lsq");
  const layers = await collectLayers(engine, model, windows, gram, request, checkpoint, settings);
  const statistics: Statistics = {
    schema: "gprune.statistics/1",
    model: {
      source: model.source,
      fingerprint: model.fingerprint,
      layers: model.architecture.layers,
    },
    seed,
    domains: windows.map((domain) => recordOf(domain, domains, seqLen)),
    windows,
    orderDomains: request.scoreDomains?.toSorted(),
    layers,
  };
  if (!(settings.learn ?? usesLearning(request))) return statistics;
  return await withLearned({ engine, model, statistics, request, checkpoint }, settings);
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

async function givenWindows(
  model: Model,
  domains: readonly Domain[],
  samples: number,
  seqLen: number,
  seed: number,
): Promise<readonly DomainWindows[]> {
  const result: DomainWindows[] = [];
  for (const domain of domains) {
    const all = await windowsOf(model, domain, seqLen);
    result.push({ name: domain.name, ...sampleWindows(domain.name, all, samples, seed) });
  }
  return result;
}

async function selfWindows(
  engine: Engine,
  model: Model,
  samples: number,
  seqLen: number,
  seed: number,
  checkpoint: Checkpoint,
  options: WorkOptions,
): Promise<readonly Int32Array[]> {
  // Self-text is free and covers the most: where texts are sampled thinly, it is sampled more.
  const summed = Math.max(samples, Math.min(128, 4 * samples));
  const windows = summed + heldOutCount(summed);
  const known = await checkpoint.readWindows(seqLen);
  if (known !== undefined) return known;
  const sampled = await sampleSelf(engine, model, { ...options, windows, seqLen, seed });
  await checkpoint.writeWindows(sampled);
  return sampled;
}

/** `self` is one more domain, or several where it is alone. */
function withSelf(
  given: readonly DomainWindows[],
  self: readonly Int32Array[],
  seed: number,
): readonly DomainWindows[] {
  if (self.length === 0) return given;
  const groups = given.length === 0 ? clusterWindows(self, selfGroups, seed) : [self];
  return [
    ...given,
    ...groups.map((windows, index) => {
      const heldOut = Math.min(heldOutCount(windows.length), Math.floor(windows.length / 2));
      const summed = windows.length - heldOut;
      return {
        name: given.length === 0 ? `${selfDomain}-${index + 1}` : selfDomain,
        calibration: windows.slice(0, summed),
        heldOut: windows.slice(summed),
      };
    }),
  ];
}

function noteShortTexts(
  windows: readonly DomainWindows[],
  samples: number,
  onNote?: (message: string) => void,
): void {
  for (const { name, calibration, heldOut } of windows) {
    if (name.startsWith(selfDomain)) continue;
    if (calibration.length < samples) {
      onNote?.(
        `Text '${name}' gives ${calibration.length} of ${samples} windows, and ${heldOut.length} to learn on; more text would calibrate better`,
      );
    }
  }
}

function recordOf(
  domain: DomainWindows,
  texts: readonly Domain[],
  seqLen: number,
): DomainRecord {
  const text = texts.find(({ name }) => name === domain.name);
  return {
    name: domain.name,
    tokens: domain.calibration.length * seqLen,
    windows: domain.calibration.length,
    heldOutWindows: domain.heldOut.length,
    seqLen,
    sha256: text?.sha256 ?? hashWindows([...domain.calibration, ...domain.heldOut]),
  };
}

async function collectLayers(
  engine: Engine,
  model: Model,
  windows: readonly DomainWindows[],
  gram: boolean,
  request: PlanRequest,
  checkpoint: Checkpoint,
  settings: CalibrationSettings,
): Promise<readonly LayerStatistics[]> {
  const names = windows.map(({ name }) => name);
  return await collect(engine, model, windows, {
    signal: settings.signal,
    onProgress: settings.onProgress,
    gram,
    finished: await checkpoint.readLayers(),
    onGram: (place, matrix) => checkpoint.keepGram(place, matrix),
    onLayer: async (layer, statistics) => {
      requireNumbers(model, layer, statistics);
      const ranked = gram && request.metric === "obs"
        ? await scoreLayer(model, layer, statistics, names, {
          ...settings,
          scoreDomains: request.scoreDomains,
        })
        : statistics;
      return await checkpoint.writeLayer(layer, ranked);
    },
  });
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
  readonly checkpoint?: Checkpoint;
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
  const { engine, model, statistics, request, checkpoint } = run;
  const schedule = learningSchedule(model, statistics, request);
  if (schedule.domains.length === 0) return statistics;
  const runs = new HeldOutRuns(engine, model, schedule.domains);
  const pruneLayer = layerPruner(model, statistics, request);
  const learned = await learnDamage(runs, model, statistics, request, schedule, pruneLayer, {
    signal: settings.signal,
    onProgress: settings.onProgress,
    finished: await checkpoint?.readCurves(request),
    onCurves: async (curves) => await checkpoint?.writeCurves(request, curves),
  });
  return { ...statistics, learned };
}
