/**
 * Collecting: windows flow through the model block by block, and each block's sums are kept.
 * @module
 */
import { GramBalance } from "../linear/gram.ts";
import { SumAccumulator } from "./sums.ts";
import type {
  DomainSums,
  DomainWindows,
  KindStatistics,
  LayerStatistics,
  WeightNorms,
} from "./types.ts";
import { weightNorms } from "./weight_norms.ts";
import { ActivationStore } from "../engine/activations.ts";
import { inBatches, joinWindows } from "../engine/batches.ts";
import { announceBlock } from "../engine/forward.ts";
import { StateLostError } from "../errors.ts";
import { openPassage } from "../engine/streams.ts";
import { discard } from "../linear/discard.ts";
import { memoryOf } from "../engine/memory.ts";
import type { BlockSums, Engine, Stream } from "../engine/types.ts";
import { blockTensors } from "../model/open.ts";
import type { MemoryTensor, Model, Structure, Tensor } from "../model/types.ts";
import { breathe, type WorkOptions } from "../progress.ts";
import { STRUCTURES } from "../model/units.ts";

/** Options of {@linkcode collect}. */
export interface CollectOptions extends WorkOptions {
  /** Whether to sum Gram matrices, which `obs` and the refit need. */
  readonly gram: boolean;
  /** Statistics of layers that an earlier run has finished, by layer: they are not summed again. */
  readonly finished?: ReadonlyMap<number, LayerStatistics>;
  /**
   * Called with every finished layer; what it returns is kept in its place (a version whose matrices lie in a file,
   * so that memory holds one layer at a time).
   */
  readonly onLayer?: (layer: number, statistics: LayerStatistics) => Promise<LayerStatistics>;
  /**
   * Called with every finished Gram matrix of a layer in hand; what it returns is kept in its place (a version that lies
   * in a file, so that memory holds the matrices of one domain at a time).
   */
  readonly onGram?: (place: GramPlace, gram: MemoryTensor) => Promise<Tensor>;
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

interface Batch {
  readonly domain: number;
  readonly heldOut: boolean;
  readonly windows: readonly Int32Array[];
}

/**
 * Runs windows of all domains through the model and sums the inputs of every `down_proj` and `o_proj`.
 *
 * @param engine What runs the model
 * @param model The model
 * @param domains Windows by domain, all windows of one length
 * @param options Whether to sum Gram matrices; progress, cancelling and resuming
 * @returns Statistics of every layer; the domains in the order given
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function collect(
  engine: Engine,
  model: Model,
  domains: readonly DomainWindows[],
  options: CollectOptions,
): Promise<readonly LayerStatistics[]> {
  const { batchTokens } = memoryOf(engine).limits;
  const batchesOf = (domain: number, heldOut: boolean) =>
    inBatches(domains[domain][heldOut ? "heldOut" : "calibration"], batchTokens)
      .map((windows) => ({ domain, heldOut, windows }));
  const batches = domains.flatMap((_, domain) => [
    ...batchesOf(domain, false),
    ...batchesOf(domain, true),
  ]);
  const layers: LayerStatistics[] = [];
  try {
    await collectLayers({ engine, model, domains, batches, layers }, options);
  } catch (error) {
    // The engine goes on without its graphics card, which held the streams: they start again, and finished layers stay.
    if (!(error instanceof StateLostError)) throw error;
    const finished = new Map([...options.finished ?? [], ...layers.entries()]);
    layers.length = 0;
    await collectLayers({ engine, model, domains, batches, layers }, { ...options, finished });
  }
  return layers;
}

interface Collection {
  readonly engine: Engine;
  readonly model: Model;
  readonly domains: readonly DomainWindows[];
  readonly batches: readonly Batch[];
  /** Statistics of the layers that are finished; the next are added. */
  readonly layers: LayerStatistics[];
}

async function collectLayers(
  { engine, model, domains, batches, layers }: Collection,
  options: CollectOptions,
): Promise<void> {
  const store = await embed(engine, model, batches);
  const total = model.architecture.layers.length *
    batches.reduce((sum, { windows }) => sum + windows.length * windows[0].length, 0);
  let done = 0;
  try {
    for (let layer = 0; layer < model.architecture.layers.length; layer++) {
      const finished = options.finished?.get(layer);
      const pass = { engine, model, layer, domains, batches, store };
      const statistics = await runLayer(pass, {
        ...options,
        gram: options.gram && finished === undefined,
        onBatch: async (tokens, name) => {
          done += tokens;
          const detail = `layer ${layer + 1} of ${model.architecture.layers.length}, ${name}`;
          const where = { detail, layer, domain: name };
          options.onProgress?.({ stage: "calibrate", done, total, unit: "tokens", ...where });
          await breathe(options.signal);
        },
      });
      layers.push(finished ?? await options.onLayer?.(layer, statistics) ?? statistics);
    }
  } finally {
    await store.close();
  }
}

async function embed(
  engine: Engine,
  model: Model,
  batches: readonly Batch[],
): Promise<ActivationStore<Stream>> {
  const { hiddenSize } = model.architecture;
  const store = await ActivationStore.open<Stream>(
    batches.map(({ windows }) => windows.length * windows[0].length * hiddenSize),
    memoryOf(engine),
  );
  const embedding = await engine.openEmbedding(model);
  try {
    for (const [index, { windows }] of batches.entries()) {
      await store.put(
        index,
        await embedding.lookup(joinWindows(windows), { length: windows[0].length }),
      );
    }
  } finally {
    await embedding.close();
  }
  return store;
}

