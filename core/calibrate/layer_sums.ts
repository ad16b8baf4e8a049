/**
 * The sums of one layer, built from its units: in one run as the units come by, or from the parts of several machines.
 * Both add the same numbers in the same order.
 * @module
 */
import { StatisticsError } from "../errors.ts";
import { discard } from "../linear/discard.ts";
import { GramBalance } from "../linear/gram.ts";
import type {
  Architecture,
  BlockTensors,
  MemoryTensor,
  Model,
  Structure,
  Tensor,
} from "../model/types.ts";
import { STRUCTURES } from "../model/units.ts";
import { readGram } from "./gram_halves.ts";
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

/** Whose Gram matrix it is. */
export interface GramPlace {
  /** Counted from 0. */
  readonly layer: number;
  /** The kind of unit. */
  readonly structure: Structure;
  /** Which of the domains, counted from 0. */
  readonly domain: number;
}

/** Options of {@linkcode LayerSums}. */
export interface LayerSumsOptions {
  /** Whether Gram matrices are summed. */
  readonly gram: boolean;
  /** Called with every finished Gram matrix; what it returns is kept in its place. */
  readonly onGram?: (place: GramPlace, gram: MemoryTensor) => Promise<Tensor>;
}

/** Adds up the units of one layer: the matrices of one domain are in memory at a time. */
export class LayerSums {
  readonly #model: Model;
  readonly #layer: number;
  readonly #units: readonly SumUnit[];
  readonly #options: LayerSumsOptions;
  readonly #summed: UnitSums[] = [];
  readonly #heldOut: Readonly<Record<Structure, GramBalance>> | undefined;
  #next = 0;
  #domain: Readonly<Record<Structure, SumAccumulator>>;

  /**
   * Starts at zero.
   *
   * @param model The model
   * @param layer Counted from 0
   * @param units All units, in the order in which they will be added
   * @param options Whether Gram matrices are summed, and where they go
   */
  constructor(
    model: Model,
    layer: number,
    units: readonly SumUnit[],
    options: LayerSumsOptions,
  ) {
    this.#model = model;
    this.#layer = layer;
    this.#units = units;
    this.#options = options;
    const channels = channelsOf(model.architecture, layer);
    this.#heldOut = options.gram
      ? ofStructures((structure) => new GramBalance(channels[structure]))
      : undefined;
    this.#domain = this.#fresh();
  }

  /**
   * Adds the next unit.
   *
   * @param unit The unit
   * @param sums Its sums, whose Gram matrices are in float32; they are used up
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
    for (const structure of STRUCTURES) {
      const { gram: tensor, ...rest } = sums[structure];
      const gram = tensor && await readGram(tensor);
      if (!unit.heldOut) this.#domain[structure].add({ ...rest, gram });
      else if (gram !== undefined) {
        this.#heldOut?.[structure].add(gram, rest.tokens, 1, () => discard(gram));
      }
    }
    if (unit.heldOut || following?.domain === unit.domain && !following.heldOut) return;
    // Domains too short to keep a window back are judged on the windows that were summed.
    await this.#endDomain(following?.domain !== unit.domain);
  }

  /**
   * The statistics, once all units are added.
   *
   * @param weights The layer's tensors
   * @returns Sums by domain, and what the weights say
   * @throws {ModelError} if a weight cannot be read
   */
  result(weights: BlockTensors): LayerStatistics {
    const { architecture } = this.#model;
    const norms = weightNorms(architecture, architecture.layers[this.#layer], weights);
    const channels = channelsOf(architecture, this.#layer);
    return ofStructures((structure): KindStatistics => ({
      domains: this.#summed.map((sums) => sums[structure]),
      weights: norms[structure],
      heldOutGram: this.#heldOut && {
        shape: [channels[structure], channels[structure]],
        data: this.#heldOut[structure].singleResult(),
      },
    }));
  }

  async #endDomain(judges: boolean): Promise<void> {
    const domain = this.#summed.length;
    const end = async (structure: Structure): Promise<DomainSums> => {
      const sums = this.#domain[structure];
      const result = sums.result();
      sums.close();
      const gram = result.gram as MemoryTensor | undefined;
      if (gram === undefined) return result;
      const place = { layer: this.#layer, structure, domain };
      const kept = await this.#options.onGram?.(place, gram) ?? gram;
      const release = () => kept === gram ? undefined : discard(gram.data);
      if (judges) this.#heldOut?.[structure].add(gram.data, result.tokens, 1, release);
      else release();
      return { ...result, gram: kept };
    };
    this.#summed.push({ ffn: await end("ffn"), heads: await end("heads") });
    this.#domain = this.#fresh();
  }

  #fresh(): Readonly<Record<Structure, SumAccumulator>> {
    return unitAccumulators(this.#model.architecture, this.#layer, this.#options);
  }
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
