/**
 * Collecting: windows flow through the model block by block, and each block's sums are kept.
 * @module
 */
import { balancedGramInFloat32 } from "../linear/gram.ts";
import { SumAccumulator } from "./sums.ts";
import type { DomainSums, DomainWindows, KindStatistics, LayerStatistics } from "./types.ts";
import { weightNorms } from "./weight_norms.ts";
import { ActivationStore } from "../engine/activations.ts";
import { inBatches, joinWindows } from "../engine/batches.ts";
import { StateLostError } from "../errors.ts";
import { openPassage } from "../engine/streams.ts";
import type { Engine, Stream } from "../engine/types.ts";
import { blockTensors } from "../model/open.ts";
import type { MemoryTensor, Model, Structure } from "../model/types.ts";
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
  const batches = domains.flatMap((domain, index) => [
    ...inBatches(domain.calibration).map((windows) => ({ domain: index, heldOut: false, windows })),
    ...inBatches(domain.heldOut).map((windows) => ({ domain: index, heldOut: true, windows })),
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
  options: {
    readonly gram: boolean;
    readonly onBatch: (tokens: number, name: string) => Promise<void>;
  },
): Promise<LayerStatistics> {
  const { engine, model, layer, domains, batches, store } = pass;
  const { architecture } = model;
  const shape = architecture.layers[layer];
  const tensors = blockTensors(model, layer);
  const channels = { ffn: shape.ffnWidth, heads: shape.queryHeads * architecture.headSize };
  const fresh = () =>
    structuresOf((structure) => new SumAccumulator(channels[structure], { gram: options.gram }));
  const summed: KindSums[] = [];
  const keptBack: KindSums[] = [];
  // Batches come domain by domain: only what is being added to is held in float64.
  let sums = fresh();
  const finish = ({ domain, heldOut }: Batch) => {
    (heldOut ? keptBack : summed)[domain] = resultsOf(sums);
    sums = fresh();
  };
  const block = await engine.openBlock({
    architecture,
    shape,
    tensors,
    capture: options.gram ? "gram" : "sums",
  });
  let current: Batch | undefined;
  let norms: ReturnType<typeof weightNorms>;
  const passage = openPassage(block, (more) => {
    for (const structure of STRUCTURES) sums[structure].add(more[structure]);
  });
  try {
    for (const [index, batch] of batches.entries()) {
      const { domain, heldOut, windows } = batch;
      if (current !== undefined && (current.domain !== domain || current.heldOut !== heldOut)) {
        // Sums may wait on the card, where they add up: those of other windows are fetched before.
        await passage.flush();
        finish(current);
      }
      current = batch;
      const length = windows[0].length;
      await store.put(index, await passage.run(await store.get(index), windows.length, length));
      await options.onBatch(windows.length * length, domains[domain].name);
    }
    await passage.flush();
    if (current !== undefined) finish(current);
    norms = weightNorms(architecture, shape, block.weights ?? tensors);
  } finally {
    await block.close();
  }
  const nothing = () => resultsOf(fresh());
  return structuresOf((structure): KindStatistics => {
    const results = domains.map((_, d) => (summed[d] ?? nothing())[structure]);
    const others = results.map((sums, d) => keptBack[d]?.[structure] ?? sums);
    return {
      domains: results,
      weights: norms[structure],
      heldOutGram: options.gram ? heldOutGram(others, channels[structure]) : undefined,
    };
  });
}

/** Of windows kept back; domains too short to keep one back are judged on the windows that were summed. */
function heldOutGram(domains: readonly DomainSums[], channels: number): MemoryTensor {
  const grams = domains.map(({ gram, tokens }) => ({ gram: (gram as MemoryTensor).data, tokens }));
  const data = balancedGramInFloat32(grams, grams.map(() => 1), channels);
  return { shape: [channels, channels], data };
}

type KindSums = Readonly<Record<Structure, DomainSums>>;

function resultsOf(sums: Readonly<Record<Structure, SumAccumulator>>): KindSums {
  return structuresOf((structure) => sums[structure].result());
}

function structuresOf<T>(of: (structure: Structure) => T): Readonly<Record<Structure, T>> {
  return { ffn: of("ffn"), heads: of("heads") };
}
