/**
 * The model's own words: text sampled from the dense model at temperature 1 as one more domain (METHOD 1; the idea is
 * known as self-calibration). It covers what the model was trained on and needs no data.
 * @module
 */
import { StateLostError } from "../errors.ts";
import { closeStream, continueBlock } from "../engine/streams.ts";
import type {
  CachedBlock,
  Embedding,
  Engine,
  Head,
  KeyValueCache,
  Stream,
} from "../engine/types.ts";
import { memoryOf } from "../engine/memory.ts";
import { bytesPerNumber, numberCount } from "../model/number_formats.ts";
import { blockTensors } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import { breathe, type WorkOptions } from "../progress.ts";
import { Random } from "../random.ts";

/** Sequences that are continued together. */
const sequencesTogether = 64;

/** Options of {@linkcode sampleSelf}. */
export interface SampleOptions extends WorkOptions {
  /** Sequences to sample. */
  readonly windows: number;
  /** Tokens in each. */
  readonly seqLen: number;
  /** Seed; every sequence has a stream of its own. */
  readonly seed: number;
  /**
   * Gives the sequences of a group, by the number of its first, where they need not be sampled: an earlier run has, or
   * nobody asks for them. Sequences of a group are sampled together, and a group comes out the same with or without the
   * others.
   */
  readonly known?: (first: number, count: number) => Promise<readonly Int32Array[] | undefined>;
  /** Called with every group that was sampled. */
  readonly onGroup?: (first: number, windows: readonly Int32Array[]) => Promise<void>;
}

/**
 * Samples text from a model, each sequence from the model's own start token or, where it has none, from one random
 * token.
 *
 * @param engine What runs the model
 * @param model The model
 * @param options How much to sample
 * @returns Token windows
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function sampleSelf(
  engine: Engine,
  model: Model,
  options: SampleOptions,
): Promise<readonly Int32Array[]> {
  const { windows, seqLen } = options;
  const together = textsTogether(model, seqLen, memoryOf(engine).limits.cacheBytes);
  const groups: (readonly Int32Array[] | undefined)[] = [];
  for (let first = 0; first < windows; first += together) {
    const count = Math.min(together, windows - first);
    groups.push(await options.known?.(first, count));
  }
  if (groups.includes(undefined)) {
    await withOpenedModel(engine, model, async (opened) => {
      for (const [index, known] of groups.entries()) {
        const first = index * together;
        const count = Math.min(together, windows - first);
        groups[index] = known ?? await sampleGroup(opened, model, { first, count }, options);
      }
    });
  }
  return groups.flatMap((group) => group!);
}

async function withOpenedModel(
  engine: Engine,
  model: Model,
  use: (opened: OpenedModel) => Promise<void>,
): Promise<void> {
  const embedding = await engine.openEmbedding(model);
  const head = await engine.openHead(model);
  const blocks = new SampledBlocks(engine, model);
  try {
    await use({ embedding, blocks, head });
  } finally {
    await blocks.close();
    await head.close();
    await embedding.close();
  }
}

async function sampleGroup(
  opened: OpenedModel,
  model: Model,
  { first, count }: { readonly first: number; readonly count: number },
  options: SampleOptions,
): Promise<readonly Int32Array[]> {
  const { windows, seqLen, seed } = options;
  const tokenizer = await model.tokenizer();
  /** The first token of a sequence, and the stream of random numbers that goes on. */
  const startOf = (index: number): Sequence => {
    const random = Random.of(`${seed} self ${index}`);
    const tokens = new Int32Array(seqLen);
    tokens[0] = tokenizer.startToken ?? random.below(model.architecture.vocabularySize);
    return { tokens, random };
  };
  const total = windows * (seqLen - 1);
  const attempt = async () => {
    const group = Array.from({ length: count }, (_, index) => startOf(first + index));
    await continueTexts(opened, group, async (tokens) => {
      const done = first * (seqLen - 1) + tokens;
      options.onProgress?.({ stage: "sample", done, total, unit: "tokens", detail: "self" });
      await breathe(options.signal);
    });
    return group.map(({ tokens }) => tokens);
  };
  let sampled: readonly Int32Array[];
  try {
    sampled = await attempt();
  } catch (error) {
    // The engine goes on without its graphics card: the group starts again.
    if (!(error instanceof StateLostError)) throw error;
    sampled = await attempt();
  }
  await options.onGroup?.(first, sampled);
  return sampled;
}

