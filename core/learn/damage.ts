/**
 * Learning damage: the loss that removing a part of one layer adds, measured by forward passes on windows kept back
 * (METHOD 6). The dense prefix is shared by all probes of a layer.
 * @module
 */
import type { DamageCurve, LearnedDamage, Statistics } from "../calibrate/types.ts";
import type { ActivationStore } from "../engine/activations.ts";
import { onceMore } from "../engine/again.ts";
import type { Stream } from "../engine/types.ts";
import type { Model } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import { type UnitOrder, unitOrder } from "../plan/order.ts";
import type { PlanRequest } from "../plan/types.ts";
import { domainWeights } from "../plan/weights.ts";
import type { WorkOptions } from "../progress.ts";
import { discardBlock, type HeldOutRuns, type PrunedBlock } from "./held_out.ts";
import type { LearningSchedule } from "./windows.ts";

/** Makes a layer as it is after the first `removed` units of an order have gone, refitted as the plan would. */
export type PruneLayer = (order: UnitOrder, removed: number) => Promise<PrunedBlock>;

/** Options of {@linkcode learnDamage}. */
export interface LearnOptions extends WorkOptions {
  /** Curves that an earlier run has measured. */
  readonly finished?: readonly DamageCurve[];
  /** Loss of the dense model by domain, as an earlier run has measured it. */
  readonly denseLoss?: readonly number[];
  /** Called with the loss of the dense model once it is measured. */
  readonly onDenseLoss?: (losses: readonly number[]) => Promise<void>;
  /** Called with the curves of every finished layer. */
  readonly onCurves?: (layer: number, curves: readonly DamageCurve[]) => Promise<void>;
}

/** Shares of the FFN neurons to remove when a curve is measured. */
export const ffnFractions: readonly number[] = [0.2, 0.45, 0.7, 0.93];

/**
 * The numbers of units to remove when a curve is measured.
 *
 * @param units Units of the layer and kind
 * @param most Points at most, evenly among those there are, the last one always among them. Default all
 * @returns Growing numbers between 1 and units - 1; empty where there is but one unit
 */
export function probePoints(units: number, most = Infinity): readonly number[] {
  const all = units <= 4
    ? Array.from({ length: units - 1 }, (_, index) => index + 1)
    : [...new Set(ffnFractions.map((fraction) => Math.round(fraction * units)))]
      .filter((removed) => removed > 0 && removed < units);
  if (all.length <= most) return all;
  return all.filter((_, index) =>
    Math.floor((index + 1) * most / all.length) > Math.floor(index * most / all.length)
  );
}

/**
 * Measures a damage curve for every layer of a schedule and each kind.
 *
 * @param runs Windows kept back, ready to run
 * @param model The dense model
 * @param statistics What calibration found
 * @param request What is asked for (orders and refit follow it)
 * @param schedule What to measure, and on which windows
 * @param pruneLayer Makes pruned layers
 * @param options Progress, cancelling and resuming
 * @returns The curves
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function learnDamage(
  runs: HeldOutRuns,
  model: Model,
  statistics: Statistics,
  request: PlanRequest,
  schedule: LearningSchedule,
  pruneLayer: PruneLayer,
  options: LearnOptions = {},
): Promise<LearnedDamage> {
  // Curves that were finished before a graphics card failed are not measured again.
  const curves: DamageCurve[] = [...options.finished ?? []];
  const work = [runs, model, statistics, request, schedule, pruneLayer] as const;
  return await onceMore(() => learnCurves(curves, ...work, options));
}

/** Adds the curves that are missing. */
async function learnCurves(
  curves: DamageCurve[],
  runs: HeldOutRuns,
  model: Model,
  statistics: Statistics,
  request: PlanRequest,
  schedule: LearningSchedule,
  pruneLayer: PruneLayer,
  options: LearnOptions,
): Promise<LearnedDamage> {
  const { domains } = schedule;
  const layers = model.architecture.layers;
  const dense = runs.openStore();
  const probes = layers.map((_, layer) =>
    schedule.layers.includes(layer) ? layerProbes(statistics, layer, request, schedule.points) : []
  );
  const total = probes.reduce((sum, list, layer) => sum + list.length * (layers.length - layer), 0);
  let done = 0;
  const advance = (amount: number, layer: number) => {
    done += amount;
    const detail = `layer ${layer + 1} of ${layers.length}`;
    options.onProgress?.({ stage: "learn", done, total, unit: "block runs", detail, layer });
  };
  try {
    const denseLoss = options.denseLoss ?? await denseLosses(runs, dense, layers.length, options);
    // The account of the work is that of an uninterrupted run.
    if (options.denseLoss !== undefined) runs.countRuns(1, layers.length);
    else await options.onDenseLoss?.(denseLoss);
    const isKnown = (layer: number) => curves.some((curve) => curve.layer === layer);
    const lastOpen = probes.findLastIndex((list, layer) => list.length > 0 && !isKnown(layer));
    if (lastOpen >= 0) await runs.embed(dense);
    for (const [layer, list] of probes.entries()) {
      const known = isKnown(layer);
      if (known) {
        runs.countRuns(list.length, layers.length - layer);
        advance(list.length * (layers.length - layer), layer);
      }
      if (!known && list.length > 0) {
        const losses = await probeLosses(runs, dense, layer, layers.length, list, pruneLayer, {
          ...options,
          onBlock: () => advance(list.length, layer),
        });
        const found = curvesOf(list, losses, denseLoss, domains.map(({ name }) => name));
        curves.push(...found);
        await options.onCurves?.(layer, found);
      }
      // What no probe comes after need not be run; it counts, as it always has.
      if (layer <= lastOpen) await runs.runBlock(layer, [dense], options);
      else runs.countBlocks(1);
    }
    const calibrationWindows = statistics.domains.reduce((sum, { windows }) => sum + windows, 0);
    return {
      domains: domains.map(({ name }) => name),
      denseLoss,
      curves: curves.toSorted((a, b) => a.layer - b.layer),
      calibrationPasses: runs.windowBlocks / (calibrationWindows * layers.length),
    };
  } finally {
    dense.close();
  }
}

