/**
 * The refit of one projection by itself, from statistics.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import { discard } from "../linear/discard.ts";
import { blockTensors } from "../model/open.ts";
import { isView, readTensor } from "../model/safetensors.ts";
import type { Model, Structure } from "../model/types.ts";
import { unitCuts } from "../model/units.ts";
import type { LayerPlan, Refit } from "../plan/types.ts";
import type { Multiply } from "../linear/product.ts";
import { heldOutMoments, inputMoments } from "./moments.ts";
import { refitLayer, type RefittedProjection } from "./refit.ts";
import { channelsOf, closingRoles, keptUnits } from "./slice.ts";

/** Options of {@linkcode refitOne}. */
export interface RefitOneOptions {
  /** What to do. */
  readonly refit: Refit;
  /** How much each domain counts. */
  readonly domainWeights: readonly number[];
  /** What makes products. Default: this program's own code. */
  readonly multiply?: Multiply;
  /** Cancels the work. */
  readonly signal?: AbortSignal;
}

/**
 * The new closing projection of one layer and kind, from a model's statistics: what `applyPlan` writes, for
 * trials in memory.
 *
 * @param model The dense model
 * @param statistics What calibration found
 * @param plan The layer's plan
 * @param structure The kind of unit
 * @param options Refit, weights of the domains, what makes products, cancellation
 * @returns The projection; its weights are `[hidden, channels that stay]`
 * @throws {StatisticsError} if the statistics lack what the refit needs
 * @throws {CancelledError} if the signal is aborted
 */
export async function refitOne(
  model: Model,
  statistics: Statistics,
  plan: LayerPlan,
  structure: Structure,
  options: RefitOneOptions,
): Promise<RefittedProjection> {
  const { layer } = plan;
  const shape = model.architecture.layers[layer];
  const kind = statistics.layers[layer][structure];
  const tensors = blockTensors(model, layer);
  const roles = closingRoles(model.architecture, shape, structure);
  const size = unitCuts(model.architecture, shape, structure)
    .find(({ role }) => role === roles.weight)?.size ?? 1;
  const bias = tensors.get(roles.bias);
  const { refit, multiply, signal } = options;
  const lsq = refit === "lsq";
  const moments = await inputMoments(kind.domains, options.domainWeights, { gram: lsq });
  const heldOut = await heldOutMoments(kind);
  const result = await refitLayer({
    layer,
    structure,
    refit,
    weight: await readTensor(tensors.get(roles.weight)!),
    bias: bias === undefined ? undefined : await readTensor(bias),
    kept: channelsOf(keptUnits(plan, structure), size),
    moments,
    heldOut,
    usesUp: true,
    multiply,
    signal,
  });
  discard(moments.gram);
  // One in memory is the statistics' own.
  if (kind.heldOutGram === undefined || isView(kind.heldOutGram)) discard(heldOut.gram);
  return result;
}
