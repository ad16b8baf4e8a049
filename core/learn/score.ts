/**
 * Scoring: the removal orders that need whole matrices, worked out once per layer while its Gram matrices are at hand.
 * @module
 */
import type { KindStatistics, LayerStatistics, RemovalOrder } from "../calibrate/types.ts";
import { discard } from "../linear/discard.ts";
import type { Multiply } from "../linear/product.ts";
import { blockTensors } from "../model/open.ts";
import { readGram } from "../calibrate/gram_halves.ts";
import { isView, readTensor } from "../model/tensor_reader.ts";
import type { BlockRole, Model, Structure } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import { equalUnits, type ObsOptions, obsOrder } from "../plan/obs.ts";
import { GramBalance } from "../linear/gram.ts";
import { lightStart, scoreWeights, selfDomain } from "../plan/weights.ts";
import { breathe, type WorkOptions } from "../progress.ts";

/** The projection that ends each kind of unit. */
export const closingProjection: Readonly<Record<Structure, BlockRole>> = {
  ffn: "down_proj.weight",
  heads: "o_proj.weight",
};

/**
 * Orders the units of a layer by exact output error. The first to go are chosen with less weight on the model's own
 * text ({@linkcode lightStart}); the errors are those under the usual weights.
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
  // Where `self` stands alone, or is not there, nothing could count less.
  const counted = options.scoreDomains ?? domains;
  const mixed = counted.includes(selfDomain) && counted.length > 1;
  const score = async (structure: Structure): Promise<KindStatistics> => {
    const kind = statistics[structure];
    const weight = blockTensors(model, layer).get(closingProjection[structure])!;
    const channels = weight.shape[1];
    const units = unitCount(model.architecture.layers[layer], structure);
    const closing = await readTensor(weight);
    const shares = equalUnits(units, channels / units);
    const along = async (self: number | undefined, given: ObsOptions): Promise<RemovalOrder> => {
      const weights = scoreWeights(domains, options.scoreDomains, self);
      const gram = await balancedKindGram(kind, weights, channels);
      const { signal, multiply } = options;
      return await obsOrder(closing, gram, shares, { signal, multiply, usesUp: true, ...given });
    };
    const count = mixed ? Math.round(units * lightStart.share) : 0;
    const first = count > 0 ? (await along(lightStart.selfWeight, { count })).order : undefined;
    const obs = await along(undefined, { first });
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
    const numbers = await readGram(gram!);
    balance.add(
      numbers,
      tokens,
      weights[index],
      isView(gram!) ? () => discard(numbers) : undefined,
    );
  }
  return balance.result();
}
