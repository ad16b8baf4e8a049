/**
 * The loss on windows kept back: of the dense model, and of models whose blocks are partly pruned.
 * @module
 */
import { ActivationStore } from "../engine/activations.ts";
import { inBatches, joinWindows, windowLosses } from "../engine/batches.ts";
import { onceMore } from "../engine/again.ts";
import { announceBlock } from "../engine/forward.ts";
import { memoryOf } from "../engine/memory.ts";
import { openPassage } from "../engine/streams.ts";
import type { Engine, Stream } from "../engine/types.ts";
import { discard } from "../linear/discard.ts";
import { blockTensors } from "../model/open.ts";
import { isView } from "../model/tensor_reader.ts";
import type { BlockTensors, LayerShape, Model } from "../model/types.ts";
import { breathe, type WorkOptions } from "../progress.ts";

/** Windows kept back, by domain. */
export interface HeldOutDomain {
  /** The domain's name. */
  readonly name: string;
  /** Its windows, all of one length. */
  readonly windows: readonly Int32Array[];
}

/** One block as it is after a cut, in memory. */
export interface PrunedBlock {
  /** Its sizes. */
  readonly shape: LayerShape;
  /** Its tensors. */
  readonly tensors: BlockTensors;
}

interface Batch {
  readonly domain: number;
  readonly windows: readonly Int32Array[];
}

/** Windows kept back, ready to be run through blocks; counts the work. */
export class HeldOutRuns {
  readonly #engine: Engine;
  readonly #model: Model;
  readonly #batches: readonly Batch[];
  readonly #windowsPerDomain: readonly number[];
  readonly #seqLen: number;
  #blockRuns = 0;
  #headRuns = 0;

