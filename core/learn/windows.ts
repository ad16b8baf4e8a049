/**
 * What learning can afford: how many of the windows kept back, of the layers and of the points of a curve.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import type { Model } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import type { PlanRequest } from "../plan/types.ts";
import { probePoints } from "./damage.ts";
import { headBlocks, type HeldOutDomain } from "./held_out.ts";

/** Learning may cost this many passes over the calibration windows, whatever the number of layers. */
export const learningPasses = 3.8;

/** What to measure. */
export interface LearningSchedule {
  /** The windows to measure on, by domain; none where there are none, or none can be afforded. */
  readonly domains: readonly HeldOutDomain[];
  /** The layers whose curves are measured, counted from 0; the others follow their neighbours. */
  readonly layers: readonly number[];
  /** Points of a curve at most. */
  readonly points: number;
}

/** Windows a domain under which points and layers are saved first. */
const enoughWindows = 2;

/**
 * Chooses what damage is learned on: all points of all layers on as many windows per domain as the allowance of passes
 * buys. Where it would buy too few, two points a curve, and then fewer layers, whose neighbours follow their output
 * errors.
 *
 * @param model The model
 * @param statistics What calibration found, with its windows
 * @param request What is asked for
 * @returns The schedule
 */
export function learningSchedule(
  model: Model,
  statistics: Statistics,
  request: PlanRequest,
): LearningSchedule {
  const depth = model.architecture.layers.length;
  const keptBack = (statistics.windows ?? []).map(({ name, calibration, heldOut }) => ({
    name,
    windows: heldOut.length > 0 ? heldOut : calibration,
  }));
  const calibration = statistics.domains.reduce((sum, domain) => sum + domain.windows, 0);
  const allowance = learningPasses * calibration * depth;
  const options = thriftierAndThriftier(depth).map((choice) => ({
    choice,
    windows: Math.floor(allowance / costOfWindow(model, request, choice)),
  }));
  const chosen = options.find(({ windows }) => windows >= enoughWindows * keptBack.length) ??
    options.find(({ windows }) => windows >= keptBack.length);
  if (chosen === undefined) return { domains: [], layers: [], points: 0 };
  // One of each domain, and the rest in proportion to what there is.
  const spare = keptBack.reduce((sum, { windows }) => sum + windows.length - 1, 0);
  const share = spare === 0 ? 0 : Math.min(1, (chosen.windows - keptBack.length) / spare);
  const domains = keptBack.map(({ name, windows: all }) => ({
    name,
    windows: all.slice(0, 1 + Math.floor(share * (all.length - 1))),
  }));
  return { ...chosen.choice, domains };
}

type Choice = Pick<LearningSchedule, "layers" | "points">;

function thriftierAndThriftier(depth: number): readonly Choice[] {
  const every = (stride: number) =>
    Array.from({ length: depth }, (_, layer) => layer)
      .filter((layer) => layer % stride === 0 || layer === depth - 1);
  const whole = { layers: every(1), points: Infinity };
  const strides = Array.from({ length: depth }, (_, index) => index + 1);
  return [whole, ...strides.map((stride) => ({ layers: every(stride), points: 2 }))];
}

/** Blocks that one window runs through: twice the dense model, and every probe from its layer to the loss. */
function costOfWindow(model: Model, request: PlanRequest, { layers, points }: Choice): number {
  const shapes = model.architecture.layers;
  const head = headBlocks(model);
  return layers.reduce((sum, layer) => {
    const probes = request.structures.reduce(
      (count, structure) => count + probePoints(unitCount(shapes[layer], structure), points).length,
      0,
    );
    return sum + probes * (shapes.length - layer + head);
  }, 2 * shapes.length + head);
}
