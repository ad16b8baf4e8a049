/**
 * A block that continues texts with a key/value cache on the card.
 * @module
 */
import { EngineError, GraphicsError } from "../../errors.ts";
import { checkHidden } from "../checks.ts";
import type { BlockSpecification, CachedBlock, KeyValueCache, Stream } from "../types.ts";
import {
  type Attend,
  attentionHalf,
  attentionSettings,
  ffnHalf,
  outputRows,
  type RunSizes,
  textsTogether,
} from "./block_parts.ts";
import { headWidths } from "./block_weights.ts";
import type { PooledBuffer } from "./buffers.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import { appendKernel, cachedAttentionKernel } from "./kernels/attention.ts";
import { CardStream, lastingRows, type StreamPart, streamParts } from "./card_stream.ts";
import {
  type CardRows,
  type Operations,
  regionOf,
  sendRows,
  temporaryRows,
  tightRows,
} from "./operations.ts";
import type { BlockUploads } from "./uploads.ts";
import { fours } from "./weights.ts";

/** Positions that a cache starts with; it doubles when it is full. */
const FIRST_CAPACITY = 64;

/** Keys and values with room for more, `[batch, capacity, stride]`: keys of all heads, then values of all heads. */
interface CacheMemory {
  readonly owner: object;
  readonly buffer: PooledBuffer;
  readonly batch: number;
  readonly capacity: number;
  /** Tokens per text that have been written. */
  filled: number;
}

class CardCache implements KeyValueCache {
  constructor(readonly memory: CacheMemory, readonly length: number) {}
}

/**
 * Prepares a block to continue texts token by token. It reports no sums, whatever the specification says.
 *
 * @param context What the engine's parts share
 * @param uploads Where its weights come from
 * @param specification The block
 * @returns The block; close it after use, its caches go with it
 * @throws {GraphicsError} if the card has no room for it
 */
export async function openCachedBlock(
  context: GraphicsContext,
  uploads: BlockUploads,
  specification: BlockSpecification,
): Promise<CachedBlock> {
  const block = await uploads.open(specification);
  const caches = new CacheKeeper(context, specification);
  const { hiddenSize } = specification.architecture;
  const checkSizes = (hidden: Stream, batch: number, length: number) => {
    checkHidden(hidden, batch, length, specification);
    if (textsTogether(context, specification, length) >= batch) return;
    throw new GraphicsError(
      `Cannot continue ${batch} texts by ${length} tokens at a time on graphics card '${context.graphics.name}': use --engine onnx`,
    );
  };
  /** Writes the block down for new tokens; gives the cache after them. */
  const write = (
    operations: Operations,
    { source }: StreamPart,
    sizes: RunSizes,
    cache: KeyValueCache | undefined,
    target: CardRows | undefined,
  ): { readonly output: CardRows; readonly memory: CacheMemory } => {
    const memory = caches.prepare(cache, sizes, operations.commands);
    const input = source instanceof Float32Array
      ? sendRows(operations, source, hiddenSize)
      : source;
    const output = target ?? temporaryRows(operations, input.rows, hiddenSize);
    const half = attentionHalf(operations, block, input, sizes, attendWith(memory));
    ffnHalf(operations, block, half, output);
    return { output, memory };
  };
  const withCommands = <T>(work: (operations: Operations) => Promise<T>): Promise<T> =>
    context.guard("continue texts", async () => {
      const operations = { context, commands: new Commands(context) };
      try {
        return await work(operations);
      } finally {
        operations.commands.abandon();
      }
    });
  const after = (memory: CacheMemory, { past, length }: RunSizes): KeyValueCache => {
    memory.filled = past + length;
    return caches.keep(new CardCache(memory, past + length));
  };
  return {
    run: async (hidden, batch, length, cache) => {
      checkSizes(hidden, batch, length);
      const sizes = { batch, length, past: cache?.length ?? 0 };
      return await withCommands(async (operations) => {
        const part = { source: hidden, texts: batch };
        const { output, memory } = write(operations, part, sizes, cache, undefined);
        operations.commands.read(regionOf(output));
        const [numbers] = await operations.commands.submit();
        return { hidden: tightRows(numbers, hiddenSize), cache: after(memory, sizes) };
      });
    },
    keep: async (hidden, batch, length, cache) => {
      checkSizes(hidden, batch, length);
      const sizes = { batch, length, past: cache?.length ?? 0 };
      return await withCommands(async (operations) => {
        const [part] = await streamParts(context, hidden, batch, batch);
        const stream = new CardStream(context, [lastingRows(context, batch * length, hiddenSize)]);
        try {
          const { memory } = write(operations, part, sizes, cache, stream.parts[0]);
          await operations.commands.submit();
          return { hidden: stream, cache: after(memory, sizes) };
        } catch (error) {
          stream.close();
          throw error;
        }
      });
    },
    close: () => {
      caches.close();
      block.close();
      return Promise.resolve();
    },
  };
}