  /**
   * Prepares runs.
   *
   * @param engine What runs blocks
   * @param model The dense model
   * @param domains Windows by domain; every domain has at least one
   */
  constructor(engine: Engine, model: Model, domains: readonly HeldOutDomain[]) {
    this.#engine = engine;
    this.#model = model;
    this.#batches = domains.flatMap(({ windows }, domain) =>
      inBatches(windows, memoryOf(engine).limits.batchTokens).map((batch) => ({
        domain,
        windows: batch,
      }))
    );
    this.#windowsPerDomain = domains.map(({ windows }) => windows.length);
    this.#seqLen = domains[0].windows[0].length;
  }

  /** Windows in one run. */
  get windows(): number {
    return this.#windowsPerDomain.reduce((a, b) => a + b, 0);
  }

  /** Work done so far: windows × blocks, the head counted by its size. */
  get windowBlocks(): number {
    return (this.#blockRuns + this.#headRuns * headBlocks(this.#model)) * this.windows;
  }

  /**
   * Counts work that an earlier run did: runs through so many blocks, and the head.
   *
   * @param runs How many
   * @param blocks Blocks of each
   */
  countRuns(runs: number, blocks: number): void {
    this.#blockRuns += runs * blocks;
    this.#headRuns += runs;
  }

  /**
   * Counts runs of blocks that an earlier run did, or that nothing comes after.
   *
   * @param blocks How many
   */
  countBlocks(blocks: number): void {
    this.#blockRuns += blocks;
  }

  /**
   * A store for the residual stream of all windows.
   *
   * @returns An empty store; close it after use
   */
  openStore(): ActivationStore<Stream> {
    const { hiddenSize } = this.#model.architecture;
    return ActivationStore.open<Stream>(
      this.#batches.map(({ windows }) => windows.length * this.#seqLen * hiddenSize),
      memoryOf(this.#engine),
    );
  }

  /**
   * Fills a store with the embedded windows.
   *
   * @param store The store
   */
  async embed(store: ActivationStore<Stream>): Promise<void> {
    const embedding = await this.#engine.openEmbedding(this.#model);
    for (const [index, { windows }] of this.#batches.entries()) {
      await store.put(
        index,
        await embedding.lookup(joinWindows(windows), { length: windows[0].length }),
      );
    }
    await embedding.close();
  }

  /**
   * Runs one block over stores, in place unless another store is named for the output.
   *
   * @param layer Which block, counted from 0
   * @param stores Stores that hold the block's input
   * @param options Where the output goes; a pruned block to run instead of the dense one; cancelling
   */
  async runBlock(
    layer: number,
    stores: readonly ActivationStore<Stream>[],
    options: WorkOptions & {
      readonly into?: ActivationStore<Stream>;
      readonly pruned?: PrunedBlock;
    } = {},
  ): Promise<void> {
    const { architecture } = this.#model;
    const block = await this.#engine.openBlock({
      architecture,
      shape: options.pruned?.shape ?? architecture.layers[layer],
      tensors: options.pruned?.tensors ?? blockTensors(this.#model, layer),
      capture: "none",
    });
    if (options.pruned === undefined) announceBlock(this.#engine, this.#model, layer + 1);
    const passage = openPassage(block);
    try {
      for (const store of stores) {
        for (const [index, { windows }] of this.#batches.entries()) {
          const hidden = await store.get(index);
          const output = await passage.run(hidden, windows.length, this.#seqLen);
          await (options.into ?? store).put(index, output);
          await breathe(options.signal);
        }
        this.#blockRuns++;
      }
    } finally {
      await block.close();
    }
  }

  /**
   * The loss of residual streams after the last block.
   *
   * @param stores Stores that hold the last block's output
   * @param options Cancelling
   * @returns For each store, nats per predicted token of each domain
   */
  async losses(
    stores: readonly ActivationStore<Stream>[],
    options: WorkOptions = {},
  ): Promise<readonly (readonly number[])[]> {
    const head = await this.#engine.openHead(this.#model);
    const results: number[][] = [];
    try {
      for (const store of stores) {
        const sums = this.#windowsPerDomain.map(() => 0);
        for (const [index, { domain, windows }] of this.#batches.entries()) {
          const parts = await windowLosses(head, await store.get(index), windows);
          sums[domain] += parts.reduce((sum, part) => sum + part, 0);
          await breathe(options.signal);
        }
        this.#headRuns++;
        results.push(
          sums.map((sum, domain) => sum / (this.#windowsPerDomain[domain] * (this.#seqLen - 1))),
        );
      }
    } finally {
      await head.close();
    }
    return results;
  }

  /**
   * The loss of a whole pruned model.
   *
   * @param pruned A pruned block for each layer; undefined for a layer that stays dense
   * @param options Cancelling
   * @returns Nats per predicted token of each domain
   */
  async lossOf(
    pruned: (layer: number) => Promise<PrunedBlock | undefined>,
    options: WorkOptions = {},
  ): Promise<readonly number[]> {
    return await onceMore(() => this.#lossOf(pruned, options));
  }

  async #lossOf(
    pruned: (layer: number) => Promise<PrunedBlock | undefined>,
    options: WorkOptions,
  ): Promise<readonly number[]> {
    const store = this.openStore();
    try {
      await this.embed(store);
      for (const layer of this.#model.architecture.layers.keys()) {
        const block = await pruned(layer);
        await this.runBlock(layer, [store], { ...options, pruned: block });
        if (block !== undefined) discardBlock(block);
      }
      return (await this.losses([store], options))[0];
    } finally {
      store.close();
    }
  }
}

/**
 * Frees a pruned block's tensors in memory, which were made for one trial.
 *
 * @param block The block; it cannot be used afterwards
 */
export function discardBlock({ tensors }: PrunedBlock): void {
  for (const tensor of tensors.values()) if (!isView(tensor)) discard(tensor.data);
}

/**
 * What the output head costs, in blocks.
 *
 * @param model The model
 * @returns Parameters of the head / mean parameters of a block
 */
export function headBlocks(model: Model): number {
  const { architecture, parameters } = model;
  const outer = architecture.vocabularySize * architecture.hiddenSize;
  const inBlocks = parameters - outer * (architecture.tiedEmbedding ? 1 : 2);
  return outer / (inBlocks / architecture.layers.length);
}
