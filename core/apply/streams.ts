/**
 * Two residual streams side by side, batch by batch: what the dense model makes of the calibration windows, and what the
 * pruned one makes of them so far.
 * @module
 */
import type { DomainWindows } from "../calibrate/types.ts";
import { ActivationStore } from "../engine/activations.ts";
import { memoryOf } from "../engine/memory.ts";
import { inBatches, joinWindows, windowLosses } from "../engine/batches.ts";
import { type FitPassage, openFitPassage, openStreamFitPassage } from "../engine/fit_passages.ts";
import { announceBlock } from "../engine/forward.ts";
import { closeStream, openPassage, runWithMiddle } from "../engine/streams.ts";
import type { BlockSpecification, Engine, FitSums, Stream } from "../engine/types.ts";
import { type FitPair, RunningFit } from "./fit_sums.ts";
import type { Model, Structure, Tensor } from "../model/types.ts";
import { breathe } from "../progress.ts";

interface Batch {
  readonly domain: number;
  readonly heldOut: boolean;
  readonly windows: readonly Int32Array[];
}

/**
 * The streams, and the engine that moves them on. Within a layer they may stay on a graphics card; the streams before it
 * are in the computer's memory, so that a layer whose card failed can be done again.
 */
export class StreamPair {
  readonly #engine: Engine;
  readonly #model: Model;
  readonly #batches: readonly Batch[];
  readonly #weights: readonly number[];
  readonly #signal: AbortSignal | undefined;
  /** The pruned model's stream before the current block. */
  #now: ActivationStore<Stream>;
  /** The pruned model's stream between attention and FFN, and then after the block. */
  #nowMiddle: ActivationStore<Stream>;
  /** The dense model's stream before, between, and after. */
  #dense: ActivationStore<Stream>;
  readonly #denseMiddle: ActivationStore<Stream>;
  #denseAfter: ActivationStore<Stream>;

  private constructor(
    engine: Engine,
    model: Model,
    batches: readonly Batch[],
    weights: readonly number[],
    stores: readonly ActivationStore<Stream>[],
    signal?: AbortSignal,
  ) {
    this.#engine = engine;
    this.#model = model;
    this.#batches = batches;
    this.#weights = weights;
    this.#signal = signal;
    [this.#now, this.#nowMiddle, this.#dense, this.#denseMiddle, this.#denseAfter] = stores;
  }

  /**
   * Starts both streams with the embedded windows.
   *
   * @param engine What runs blocks
   * @param model The dense model
   * @param domains Windows by domain, all of one length
   * @param options How much each domain counts; cancelling
   * @returns The streams; close them after use
   */
  static async open(
    engine: Engine,
    model: Model,
    domains: readonly DomainWindows[],
    options: { readonly weights: readonly number[]; readonly signal?: AbortSignal },
  ): Promise<StreamPair> {
    const memory = memoryOf(engine);
    const { batchTokens } = memory.limits;
    const batches = domains.flatMap(({ calibration, heldOut }, domain) => [
      ...inBatches(calibration, batchTokens).map((windows) => ({
        domain,
        heldOut: false,
        windows,
      })),
      ...inBatches(heldOut, batchTokens).map((windows) => ({ domain, heldOut: true, windows })),
    ]);
    const { hiddenSize } = model.architecture;
    const sizes = batches.map(({ windows }) => windows.length * windows[0].length * hiddenSize);
    const stores: ActivationStore<Stream>[] = [];
    for (let store = 0; store < 5; store++) {
      stores.push(ActivationStore.open<Stream>(sizes, memory));
    }
    const { weights, signal } = options;
    const pair = new StreamPair(engine, model, batches, weights, stores, signal);
    const embedding = await engine.openEmbedding(model);
    for (const [index, { windows }] of batches.entries()) {
      const embedded = await embedding.lookup(joinWindows(windows), { length: windows[0].length });
      await pair.#dense.put(index, embedded);
      await pair.#now.put(index, embedded);
    }
    await embedding.close();
    return pair;
  }

  /** How much each domain counts. */
  get weights(): readonly number[] {
    return this.#weights;
  }

  /** Tokens in each stream. */
  get tokens(): number {
    return this.#batches.reduce(
      (sum, { windows }) => sum + windows.length * windows[0].length,
      0,
    );
  }