/**
 * Attention of new tokens among those in a cache, to which they are added. Texts go in groups where the cache of all is
 * too large for one binding.
 */
function attendWith({ buffer, capacity }: CacheMemory): Attend {
  return (operations, block, all, { batch, length, past }) => {
    const { shape } = block;
    const { queries, keys } = headWidths(block);
    const [stride, cacheStride] = [4 * fours(all.columns), 4 * fours(2 * keys)];
    const output = outputRows(operations, all.rows, queries);
    const group = shape.queryHeads / shape.keyValueHeads;
    const textBytes = 4 * capacity * cacheStride;
    const { maxStorageBufferBindingSize } = operations.context.graphics.limits;
    const together = Math.max(1, Math.floor(maxStorageBufferBindingSize / textBytes));
    for (let first = 0; first < batch; first += together) {
      const texts = Math.min(together, batch - first);
      const cache = {
        buffer: buffer.buffer,
        offset: first * textBytes,
        bytes: texts * textBytes,
      };
      operations.commands.dispatch(
        appendKernel(),
        [regionOf(all), cache],
        [2 * keys, queries, stride, cacheStride, length, past, capacity, first * length],
        [Math.ceil(2 * keys / 64), texts * length, 1],
      );
      const strides = [stride, cacheStride, capacity, 0, keys, 4 * fours(queries)];
      operations.commands.dispatch(
        cachedAttentionKernel(attentionSettings(block)),
        [regionOf(all), cache, regionOf(output)],
        [length, past, group, ...strides, first * length],
        [length, shape.queryHeads, texts],
      );
    }
    return output;
  };
}

/** Caches of one block: their buffers go back when nobody holds the cache any more, or with the block. */
class CacheKeeper {
  readonly #context: GraphicsContext;
  readonly #stride: number;
  readonly #buffers = new Set<PooledBuffer>();
  /** How many cache objects share a buffer. */
  readonly #holders = new Map<PooledBuffer, number>();
  readonly #registry = new FinalizationRegistry<PooledBuffer>((buffer) => this.#drop(buffer));

  constructor(context: GraphicsContext, specification: BlockSpecification) {
    this.#context = context;
    this.#stride = 4 * fours(2 * headWidths(specification).keys);
  }

  /** The memory itself, or a copy where it is full, or where another continuation of the same text has used it. */
  prepare(
    cache: KeyValueCache | undefined,
    { batch, length, past }: RunSizes,
    commands: Commands,
  ): CacheMemory {
    const before = this.#memoryOf(cache, batch);
    const total = past + length;
    if (before !== undefined && before.filled === past && total <= before.capacity) return before;
    const capacity = Math.max(FIRST_CAPACITY, 2 ** Math.ceil(Math.log2(total)));
    const rowBytes = 4 * this.#stride;
    const { limits: { maxStorageBufferBindingSize }, name } = this.#context.graphics;
    if (capacity * rowBytes > maxStorageBufferBindingSize) {
      throw new GraphicsError(
        `Cannot continue texts past ${past} tokens on graphics card '${name}': the cache of one would be larger than its bindings; give a shorter --seq-len, or use --engine onnx`,
      );
    }
    const buffer = this.#context.pool.acquire(batch * capacity * rowBytes);
    this.#buffers.add(buffer);
    if (before !== undefined) {
      for (let text = 0; text < batch; text++) {
        const from = text * before.capacity * rowBytes;
        commands.copy(
          { buffer: before.buffer.buffer, offset: from, bytes: past * rowBytes },
          { buffer: buffer.buffer, offset: text * capacity * rowBytes },
        );
      }
    }
    return { owner: this, buffer, batch, capacity, filled: past };
  }

  keep(cache: CardCache): KeyValueCache {
    const { buffer } = cache.memory;
    this.#holders.set(buffer, (this.#holders.get(buffer) ?? 0) + 1);
    this.#registry.register(cache, buffer);
    return cache;
  }

  close(): void {
    for (const buffer of this.#buffers) this.#context.pool.release(buffer);
    this.#buffers.clear();
    this.#holders.clear();
  }

  #memoryOf(cache: KeyValueCache | undefined, batch: number): CacheMemory | undefined {
    if (cache === undefined) return undefined;
    if (!(cache instanceof CardCache) || cache.memory.owner !== this) {
      throw new EngineError(
        "Cannot continue a text: its cache was made by another engine or block",
      );
    }
    if (cache.memory.batch !== batch) {
      throw new EngineError(
        `Cannot continue ${batch} texts: their cache holds ${cache.memory.batch}`,
      );
    }
    return cache.memory;
  }

  #drop(buffer: PooledBuffer): void {
    const holders = (this.#holders.get(buffer) ?? 0) - 1;
    this.#holders.set(buffer, holders);
    if (holders > 0 || !this.#buffers.delete(buffer)) return;
    this.#holders.delete(buffer);
    this.#context.pool.release(buffer);
  }
}
