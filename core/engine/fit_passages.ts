/**
 * Fits over batch after batch: streams and sums stay on a graphics card where there is one, and the same code fits on
 * engines in the computer's own memory.
 * @module
 */
import type { Architecture } from "../model/types.ts";
import { numbersOf } from "./streams.ts";
import type { FitSums, FittingBlock, ResidentTarget, Stream, StreamFit } from "./types.ts";

/** Batches that are summed for one fit after another. */
export interface FitPassage<Batch extends readonly unknown[]> {
  /**
   * Adds a batch.
   *
   * @param batch What the fit takes; streams stay the caller's
   */
  add(...batch: Batch): Promise<void>;
  /** Hands over the sums of all batches so far that were not handed over yet. */
  flush(): Promise<void>;
}

/** The stream before the block, texts, tokens per text, and what the stream should be after the projection. */
export type ClosingBatch = readonly [
  hidden: Stream,
  batch: number,
  length: number,
  target: ResidentTarget,
];

/**
 * Lets batches pass through a block whose closing projection is fitted.
 *
 * @param block The block
 * @param architecture What the model computes
 * @param onSums Called with sums of one or more batches: after every batch, or only when asked for by `flush`
 * @returns The passage
 */
export function openFitPassage(
  block: FittingBlock,
  architecture: Architecture,
  onSums: (sums: FitSums) => void,
): FitPassage<ClosingBatch> {
  if (block.add !== undefined) {
    return {
      add: (...batch) => block.add!(...batch),
      flush: () => handOver(block, onSums),
    };
  }
  return {
    add: async (hidden, batch, length, { stream, bias }) => {
      const target = await numbersOf(stream);
      const left = bias === undefined
        ? target
        : target.map((value, at) => value - bias[at % bias.length]);
      const tokenScale = tokenScales(architecture, target);
      const inputs = [await numbersOf(hidden), batch, length] as const;
      onSums(await block.run(...inputs, { stream: left, tokenScale }));
    },
    flush: () => Promise.resolve(),
  };
}

/**
 * Lets batches of tokens pass through the fit of one normed stream to another.
 *
 * @param fit The fit
 * @param architecture What the model computes
 * @param onSums Called with sums of one or more batches: after every batch, or only when asked for by `flush`
 * @returns The passage
 */
export function openStreamFitPassage(
  fit: StreamFit,
  { hiddenSize }: Architecture,
  onSums: (sums: FitSums) => void,
): FitPassage<readonly [now: Stream, wanted: Stream]> {
  if (fit.add !== undefined) {
    return {
      add: (now, wanted) => fit.add!(now, wanted),
      flush: () => handOver(fit, onSums),
    };
  }
  return {
    add: async (now, wanted) => {
      const ones = new Float32Array(now.length / hiddenSize).fill(1);
      onSums(await fit.run(await numbersOf(now), await numbersOf(wanted), ones));
    },
    flush: () => Promise.resolve(),
  };
}

async function handOver(
  from: Pick<FittingBlock, "takeSums">,
  onSums: (sums: FitSums) => void,
): Promise<void> {
  const sums = await from.takeSums?.();
  if (sums !== undefined) onSums(sums);
}

/**
 * 1 / root mean square (of a model with LayerNorm: 1 / standard deviation) of each token's stream: what follows is
 * normed, so that an error counts by its share of the stream.
 */
function tokenScales(
  { hiddenSize, normEpsilon, norm }: Architecture,
  stream: Float32Array,
): Float32Array {
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
