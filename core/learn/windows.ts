/**
 * How many of the windows kept back learning can afford.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import type { Model } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import type { PlanRequest } from "../plan/types.ts";
import { probePoints } from "./damage.ts";
import { headBlocks, type HeldOutDomain } from "./held_out.ts";

/** Learning may cost this many passes over the calibration windows. */
export const learningPasses = 4;

/**
 * The windows that damage is learned on: those kept back, as many per domain as the allowance of passes buys.
 *
 * @param model The model
 * @param statistics What calibration found, with its windows
 * @param request What is asked for
 * @returns Windows by domain, at least one of each; none where the statistics have no windows
 */
export function learningWindows(
  model: Model,
  statistics: Statistics,
  request: PlanRequest,
): readonly HeldOutDomain[] {
  const layers = model.architecture.layers;
  const keptBack = (statistics.windows ?? []).map(({ name, calibration, heldOut }) => ({
    name,
    windows: heldOut.length > 0 ? heldOut : calibration,
  }));
  const head = headBlocks(model);
  const perWindow = layers.reduce((sum, shape, layer) => {
    const probes = request.structures.reduce(
      (count, structure) => count + probePoints(unitCount(shape, structure)).length,
      0,
    );
    return sum + probes * (layers.length - layer + head);
  }, 0);
  const calibration = statistics.domains.reduce((sum, domain) => sum + domain.windows, 0);
  const affordable = learningPasses * calibration * layers.length / perWindow;
  const total = keptBack.reduce((sum, domain) => sum + domain.windows.length, 0);
  const share = Math.min(1, affordable / total);
  return keptBack.map(({ name, windows: all }) => ({
    name,
    windows: all.slice(0, Math.max(1, Math.floor(share * all.length))),
  }));
}
