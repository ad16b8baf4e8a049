/**
 * Collecting: windows flow through the model block by block, and each block's sums are kept.
 * @module
 */
import { ActivationStore } from "../engine/activations.ts";
import { inBatches, joinWindows } from "../engine/batches.ts";
import { announceBlock } from "../engine/forward.ts";
import { memoryOf } from "../engine/memory.ts";
import { StateLostError } from "../errors.ts";
import { openPassage } from "../engine/streams.ts";
import type { Engine, Stream } from "../engine/types.ts";
import { blockTensors } from "../model/open.ts";
import { isView } from "../model/tensor_reader.ts";
import type { BlockTensors, MemoryTensor, Model, Tensor } from "../model/types.ts";
import { STRUCTURES } from "../model/units.ts";
import { breathe, type WorkOptions } from "../progress.ts";
import { type GramPlace, LayerSums, unitAccumulators } from "./layer_sums.ts";
import type { DomainWindows, LayerStatistics } from "./types.ts";
import { type SumUnit, sumUnits, type UnitSums } from "./units.ts";

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
  const units = sumUnits(domains);
  const layers: LayerStatistics[] = [];
  const { finished } = options;
  if (finished?.size === model.architecture.layers.length) {
    return model.architecture.layers.map((_, layer) => finished.get(layer)!);
  }
  await collectUnits(engine, model, units, {
    ...options,
    openLayer: (layer) => {
      const known = options.finished?.get(layer);
      if (known !== undefined) {
        layers[layer] = known;
        return undefined;
      }
      const sums = new LayerSums(model, layer, units, options);
      return {
        add: (unit, part) => sums.add(unit, part),
        finish: async (weights) => {
          const statistics = sums.result(weights);
          layers[layer] = await options.onLayer?.(layer, statistics) ?? statistics;
        },
      };
    },
  });
  return layers;
}

/** Takes the sums of one layer, unit by unit. */
export interface LayerSink {
  /** Takes the sums of a unit; units come in their order. */
  add(unit: SumUnit, sums: UnitSums): Promise<void> | void;
  /**
   * Called after the last unit, while the layer's block is open if its weights are in memory.
   *
   * @param weights The layer's tensors, in memory where the engine has read them
   */
  finish(weights: BlockTensors): Promise<void>;
}

/** Options of {@linkcode collectUnits}. */
export interface CollectUnitsOptions extends WorkOptions {
  /** Whether to sum Gram matrices. */
  readonly gram: boolean;
  /** Opens what takes the sums of a layer; undefined where the layer need not be summed. */
  readonly openLayer: (layer: number) => LayerSink | undefined;
}

/**
 * Runs units through the model and hands their sums over, layer by layer.
 *
 * @param engine What runs the model
 * @param model The model
 * @param units Units whose windows are there, all of one length
 * @param options Who takes the sums; progress and cancelling
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function collectUnits(
  engine: Engine,
  model: Model,
  units: readonly SumUnit[],
  options: CollectUnitsOptions,
): Promise<void> {
  // Units are the same whatever the memory; only how many of their windows go together is not.
  const { batchTokens } = memoryOf(engine).limits;
  const batches = units.flatMap((unit) =>
    inBatches(unit.windows, batchTokens).map((windows) => ({ unit, windows }))
  );
  const finished = new Set<number>();
  const collection = { engine, model, batches, finished };
  try {
    await collectLayers(collection, options);
  } catch (error) {
    // The engine goes on without its graphics card, which held the streams: they start again, and finished layers stay.
    if (!(error instanceof StateLostError)) throw error;
    await collectLayers(collection, options);
  }
}

interface Batch {
  readonly unit: SumUnit;
  readonly windows: readonly Int32Array[];
}

interface Collection {
  readonly engine: Engine;
  readonly model: Model;
  readonly batches: readonly Batch[];
  /** Layers whose sums have been handed over; the next are added. */
  readonly finished: Set<number>;
}

async function collectLayers(
  { engine, model, batches, finished }: Collection,
  options: CollectUnitsOptions,
): Promise<void> {
  const store = await embed(engine, model, batches);
  const depth = model.architecture.layers.length;
  const total = depth *
    batches.reduce((sum, { windows }) => sum + windows.length * windows[0].length, 0);
  let done = 0;
  try {
    for (let layer = 0; layer < depth; layer++) {
      const sink = finished.has(layer) ? undefined : options.openLayer(layer);
      await runLayer({ engine, model, layer, batches, store }, {
        gram: options.gram,
        sink,
        onBatch: async (tokens, name) => {
          done += tokens;
          const detail = `layer ${layer + 1} of ${depth}, ${name}`;
          const where = { detail, layer, domain: name };
          options.onProgress?.({ stage: "calibrate", done, total, unit: "tokens", ...where });
          await breathe(options.signal);
        },
      });
      finished.add(layer);
    }
  } finally {
    store.close();
  }
}

async function embed(
  engine: Engine,
  model: Model,
  batches: readonly Batch[],
): Promise<ActivationStore<Stream>> {
  const { hiddenSize } = model.architecture;
  const store = ActivationStore.open<Stream>(
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
  readonly batches: readonly Batch[];
  readonly store: ActivationStore<Stream>;
}

async function runLayer(
  { engine, model, layer, batches, store }: LayerPass,
  options: {
    readonly gram: boolean;
    readonly sink?: LayerSink;
    readonly onBatch: (tokens: number, name: string) => Promise<void>;
  },
): Promise<void> {
  const { architecture } = model;
  const shape = architecture.layers[layer];
  const { sink } = options;
  const gram = options.gram && sink !== undefined;
  const fresh = () => unitAccumulators(architecture, layer, { gram });
  const tensors = blockTensors(model, layer);
  const block = await engine.openBlock({
    architecture,
    shape,
    tensors,
    capture: gram ? "gram" : "sums",
  });
  announceBlock(engine, model, layer + 1);
  let sums = fresh();
  const passage = openPassage(block, (part) => {
    for (const structure of STRUCTURES) sums[structure].add(part[structure]);
  });
  const closeUnit = async (unit: SumUnit) => {
    // Sums may wait on the card, where they add up: a unit's are fetched before those of the next begin.
    await passage.flush();
    const done = { ffn: sums.ffn.result(), heads: sums.heads.result() };
    for (const structure of STRUCTURES) sums[structure].close();
    await sink?.add(unit, done);
    sums = fresh();
  };
  let isOpen = true;
  const close = async () => {
    if (isOpen) await block.close();
    isOpen = false;
  };
  try {
    for (const [index, { unit, windows }] of batches.entries()) {
      const length = windows[0].length;
      await store.put(index, await passage.run(await store.get(index), windows.length, length));
      await options.onBatch(windows.length * length, unit.domain);
      if (batches[index + 1]?.unit !== unit) await closeUnit(unit);
    }
    const weights = block.weights ?? tensors;
    // Mapped weights would take memory for nothing while orders are made; those in memory are lent until the end.
    if ([...weights.values()].every(isView)) await close();
    await sink?.finish(weights);
  } finally {
    await close();
  }
}