interface Probe {
  readonly order: UnitOrder;
  readonly removed: number;
}

function layerProbes(
  statistics: Statistics,
  layer: number,
  request: PlanRequest,
  points: number,
): readonly Probe[] {
  return request.structures.flatMap((structure) => {
    const order = unitOrder(statistics, layer, structure, request);
    const units = unitCount(statistics.model.layers[layer], structure);
    return probePoints(units, points).map((removed) => ({ order, removed }));
  });
}

async function denseLosses(
  runs: HeldOutRuns,
  store: ActivationStore<Stream>,
  layers: number,
  options: WorkOptions,
): Promise<readonly number[]> {
  await runs.embed(store);
  for (let layer = 0; layer < layers; layer++) await runs.runBlock(layer, [store], options);
  return (await runs.losses([store], options))[0];
}

/** Loss per probe and domain; all probes of a layer go through each later block together. */
async function probeLosses(
  runs: HeldOutRuns,
  dense: ActivationStore<Stream>,
  layer: number,
  layers: number,
  probes: readonly Probe[],
  pruneLayer: PruneLayer,
  options: WorkOptions & { readonly onBlock: () => void },
): Promise<readonly (readonly number[])[]> {
  const stores: ActivationStore<Stream>[] = [];
  try {
    for (const { order, removed } of probes) {
      const into = runs.openStore();
      stores.push(into);
      const pruned = await pruneLayer(order, removed);
      await runs.runBlock(layer, [dense], { ...options, into, pruned });
      discardBlock(pruned);
    }
    options.onBlock();
    for (let later = layer + 1; later < layers; later++) {
      await runs.runBlock(later, stores, options);
      options.onBlock();
    }
    return await runs.losses(stores, options);
  } finally {
    for (const store of stores) store.close();
  }
}

function curvesOf(
  probes: readonly Probe[],
  losses: readonly (readonly number[])[],
  denseLoss: readonly number[],
  domains: readonly string[],
): readonly DamageCurve[] {
  const weights = domainWeights(domains);
  const kinds = [...new Set(probes.map(({ order }) => order))];
  return kinds.map((order): DamageCurve => {
    const own = probes.flatMap((probe, index) => probe.order === order ? [index] : []);
    const perDomain = own.map((index) => losses[index].map((loss, d) => loss - denseLoss[d]));
    return {
      layer: order.layer,
      structure: order.structure,
      fractions: own.map((index) => probes[index].removed / order.order.length),
      relativeErrors: own.map((index) => order.relativeError[probes[index].removed]),
      damage: perDomain.map((row) => row.reduce((sum, loss, d) => sum + weights[d] * loss, 0)),
      damagePerDomain: perDomain,
    };
  });
}
