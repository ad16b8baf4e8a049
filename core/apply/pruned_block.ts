/**
 * One pruned layer in memory, for trials without a folder.
 * @module
 */
import { discard } from "../linear/discard.ts";
import { blockTensors } from "../model/open.ts";
import { isView, memoryTensor, readTensor } from "../model/safetensors.ts";
import type { BlockRole, BlockTensors, Model, Structure, Tensor } from "../model/types.ts";
import type { LayerPlan } from "../plan/types.ts";
import type { RefittedProjection } from "./refit.ts";
import { closingRoles, type KeptSlices, keptSlices, sliceNumbers, sliceShape } from "./slice.ts";

/** New closing projections by kind of unit. */
export type RefittedLayer = Readonly<Partial<Record<Structure, RefittedProjection>>>;

/**
 * The tensors of one pruned layer, in memory, for trials without a folder. What loses nothing stays where it is.
 *
 * @param model The dense model
 * @param plan The layer's plan
 * @param refitted New closing projections, for the kinds that have one; plain slices otherwise
 * @returns The tensors by role; a bias that the refit has added is among them
 */
export async function prunedBlockTensors(
  model: Model,
  plan: LayerPlan,
  refitted: RefittedLayer = {},
): Promise<BlockTensors> {
  const { architecture } = model;
  const shape = architecture.layers[plan.layer];
  const slices = keptSlices(architecture, shape, plan);
  const result = new Map<BlockRole, Tensor>();
  for (const [role, tensor] of blockTensors(model, plan.layer)) {
    const kept = slices.get(role);
    result.set(role, kept === undefined ? tensor : await slicedTensor(tensor, kept));
  }
  for (const structure of ["ffn", "heads"] as const) {
    const projection = refitted[structure];
    if (projection === undefined) continue;
    const roles = closingRoles(architecture, shape, structure);
    const { weight, bias } = projection;
    const outputs = architecture.hiddenSize;
    result.set(roles.weight, memoryTensor([outputs, weight.length / outputs], weight));
    if (bias !== undefined) result.set(roles.bias, memoryTensor([outputs], bias));
  }
  return result;
}

async function slicedTensor(tensor: Tensor, kept: KeptSlices): Promise<Tensor> {
  const whole = await readTensor(tensor);
  const numbers = sliceNumbers(whole, tensor.shape, kept);
  if (isView(tensor)) discard(whole);
  return memoryTensor(sliceShape(tensor.shape, kept), numbers);
}
