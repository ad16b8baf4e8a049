/**
 * A block that continues texts with a key/value cache on ONNX Runtime.
 * @module
 */
import { EngineError } from "../errors.ts";
import { attentionOperator } from "../onnx/attention.ts";
import { BLOCK_NAME, runFeeds, type RunSizes } from "./block_graph.ts";
import { checkHidden } from "./checks.ts";
import { type BlockSurroundings, openBlockSession } from "./onnx_block.ts";
import { type Feed, floats } from "./runtime.ts";
import type { BlockOutput, BlockSpecification, CachedBlock, KeyValueCache } from "./types.ts";
import { mappableTensors, weightFeeds } from "./weights.ts";

/** Positions that a cache starts with; it doubles when it is full. */
const FIRST_CAPACITY = 64;

/**
 * Prepares a block to continue texts token by token. It reports no sums, whatever the specification says.
 *
 * @param given The block
 * @param surroundings Threads and rotation tables
 * @returns The block; close it after use
 * @throws {EngineError} if ONNX Runtime is missing or refuses the block
 */
export async function openCachedBlock(
  given: BlockSpecification,
  surroundings: BlockSurroundings,
): Promise<CachedBlock> {
  const specification = { ...given, tensors: await mappableTensors(given.tensors) };
  const silent = { ...specification, capture: "none" } as const;
  const session = await openBlockSession(silent, "cached", surroundings);
  const weights = weightFeeds(BLOCK_NAME, specification.tensors);
  const runTokens = async (
    hidden: Float32Array,
    sizes: RunSizes,
    cache: KeyValueCache | undefined,
  ): Promise<BlockOutput> => {
    const { past, present, next } = prepareCache(specification, sizes, cache);
    const output = new Float32Array(hidden.length);
    const rotations = surroundings.rotations(sizes.past + sizes.length);
    const feeds = { ...runFeeds(hidden, sizes, rotations), ...weights, ...past };
    await session.run(feeds, { outputHidden: floats(output, feeds.hidden.shape), ...present });
    return { hidden: output, cache: next };
  };
  return {
    run: async (hidden, batch, length, cache) => {
      checkHidden(hidden, batch, length, specification);
      const past = cache?.length ?? 0;
      // `GroupQueryAttention` takes several new tokens after old ones for a single text alone.
      const together = batch === 1 || past === 0 || length === 1 ||
        attentionOperator(specification.architecture.headSize) === "Attention";
      if (together) return await runTokens(hidden, { batch, length, past }, cache);
      const output = new Float32Array(hidden.length);
      const copy = tokenCopier(batch, length, specification.architecture.hiddenSize);
      let last = cache;
      for (let token = 0; token < length; token++) {
        const row = new Float32Array(hidden.length / length);
        copy(hidden, row, token, "take");
        const step = await runTokens(row, { batch, length: 1, past: past + token }, last);
        copy(output, step.hidden, token, "give");
        last = step.cache;
      }
      return { hidden: output, cache: last };
    },
    close: async () => await session.close(),
  };
}

/** Copies one token of every text out of `[batch, length, hidden]` into `[batch, 1, hidden]`, or back. */
function tokenCopier(batch: number, length: number, hiddenSize: number) {
  return (all: Float32Array, row: Float32Array, token: number, direction: "take" | "give") => {
    for (let text = 0; text < batch; text++) {
      const start = (text * length + token) * hiddenSize;
      const inAll = all.subarray(start, start + hiddenSize);
      const inRow = row.subarray(text * hiddenSize, (text + 1) * hiddenSize);
      if (direction === "take") inRow.set(inAll);
      else inAll.set(inRow);
    }
  };
}

/** Keys and values with room for more, `[batch, keyValueHeads, capacity, headSize]` each. */
interface CacheMemory {
  readonly key: Float32Array;
  readonly value: Float32Array;
  readonly batch: number;
  readonly capacity: number;
  /** Tokens per text that have been written. */
  filled: number;
}

class OnnxCache implements KeyValueCache {
  constructor(readonly memory: CacheMemory, readonly length: number) {}
}

interface PreparedCache {
  readonly past: Readonly<Record<string, Feed>>;
  readonly present: Readonly<Record<string, Feed>>;
  readonly next: KeyValueCache;
}

/**
 * `GroupQueryAttention` appends in place where past and present are the same memory, which saves copying the whole
 * cache at every token. `Attention` wants them apart and as long as they are filled.
 */
function prepareCache(
  { architecture, shape }: BlockSpecification,
  { batch, length, past }: RunSizes,
  cache: KeyValueCache | undefined,
): PreparedCache {
  const before = cacheMemory(cache, batch);
  const { headSize } = architecture;
  const row = { heads: shape.keyValueHeads, headSize, batch };
  const total = past + length;
  const feeds = (prefix: string, { key, value, capacity }: CacheMemory) => {
    const sizes = [batch, shape.keyValueHeads, capacity, headSize];
    return { [`${prefix}Key`]: floats(key, sizes), [`${prefix}Value`]: floats(value, sizes) };
  };
  if (attentionOperator(headSize) === "Attention") {
    const memory = newMemory(row, total);
    memory.filled = total;
    const next = new OnnxCache(memory, total);
    return {
      past: feeds("past", before ?? newMemory(row, 0)),
      present: feeds("present", memory),
      next,
    };
  }
  const memory = appendable(before, past, total, row);
  memory.filled = total;
  const next = new OnnxCache(memory, total);
  return { past: feeds("past", memory), present: feeds("present", memory), next };
}

function cacheMemory(cache: KeyValueCache | undefined, batch: number): CacheMemory | undefined {
  if (cache === undefined) return undefined;
  if (!(cache instanceof OnnxCache)) {
    throw new EngineError("Cannot continue a text: its cache was made by another engine");
  }
  if (cache.memory.batch !== batch) {
    throw new EngineError(
      `Cannot continue ${batch} texts: their cache holds ${cache.memory.batch}`,
    );
  }
  return cache.memory;
}

interface CacheRow {
  readonly batch: number;
  readonly heads: number;
  readonly headSize: number;
}

function newMemory({ batch, heads, headSize }: CacheRow, capacity: number): CacheMemory {
  const size = batch * heads * capacity * headSize;
  const [key, value] = [new Float32Array(size), new Float32Array(size)];
  return { key, value, batch, capacity, filled: 0 };
}

/** The memory itself, or a copy where it is full, or where another continuation of the same text has used it. */
function appendable(
  memory: CacheMemory | undefined,
  past: number,
  total: number,
  row: CacheRow,
): CacheMemory {
  if (memory !== undefined && memory.filled === past && total <= memory.capacity) return memory;
  const capacity = Math.max(FIRST_CAPACITY, 2 ** Math.ceil(Math.log2(total)));
  const copy = newMemory(row, capacity);
  if (memory === undefined) return copy;
  const size = past * row.headSize;
  for (let head = 0; head < row.batch * row.heads; head++) {
    const from = head * memory.capacity * row.headSize;
    const to = head * capacity * row.headSize;
    copy.key.set(memory.key.subarray(from, from + size), to);
    copy.value.set(memory.value.subarray(from, from + size), to);
  }
  return copy;
}