  /**
   * Runs the dense block, whose streams become the targets.
   *
   * @param block The dense block
   */
  async runDense(block: Omit<BlockSpecification, "capture">): Promise<void> {
    const opened = await this.#engine.openBlock({ ...block, capture: "middle" });
    try {
      await this.#each(async (index, { windows }) => {
        const hidden = await this.#dense.get(index);
        const length = windows[0].length;
        const after = await runWithMiddle(opened, hidden, windows.length, length);
        await this.#denseMiddle.put(index, after.middle);
        await this.#denseAfter.put(index, after.hidden);
      });
    } finally {
      await opened.close();
    }
  }

  /**
   * Runs the pruned block up to its middle.
   *
   * @param block The pruned block as it is now
   */
  async runToMiddle(block: Omit<BlockSpecification, "capture">): Promise<void> {
    const opened = await this.#engine.openBlock({ ...block, capture: "middle" });
    try {
      await this.#each(async (index, { windows }) => {
        const hidden = await this.#now.get(index);
        const length = windows[0].length;
        const after = await runWithMiddle(opened, hidden, windows.length, length);
        closeStream(after.hidden);
        await this.#nowMiddle.put(index, after.middle);
      });
    } finally {
      await opened.close();
    }
  }

  /**
   * Says which dense block will be run next.
   *
   * @param layer The block's number; nothing happens behind the last one
   */
  announceDense(layer: number): void {
    announceBlock(this.#engine, this.#model, layer);
  }

  /**
   * Moves both streams past the block. Should it fail, they are still before the block.
   *
   * @param block The pruned block, finished; absent where it is the dense one and so is everything before it
   */
  async advance(block?: Omit<BlockSpecification, "capture">): Promise<void> {
    const opened = block && await this.#engine.openBlock({ ...block, capture: "none" });
    const passage = opened && openPassage(opened);
    try {
      await this.#each(async (index, { windows }) => {
        await this.#denseAfter.settle(index);
        if (passage === undefined) {
          await this.#nowMiddle.put(index, await this.#denseAfter.get(index));
          return;
        }
        const hidden = await this.#now.get(index);
        const after = await passage.run(hidden, windows.length, windows[0].length);
        await this.#nowMiddle.put(index, after);
      });
      // Everything is on its way before the first batch is waited for.
      await this.#each((index) => this.#nowMiddle.settle(index));
    } finally {
      await opened?.close();
    }
    [this.#now, this.#nowMiddle] = [this.#nowMiddle, this.#now];
    [this.#dense, this.#denseAfter] = [this.#denseAfter, this.#dense];
  }

  /**
   * Sums for fitting a closing projection so that the pruned stream after it becomes the dense one.
   *
   * @param block The pruned block as it is now
   * @param structure Which projection: `o_proj` of `heads`, `down_proj` of `ffn`
   * @param bias The projection's bias, `[hidden]`, which stays as it is
   * @returns Sums; close them after use
   */
  async fitClosing(
    block: Omit<BlockSpecification, "capture">,
    structure: Structure,
    bias?: Float32Array,
  ): Promise<FitPair> {
    const opened = await this.#engine.openFittingBlock({ ...block, capture: "none" }, structure);
    const targets = structure === "heads" ? this.#denseMiddle : this.#denseAfter;
    const { architecture } = this.#model;
    try {
      return await this.#sum(
        (onSums) => openFitPassage(opened, architecture, onSums),
        async (passage, index, { windows }) => {
          const target = { stream: await targets.get(index), bias };
          const hidden = await this.#now.get(index);
          await passage.add(hidden, windows.length, windows[0].length, target);
        },
      );
    } finally {
      await opened.close();
    }
  }

  /**
   * Sums for fitting the map from the pruned model's normed stream to the dense one's.
   *
   * @param place Before the block, or between attention and FFN
   * @param norm The norm's weight, `[hidden]`
   * @param bias The norm's bias, `[hidden]`, if it has one
   * @returns Sums; close them after use
   */
  async fitStream(place: "before" | "middle", norm: Tensor, bias?: Tensor): Promise<FitPair> {
    const [from, to] = place === "before"
      ? [this.#now, this.#dense]
      : [this.#nowMiddle, this.#denseMiddle];
    const { architecture } = this.#model;
    const opened = await this.#engine.openStreamFit(architecture, norm, bias);
    try {
      return await this.#sum(
        (onSums) => openStreamFitPassage(opened, architecture, onSums),
        async (passage, index) => await passage.add(await from.get(index), await to.get(index)),
      );
    } finally {
      await opened.close();
    }
  }

  /**
   * The loss of a stream under a final norm, on the windows kept back (on all where none were). Call it after the last
   * block.
   *
   * @param which The pruned model's stream, or the dense one's
   * @param finalNorm The norm's weight, `[hidden]`
   * @returns Nats per predicted token of each domain; NaN for a domain without windows
   */
  async losses(which: "pruned" | "dense", finalNorm: Tensor): Promise<readonly number[]> {
    const head = await this.#engine.openHead(this.#model, finalNorm);
    const stream = which === "pruned" ? this.#now : this.#dense;
    const anyKeptBack = this.#batches.some(({ heldOut }) => heldOut);
    const sums = this.#weights.map(() => ({ nats: 0, tokens: 0 }));
    try {
      await this.#each(async (index, { domain, heldOut, windows }) => {
        if (anyKeptBack && !heldOut) return;
        const losses = await windowLosses(head, await stream.get(index), windows);
        sums[domain].nats += losses.reduce((a, b) => a + b, 0);
        sums[domain].tokens += windows.length * (windows[0].length - 1);
      });
    } finally {
      await head.close();
    }
    return sums.map(({ nats, tokens }) => nats / tokens);
  }

  /** Frees what they hold. */
  close(): void {
    const stores = [
      this.#now,
      this.#nowMiddle,
      this.#dense,
      this.#denseMiddle,
      this.#denseAfter,
    ];
    for (const store of stores) store.close();
  }

  async #each(work: (index: number, batch: Batch) => Promise<void>): Promise<void> {
    for (const [index, batch] of this.#batches.entries()) {
      await work(index, batch);
      await breathe(this.#signal);
    }
  }

  async #sum<Inputs extends readonly unknown[]>(
    open: (onSums: (sums: FitSums) => void) => FitPassage<Inputs>,
    work: (passage: FitPassage<Inputs>, index: number, batch: Batch) => Promise<void>,
  ): Promise<FitPair> {
    const { gramBytes } = memoryOf(this.#engine).limits;
    const running = new RunningFit(this.#weights, { waitsInFile: gramBytes === 0 });
    try {
      let current: Batch | undefined;
      const passage = open((sums) => running.add(current!, sums));
      await this.#each(async (index, batch) => {
        // Sums may wait on the card, where they add up: those of other windows are fetched before.
        const isOther = current?.domain !== batch.domain || current.heldOut !== batch.heldOut;
        if (isOther) await passage.flush();
        current = batch;
        await work(passage, index, batch);
      });
      await passage.flush();
      return running.result();
    } catch (error) {
      running.close();
      throw error;
    }
  }
}
