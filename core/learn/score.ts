/**
 * Scoring: the removal orders that need whole matrices, worked out once per layer while its Gram matrices are at hand.
 * @module
 */
import type { KindStatistics, LayerStatistics } from "../calibrate/types.ts";
import { discard } from "../linear/discard.ts";
import type { Multiply } from "../linear/product.ts";
import { blockTensors } from "../model/open.ts";
import { isView, readTensor } from "../model/tensor_reader.ts";
import type { BlockRole, Model, Structure } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import { equalUnits, obsOrder } from "../plan/obs.ts";
import { GramBalance } from "../linear/gram.ts";
import { scoreWeights } from "../plan/weights.ts";
import { breathe, type WorkOptions } from "../progress.ts";

/** The projection that ends each kind of unit. */
export const closingProjection: Readonly<Record<Structure, BlockRole>> = {
  ffn: "down_proj.weight",
  heads: "o_proj.weight",
};

/**
 * Orders the units of a layer by exact output error.
 *
 * @param model The model
 * @param layer Counted from 0
 * @param statistics The layer's statistics, with Gram matrices
 * @param domains Names of the statistics' domains
 * @param options The domains that the orders are made from, all by default; what makes products; cancelling, progress
 * @returns The statistics with orders
 * @throws {StatisticsError} if no domain has any activation
 * @throws {CancelledError} if cancelled
 */
export async function scoreLayer(
  model: Model,
  layer: number,
  statistics: LayerStatistics,
  domains: readonly string[],
  options: WorkOptions & {
    readonly scoreDomains?: readonly string[];
    readonly multiply?: Multiply;
  } = {},
): Promise<LayerStatistics> {
  const total = model.architecture.layers.length;
  options.onProgress?.({ stage: "score", done: layer, total, unit: "layers" });
  const weights = scoreWeights(domains, options.scoreDomains);
  const score = async (structure: Structure): Promise<KindStatistics> => {
    const kind = statistics[structure];
    const weight = blockTensors(model, layer).get(closingProjection[structure])!;
    const channels = weight.shape[1];
    const units = unitCount(model.architecture.layers[layer], structure);
    const gram = await balancedKindGram(kind, weights, channels);
    const obs = await obsOrder(
      await readTensor(weight),
      gram,
      equalUnits(units, channels / units),
      { signal: options.signal, multiply: options.multiply },
    );
    discard(gram);
    await breathe(options.signal);
    return { ...kind, obs };
  };
  const scored = { ffn: await score("ffn"), heads: await score("heads") };
  options.onProgress?.({ stage: "score", done: layer + 1, total, unit: "layers" });
  return scored;
}

/**
 * The Gram matrix of several domains, each of the same energy before it is weighted.
 *
 * @param kind Statistics of one layer and kind
 * @param weights How much each of its domains counts
 * @param channels Channels of the projection's input
 * @returns `[channels, channels]`
 */
export async function balancedKindGram(
  kind: KindStatistics,
  weights: readonly number[],
  channels: number,
): Promise<Float64Array> {
  const balance = new GramBalance(channels);
  for (const [index, { gram, tokens }] of kind.domains.entries()) {
    const numbers = await readTensor(gram!);
    balance.add(
      numbers,
      tokens,
      weights[index],
      isView(gram!) ? () => discard(numbers) : undefined,
    );
  }
  return balance.result();
}
