/**
 * Pruned layers in memory, for the passes that learn what a cut costs.
 * @module
 */
import { refitOne } from "../apply/refit_one.ts";
import { prunedBlockTensors, type RefittedLayer } from "../apply/pruned_block.ts";
import { refitWeights } from "../apply/moments.ts";
import { shapeAfter } from "../apply/slice.ts";
import type { Statistics } from "../calibrate/types.ts";
import type { Multiply } from "../linear/product.ts";
import type { Model, Structure } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import type { UnitOrder } from "../plan/order.ts";
import type { LayerPlan, PlanRequest } from "../plan/types.ts";
import type { PruneLayer } from "./damage.ts";
import type { PrunedBlock } from "./held_out.ts";

/**
 * Makes a function that prunes one kind of unit of one layer and refits it as the plan would.
 *
 * @param model The dense model
 * @param statistics What calibration found
 * @param request What is asked for
 * @param multiply What makes the refit's products; this program's own code if absent
 * @returns The function
 */
export function layerPruner(
  model: Model,
  statistics: Statistics,
  request: PlanRequest,
  multiply?: Multiply,
): PruneLayer {
  return (order, removed) =>
    prunedLayer(model, statistics, request, order.layer, [{ order, removed }], multiply);
}

/** Units of one kind that go: the first `removed` of an order. */
export interface Removal {
  readonly order: UnitOrder;
  readonly removed: number;
}

/**
 * Prunes a layer in memory.
 *
 * @param model The dense model
 * @param statistics What calibration found
 * @param request What is asked for
 * @param layer Counted from 0
 * @param removals What goes, at most one entry for each kind
 * @param multiply What makes the refit's products; this program's own code if absent
 * @returns The layer's sizes and tensors after the cut
 */
export async function prunedLayer(
  model: Model,
  statistics: Statistics,
  request: PlanRequest,
  layer: number,
  removals: readonly Removal[],
  multiply?: Multiply,
): Promise<PrunedBlock> {
  const shape = model.architecture.layers[layer];
  const kept = (structure: Structure) => {
    const removal = removals.find(({ order }) => order.structure === structure);
    const units = removal === undefined
      ? Array.from({ length: unitCount(shape, structure) }, (_, unit) => unit)
      : Array.from(removal.order.order.slice(removal.removed));
    return units.sort((a, b) => a - b);
  };
  const plan: LayerPlan = { layer, ffnKept: kept("ffn"), keyValueHeadsKept: kept("heads") };
  const domainWeights = refitWeights({ request }, statistics.domains.map(({ name }) => name));
  const refitted: { -readonly [structure in Structure]?: RefittedLayer[structure] } = {};
  for (const { order: { structure } } of removals) {
    refitted[structure] = await refitOne(model, statistics, plan, structure, {
      refit: request.refit,
      domainWeights,
      multiply,
    });
  }
  return {
    shape: shapeAfter(shape, plan),
    tensors: await prunedBlockTensors(model, plan, refitted),
  };
}
