/**
 * The sums of one layer, built from its units: in one run as the units come by, or from the parts of several machines.
 * Both add the same numbers in the same order.
 * @module
 */
import { StatisticsError } from "../errors.ts";
import { balancedGram } from "../linear/gram.ts";
import { readTensor } from "../model/tensor_reader.ts";
import type { Architecture, MemoryTensor, Model, Structure } from "../model/types.ts";
import { STRUCTURES } from "../model/units.ts";
import { SumAccumulator } from "./sums.ts";
import type { DomainSums, KindStatistics, LayerStatistics } from "./types.ts";
import type { SumUnit, UnitSums } from "./units.ts";
import { weightNorms } from "./weight_norms.ts";

/**
 * Accumulators for one layer, at zero.
 *
 * @param architecture The model's sizes
 * @param layer Counted from 0
 * @param options Whether Gram matrices are summed
 * @returns One for each kind
 */
export function unitAccumulators(
  architecture: Architecture,
  layer: number,
  options: { readonly gram: boolean },
): Readonly<Record<Structure, SumAccumulator>> {
  const channels = channelsOf(architecture, layer);
  return ofStructures((structure) => new SumAccumulator(channels[structure], options));
}

/** Adds up the units of one layer. */
export class LayerSums {
  readonly #model: Model;
  readonly #layer: number;
  readonly #units: readonly SumUnit[];
  readonly #gram: boolean;
  readonly #summed: UnitSums[] = [];
  readonly #keptBack: (UnitSums | undefined)[] = [];
  #next = 0;
  #domain: Readonly<Record<Structure, SumAccumulator>>;

  /**
   * Starts at zero.
   *
   * @param model The model
   * @param layer Counted from 0
   * @param units All units, in the order in which they will be added
   * @param options Whether Gram matrices are summed
   */
  constructor(
    model: Model,
    layer: number,
    units: readonly SumUnit[],
    { gram }: { readonly gram: boolean },
  ) {
    this.#model = model;
    this.#layer = layer;
    this.#units = units;
    this.#gram = gram;
    this.#domain = this.#fresh();
  }

  /**
   * Adds the next unit.
   *
   * @param unit The unit
   * @param sums Its sums, whose Gram matrices are in float32
   * @throws {StatisticsError} if another unit's turn has come
   */
  async add(unit: SumUnit, sums: UnitSums): Promise<void> {
    if (unit.index !== this.#units[this.#next]?.index) {
      throw new StatisticsError(
        `Cannot add unit ${unit.index} of layer ${this.#layer}: the turn is on ${
          this.#units[this.#next]?.index ?? "none"
        }`,
      );
    }
    const following = this.#units[++this.#next];
    if (unit.heldOut) {
      this.#keptBack[this.#summed.length - 1] = sums;
      return;
    }
    for (const structure of STRUCTURES) {
      const { gram, ...rest } = sums[structure];
      this.#domain[structure].add({ ...rest, gram: gram && await readTensor(gram) });
    }
    if (following?.domain === unit.domain && !following.heldOut) return;
    this.#summed.push(ofStructures((structure) => this.#domain[structure].result()));
    this.#domain = this.#fresh();
  }

  /**
   * The statistics, once all units are added.
   *
   * @returns Sums by domain, and what the weights say
   */
  async result(): Promise<LayerStatistics> {
    const norms = await weightNorms(this.#model, this.#layer);
    const channels = channelsOf(this.#model.architecture, this.#layer);
    const kind = async (structure: Structure): Promise<KindStatistics> => {
      const results = this.#summed.map((sums) => sums[structure]);
      const others = results.map((_, index) => this.#keptBack[index]?.[structure]);
      return {
        domains: results,
        weights: norms[structure],
        heldOutGram: this.#gram
          ? await heldOutGram(others, results, channels[structure])
          : undefined,
      };
    };
    return { ffn: await kind("ffn"), heads: await kind("heads") };
  }

  #fresh(): Readonly<Record<Structure, SumAccumulator>> {
    return unitAccumulators(this.#model.architecture, this.#layer, { gram: this.#gram });
  }
}

/** Domains too short to keep a window back are judged on the windows that were summed. */
async function heldOutGram(
  keptBack: readonly (DomainSums | undefined)[],
  summed: readonly DomainSums[],
  channels: number,
): Promise<MemoryTensor> {
  const grams = [];
  for (const [domain, sums] of summed.entries()) {
    const { gram, tokens } = keptBack[domain] ?? sums;
    grams.push({ gram: await readTensor(gram!), tokens });
  }
  const balanced = balancedGram(grams, grams.map(() => 1), channels);
  return { shape: [channels, channels], data: Float32Array.from(balanced) };
}

function channelsOf(
  { layers, headSize }: Architecture,
  layer: number,
): Readonly<Record<Structure, number>> {
  const { ffnWidth, queryHeads } = layers[layer];
  return { ffn: ffnWidth, heads: queryHeads * headSize };
}

function ofStructures<T>(of: (structure: Structure) => T): Readonly<Record<Structure, T>> {
  return { ffn: of("ffn"), heads: of("heads") };
}