interface LayerPass {
  readonly engine: Engine;
  readonly model: Model;
  readonly layer: number;
  readonly domains: readonly DomainWindows[];
  readonly batches: readonly Batch[];
  readonly store: ActivationStore<Stream>;
}

async function runLayer(
  pass: LayerPass,
  options: Pick<CollectOptions, "gram" | "onGram"> & {
    readonly onBatch: (tokens: number, name: string) => Promise<void>;
  },
): Promise<LayerStatistics> {
  const { engine, model, layer, domains, batches, store } = pass;
  const { architecture } = model;
  const shape = architecture.layers[layer];
  const tensors = blockTensors(model, layer);
  const channels = { ffn: shape.ffnWidth, heads: shape.queryHeads * architecture.headSize };
  const sums = new LayerSums(layer, channels, options);
  const block = await engine.openBlock({
    architecture,
    shape,
    tensors,
    capture: options.gram ? "gram" : "sums",
  });
  announceBlock(engine, model, layer + 1);
  let current: Batch | undefined;
  const passage = openPassage(block, (part) => sums.add(part));
  try {
    for (const [index, batch] of batches.entries()) {
      const { domain, heldOut, windows } = batch;
      // Sums may wait on the card, where they add up: those of other windows are fetched before.
      if (current?.domain !== domain || current.heldOut !== heldOut) {
        await passage.flush();
        await sums.begin(batch);
      }
      current = batch;
      const length = windows[0].length;
      await store.put(index, await passage.run(await store.get(index), windows.length, length));
      await options.onBatch(windows.length * length, domains[domain].name);
    }
    await passage.flush();
  } finally {
    await block.close();
  }
  return await sums.finish(domains.length, await weightNorms(model, layer));
}

/** The sums of one layer, one domain after the other: the matrices of one part of one domain are in memory at a time. */
class LayerSums {
  readonly #layer: number;
  readonly #channels: Readonly<Record<Structure, number>>;
  readonly #options: Pick<CollectOptions, "gram" | "onGram">;
  readonly #summed: Record<Structure, DomainSums[]> = { ffn: [], heads: [] };
  readonly #heldOut: Readonly<Record<Structure, GramBalance>> | undefined;
  /** Whose sums are being added up. */
  #current: Pick<Batch, "domain" | "heldOut"> | undefined;
  #sums: Readonly<Record<Structure, SumAccumulator>> | undefined;

  constructor(
    layer: number,
    channels: Readonly<Record<Structure, number>>,
    options: Pick<CollectOptions, "gram" | "onGram">,
  ) {
    this.#layer = layer;
    this.#channels = channels;
    this.#options = options;
    this.#heldOut = options.gram
      ? structuresOf((structure) => new GramBalance(channels[structure]))
      : undefined;
  }

  add(part: BlockSums): void {
    for (const structure of STRUCTURES) this.#sums![structure].add(part[structure]);
  }

  /** Ends what was added up so far, and begins with another part of a domain. */
  async begin(next: Pick<Batch, "domain" | "heldOut"> | undefined): Promise<void> {
    const current = this.#current;
    if (current !== undefined) {
      // Domains too short to keep a window back are judged on the windows that were summed.
      const judges = current.heldOut || next?.domain !== current.domain;
      for (const structure of STRUCTURES) await this.#end(structure, current, judges);
    }
    const { gram } = this.#options;
    this.#current = next;
    this.#sums = next &&
      structuresOf((structure) => new SumAccumulator(this.#channels[structure], { gram }));
  }

  async #end(
    structure: Structure,
    { domain, heldOut }: Pick<Batch, "domain" | "heldOut">,
    judges: boolean,
  ): Promise<void> {
    const sums = this.#sums![structure];
    const result = sums.result();
    sums.close();
    const gram = result.gram as MemoryTensor | undefined;
    if (judges && gram !== undefined) this.#heldOut?.[structure].add(gram.data, result.tokens, 1);
    if (heldOut) return discard(gram?.data);
    const place = { layer: this.#layer, structure, domain };
    const kept = gram && (await this.#options.onGram?.(place, gram) ?? gram);
    if (kept !== gram) discard(gram?.data);
    this.#summed[structure][domain] = { ...result, gram: kept };
  }

  /** All sums; no more can be added. */
  async finish(
    domains: number,
    norms: Readonly<Record<Structure, WeightNorms>>,
  ): Promise<LayerStatistics> {
    await this.begin(undefined);
    const { gram } = this.#options;
    return structuresOf((structure): KindStatistics => {
      const n = this.#channels[structure];
      const empty = () => new SumAccumulator(n, { gram }).result();
      return {
        domains: Array.from(
          { length: domains },
          (_, domain) => this.#summed[structure][domain] ?? empty(),
        ),
        weights: norms[structure],
        heldOutGram: this.#heldOut && inSinglePrecision(this.#heldOut[structure].result(), n),
      };
    });
  }
}

function inSinglePrecision(matrix: Float64Array, n: number): MemoryTensor {
  const data = new Float32Array(matrix);
  discard(matrix);
  return { shape: [n, n], data };
}

function structuresOf<T>(of: (structure: Structure) => T): Readonly<Record<Structure, T>> {
  return { ffn: of("ffn"), heads: of("heads") };
}
