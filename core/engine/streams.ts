/**
 * Residual streams that may stay on a graphics card: the same code runs them on engines that keep them and on engines
 * that do not.
 * @module
 */
import type { Block, BlockSums, CachedBlock, KeyValueCache, Stream } from "./types.ts";

/**
 * The numbers of a stream.
 *
 * @param stream The stream, wherever it is; it stays open
 * @returns Its numbers; the stream itself where it is in the computer's memory
 */
export async function numbersOf(stream: Stream): Promise<Float32Array> {
  return stream instanceof Float32Array ? stream : await stream.read();
}

/**
 * Frees a stream that stays somewhere; others need no freeing.
 *
 * @param stream The stream
 */
export function closeStream(stream: Stream): void {
  if (!(stream instanceof Float32Array)) stream.close();
}

/** A block through which batch after batch passes. */
export interface Passage {
  /**
   * Runs a batch.
   *
   * @param hidden The residual stream, which stays open
   * @param batch Texts
   * @param length Tokens per text
   * @returns The residual stream after the block; close it after use
   */
  run(hidden: Stream, batch: number, length: number): Promise<Stream>;
  /** Hands over the sums of all batches so far that were not handed over yet. */
  flush(): Promise<void>;
}

/**
 * Lets batches pass through a block, and leaves on the card what need not come back.
 *
 * @param block The block
 * @param onSums Called with sums of one or more batches: after every batch, or only when asked for by `flush`
 * @returns The passage
 */
export function openPassage(block: Block, onSums?: (sums: BlockSums) => void): Passage {
  if (block.keep !== undefined) {
    return {
      run: (hidden, batch, length) => block.keep!(hidden, batch, length),
      flush: async () => {
        const sums = await block.takeSums?.();
        if (sums !== undefined) onSums?.(sums);
      },
    };
  }
  return {
    run: async (hidden, batch, length) => {
      const output = await block.run(await numbersOf(hidden), batch, length);
      if (output.sums !== undefined) onSums?.(output.sums);
      return output.hidden;
    },
    flush: () => Promise.resolve(),
  };
}

/**
 * Runs a batch through a block with capture `middle`, and leaves both streams on the card where they may.
 *
 * @param block The block
 * @param hidden The residual stream, which stays open
 * @param batch Texts
 * @param length Tokens per text
 * @returns The residual streams after the block and between its halves; close them after use
 */
export async function runWithMiddle(
  block: Block,
  hidden: Stream,
  batch: number,
  length: number,
): Promise<{ readonly hidden: Stream; readonly middle: Stream }> {
  if (block.keepMiddle !== undefined) return await block.keepMiddle(hidden, batch, length);
  const output = await block.run(await numbersOf(hidden), batch, length);
  return { hidden: output.hidden, middle: output.middle! };
}

/**
 * Continues texts, and leaves on the card what need not come back.
 *
 * @param block The block
 * @param hidden The residual stream of the new tokens, which stays open
 * @param batch Texts
 * @param length New tokens per text
 * @param cache What the call before returned, or undefined at the start
 * @returns The residual stream after the block, which is to be closed, and the cache after these tokens
 */
export async function continueBlock(
  block: CachedBlock,
  hidden: Stream,
  batch: number,
  length: number,
  cache?: KeyValueCache,
): Promise<{ readonly hidden: Stream; readonly cache?: KeyValueCache }> {
  if (block.keep !== undefined) return await block.keep(hidden, batch, length, cache);
  return await block.run(await numbersOf(hidden), batch, length, cache);
}