interface Sequence {
  readonly tokens: Int32Array;
  readonly random: Random;
}

interface OpenedModel {
  readonly embedding: Embedding;
  readonly blocks: SampledBlocks;
  readonly head: Head;
}

/** The blocks of a model: all open where memory allows it, else one, which is opened again for every token. */
class SampledBlocks {
  readonly #engine: Engine;
  readonly #model: Model;
  readonly #open: (CachedBlock | undefined)[] = [];
  readonly #keeps: boolean;

  constructor(engine: Engine, model: Model) {
    this.#engine = engine;
    this.#model = model;
    const { limits } = memoryOf(engine);
    // A graphics card keeps weights in a memory of its own.
    this.#keeps = engine.device !== "cpu" ||
      openBytes(model, limits.convertedBytes) <= limits.samplingBytes;
  }

  get count(): number {
    return this.#model.architecture.layers.length;
  }

  /** Runs one more token of every text through a block. */
  async continue(
    layer: number,
    hidden: Stream,
    texts: number,
    cache: KeyValueCache | undefined,
  ): ReturnType<typeof continueBlock> {
    const block = this.#open[layer] ?? await this.#openBlock(layer);
    if (this.#keeps) this.#open[layer] = block;
    try {
      return await continueBlock(block, hidden, texts, 1, cache);
    } finally {
      if (!this.#keeps) await block.close();
    }
  }

  async close(): Promise<void> {
    for (const block of this.#open) await block?.close();
    this.#open.length = 0;
  }

  async #openBlock(layer: number): Promise<CachedBlock> {
    const { architecture } = this.#model;
    return await this.#engine.openCachedBlock({
      architecture,
      shape: architecture.layers[layer],
      tensors: blockTensors(this.#model, layer),
      capture: "none",
    });
  }
}

/** What all blocks take when they are open: their mapped files, or numbers of their own, widened and rearranged. */
function openBytes(model: Model, convertedBytes: number): number {
  const { layers } = model.architecture;
  return layers.reduce((sum, _, layer) => {
    const tensors = [...blockTensors(model, layer).values()];
    const numbers = tensors.reduce((count, { shape }) => count + numberCount(shape), 0);
    const converted = 4 * numbers <= convertedBytes;
    return sum + (converted ? 12 * numbers : numbers * bytesPerNumber(model.dataType));
  }, 0);
}

/** As many texts as have room for their keys and values; one at least. */
function textsTogether(model: Model, seqLen: number, cacheBytes: number): number {
  return Math.max(
    1,
    Math.min(sequencesTogether, Math.floor(cacheBytes / cacheBytesPerText(model, seqLen))),
  );
}

/**
 * The keys and values of one text in all layers, where caches double when they are full.
 *
 * @param model The model
 * @param seqLen Tokens of the text
 * @returns Bytes
 */
export function cacheBytesPerText(
  { architecture: { layers, headSize } }: Pick<Model, "architecture">,
  seqLen: number,
): number {
  const capacity = Math.max(64, 2 ** Math.ceil(Math.log2(seqLen)));
  return layers.reduce((sum, { keyValueHeads }) => sum + 8 * keyValueHeads * headSize, 0) *
    capacity;
}

/** Samples all tokens of texts but their first. */
async function continueTexts(
  { embedding, blocks, head }: OpenedModel,
  group: readonly Sequence[],
  onTokens: (tokens: number) => Promise<void>,
): Promise<void> {
  const caches: (KeyValueCache | undefined)[] = Array.from({ length: blocks.count });
  const length = group[0].tokens.length;
  for (let at = 0; at + 1 < length; at++) {
    const now = group.map(({ tokens }) => tokens[at]);
    let hidden: Stream = await embedding.lookup(now, { length: 1, first: at });
    let logits: Float32Array;
    try {
      for (let layer = 0; layer < blocks.count; layer++) {
        const output = await blocks.continue(layer, hidden, group.length, caches[layer]);
        caches[layer] = output.cache;
        closeStream(hidden);
        hidden = output.hidden;
      }
      logits = await head.logits(hidden);
    } finally {
      closeStream(hidden);
    }
    const vocabulary = logits.length / group.length;
    group.forEach(({ tokens, random }, row) => {
      const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
      tokens[at + 1] = drawToken(own, random.next());
    });
    await onTokens(group.length * (at + 1));
  }
}

/**
 * Draws a token from softmax(logits), that is at temperature 1.
 *
 * @param logits Logits over the vocabulary
 * @param uniform A random number in [0, 1)
 * @returns The first token at which the cumulated probability passes the random number
 * @example
 * ```ts
 * import { drawToken } from "./self.ts";
 * console.log(drawToken(Float32Array.of(0, 0), 0.75)); // 1
 * ```
 */
export function drawToken(logits: Float32Array, uniform: number): number {
  let highest = -Infinity;
  for (let token = 0; token < logits.length; token++) {
    if (logits[token] > highest) highest = logits[token];
  }
  let total = 0;
  for (let token = 0; token < logits.length; token++) total += Math.exp(logits[token] - highest);
  let left = uniform * total;
  for (let token = 0; token < logits.length; token++) {
    left -= Math.exp(logits[token] - highest);
    if (left < 0) return token;
  }
  return logits.length - 1;
}

/**
 * Groups windows that use alike tokens, by k-means on the square roots of their token frequencies (so that distances
 * are Hellinger's). Where `self` is the only domain, its groups stand in for domains.
 *
 * @param windows Token windows
 * @param groups Groups wanted, at most; groups that end up empty are left out
 * @param seed Seed of the first centres
 * @returns Windows by group
 */
export function clusterWindows(
  windows: readonly Int32Array[],
  groups: number,
  seed: number,
): readonly (readonly Int32Array[])[] {
  const features = windows.map(tokenFrequencies);
  const starts = Random.of(`${seed} clusters`).permutation(windows.length).slice(0, groups);
  let centres = Array.from(starts, (index) => features[index]);
  let nearestCentre: readonly number[] = [];
  for (let round = 0; round < 20; round++) {
    const next = features.map((feature) => nearest(centres, feature));
    if (next.every((centre, index) => centre === nearestCentre[index])) break;
    nearestCentre = next;
    centres = centres.map((centre, index) => {
      const members = features.filter((_, window) => next[window] === index);
      return members.length === 0 ? centre : meanOf(members);
    });
  }
  return centres.map((_, index) => windows.filter((_, window) => nearestCentre[window] === index))
    .filter((group) => group.length > 0);
}

type Frequencies = ReadonlyMap<number, number>;

function tokenFrequencies(window: Int32Array): Frequencies {
  const counts = new Map<number, number>();
  for (const token of window) counts.set(token, (counts.get(token) ?? 0) + 1);
  return new Map(
    Array.from(counts, ([token, count]) => [token, Math.sqrt(count / window.length)]),
  );
}

function nearest(centres: readonly Frequencies[], feature: Frequencies): number {
  const likeness = centres.map((centre) => {
    let product = 0, norm = 0;
    for (const [token, value] of feature) product += value * (centre.get(token) ?? 0);
    for (const value of centre.values()) norm += value * value;
    return product - norm / 2;
  });
  return likeness.indexOf(Math.max(...likeness));
}

function meanOf(members: readonly Frequencies[]): Frequencies {
  const mean = new Map<number, number>();
  for (const member of members) {
    for (const [token, value] of member) {
      mean.set(token, (mean.get(token) ?? 0) + value / members.length);
    }
  }
  return mean;
}
