/**
 * Two residual streams side by side, batch by batch: what the dense model makes of the calibration windows, and what the
 * pruned one makes of them so far.
 * @module
 */
import type { DomainWindows } from "../calibrate/types.ts";
import { ActivationStore } from "../engine/activations.ts";
import { memoryOf } from "../engine/memory.ts";
import { inBatches, joinWindows, windowLosses } from "../engine/batches.ts";
import type { BlockSpecification, Engine, FitSums } from "../engine/types.ts";
import { type FitPair, RunningFit } from "./fit_sums.ts";
import type { Model, Structure, Tensor } from "../model/types.ts";
import { breathe } from "../progress.ts";

interface Batch {
  readonly domain: number;
  readonly heldOut: boolean;
  readonly windows: readonly Int32Array[];
}

/** The streams, and the engine that moves them on. */
export class StreamPair {
  readonly #engine: Engine;
  readonly #model: Model;
  readonly #batches: readonly Batch[];
  readonly #weights: readonly number[];
  readonly #signal: AbortSignal | undefined;
  /** The pruned model's stream before the current block. */
  readonly #now: ActivationStore;
  /** The pruned model's stream between attention and FFN. */
  readonly #nowMiddle: ActivationStore;
  /** The dense model's stream before, between, and after. */
  readonly #dense: ActivationStore;
  readonly #denseMiddle: ActivationStore;
  readonly #denseAfter: ActivationStore;

  private constructor(
    engine: Engine,
    model: Model,
    batches: readonly Batch[],
    weights: readonly number[],
    stores: readonly ActivationStore[],
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
    const stores: ActivationStore[] = [];
    for (let store = 0; store < 5; store++) {
      stores.push(await ActivationStore.open(sizes, memory));
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
        const output = await opened.run(hidden, windows.length, windows[0].length);
        await this.#denseMiddle.put(index, output.middle!);
        await this.#denseAfter.put(index, output.hidden);
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
        const output = await opened.run(hidden, windows.length, windows[0].length);
        await this.#nowMiddle.put(index, output.middle!);
      });
    } finally {
      await opened.close();
    }
  }

  /**
   * Moves both streams past the block.
   *
   * @param block The pruned block, finished; absent where it is the dense one and so is everything before it
   */
  async advance(block?: Omit<BlockSpecification, "capture">): Promise<void> {
    const opened = block && await this.#engine.openBlock({ ...block, capture: "none" });
    try {
      await this.#each(async (index, { windows }) => {
        const after = await this.#denseAfter.get(index);
        await this.#dense.put(index, after);
        const hidden = await this.#now.get(index);
        const output = await opened?.run(hidden, windows.length, windows[0].length);
        await this.#now.put(index, output?.hidden ?? after);
      });
    } finally {
      await opened?.close();
    }
  }

  /**
   * Sums for fitting a closing projection so that the pruned stream after it becomes the dense one.
   *
   * @param block The pruned block as it is now
   * @param structure Which projection: `o_proj` of `heads`, `down_proj` of `ffn`
   * @param bias The projection's bias, `[hidden]`, which stays as it is
   * @returns Sums
   */
  async fitClosing(
    block: Omit<BlockSpecification, "capture">,
    structure: Structure,
    bias?: Float32Array,
  ): Promise<FitPair> {
    const opened = await this.#engine.openFittingBlock({ ...block, capture: "none" }, structure);
    const targets = structure === "heads" ? this.#denseMiddle : this.#denseAfter;
    try {
      return await this.#sum(async (index, { windows }) => {
        const target = await targets.get(index);
        const stream = bias === undefined
          ? target
          : target.map((value, at) => value - bias[at % bias.length]);
        const tokenScale = this.#tokenScale(target);
        const hidden = await this.#now.get(index);
        const length = windows[0].length;
        return await opened.run(hidden, windows.length, length, { stream, tokenScale });
      });
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
   * @returns Sums
   */
  async fitStream(place: "before" | "middle", norm: Tensor, bias?: Tensor): Promise<FitPair> {
    const [from, to] = place === "before"
      ? [this.#now, this.#dense]
      : [this.#nowMiddle, this.#denseMiddle];
    const opened = await this.#engine.openStreamFit(this.#model.architecture, norm, bias);
    try {
      return await this.#sum(async (index) => {
        const now = await from.get(index);
        const ones = new Float32Array(now.length / this.#model.architecture.hiddenSize).fill(1);
        return await opened.run(now, await to.get(index), ones);
      });
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
  async close(): Promise<void> {
    const stores = [
      this.#now,
      this.#nowMiddle,
      this.#dense,
      this.#denseMiddle,
      this.#denseAfter,
    ];
    for (const store of stores) await store.close();
  }

  async #each(work: (index: number, batch: Batch) => Promise<void>): Promise<void> {
    for (const [index, batch] of this.#batches.entries()) {
      await work(index, batch);
      await breathe(this.#signal);
    }
  }

  async #sum(work: (index: number, batch: Batch) => Promise<FitSums>): Promise<FitPair> {
    const sums = new RunningFit(this.#weights);
    await this.#each(async (index, batch) => sums.add(batch, await work(index, batch)));
    return sums.result();
  }

  /**
   * 1 / root mean square (of a model with LayerNorm: 1 / standard deviation) of each token's stream: what follows is normed, so that an error counts by its share of the
   * stream.
   */
  #tokenScale(stream: Float32Array): Float32Array {
    const { hiddenSize, normEpsilon, norm } = this.#model.architecture;
    return Float32Array.from({ length: stream.length / hiddenSize }, (_, token) => {
      let [sum, energy] = [0, 0];
      for (let at = token * hiddenSize; at < (token + 1) * hiddenSize; at++) {
        sum += stream[at];
        energy += stream[at] * stream[at];
      }
      const mean = norm === "layer" ? sum / hiddenSize : 0;
      return 1 / Math.sqrt(energy / hiddenSize - mean * mean + normEpsilon);
    });
  }
}
