/**
 * Trying an engine: whether its numbers are those of another one, and whether it is faster.
 * @module
 */
import { GraphicsError } from "../errors.ts";
import type { Architecture } from "../model/types.ts";
import { syntheticBlock, type SyntheticSizes, syntheticStream } from "./synthetic.ts";
import { closeStream, numbersOf, openPassage } from "./streams.ts";
import type { BlockOutput, BlockSpecification, Engine, Stream } from "./types.ts";

/** By how much numbers may differ, as a share of the largest of their kind. */
export const numbersTolerance = 1e-3;

/** A block that no size of which is a multiple of a tile's. */
const SMALL: SyntheticSizes = {
  hiddenSize: 84,
  headSize: 12,
  queryHeads: 6,
  keyValueHeads: 2,
  ffnWidth: 149,
};

/**
 * Runs a made-up block on two engines.
 *
 * @param engine The engine to check
 * @param reference The engine that is trusted
 * @throws {GraphicsError} if the numbers of the first are not those of the second
 */
export async function checkSmallBlock(engine: Engine, reference: Engine): Promise<void> {
  await checkBlock(engine, reference, syntheticBlock(SMALL, "gram"));
}

/**
 * Runs a block on two engines with a few made-up tokens.
 *
 * @param engine The engine to check
 * @param reference The engine that is trusted
 * @param specification The block
 * @throws {GraphicsError} if the numbers of the first are not those of the second
 */
export async function checkBlock(
  engine: Engine,
  reference: Engine,
  specification: BlockSpecification,
): Promise<void> {
  const [texts, length] = [2, 37];
  const { hiddenSize } = specification.architecture;
  const stream = syntheticStream(texts * length, hiddenSize);
  const run = async (on: Engine) => await runOnce(on, specification, stream, texts, length);
  const worst = largestDifference(await run(engine), await run(reference));
  if (worst <= numbersTolerance) return;
  throw new GraphicsError(
    `Cannot trust graphics card '${engine.device}': its numbers differ from the processor's by ${
      Number.isNaN(worst) ? "NaN" : `${(100 * worst).toPrecision(2)} %`
    }; update its driver, or use --engine onnx`,
  );
}

async function runOnce(
  engine: Engine,
  specification: BlockSpecification,
  stream: Float32Array,
  texts: number,
  length: number,
): Promise<BlockOutput> {
  const block = await engine.openBlock(specification);
  try {
    return await block.run(stream, texts, length);
  } finally {
    await block.close();
  }
}

/** The largest difference among all that a block gives, each kind as a share of its largest number; NaN counts most. */
function largestDifference(actual: BlockOutput, expected: BlockOutput): number {
  let worst = relativeDifference(actual.hidden, expected.hidden);
  for (const kind of ["ffn", "heads"] as const) {
    for (const name of ["sum", "sumOfSquares", "gram"] as const) {
      const [own, other] = [actual.sums?.[kind][name], expected.sums?.[kind][name]];
      if (own !== undefined && other !== undefined) {
        worst = worse(worst, relativeDifference(own, other));
      }
    }
  }
  return worst;
}

/**
 * The largest difference of two arrays.
 *
 * @param actual Numbers
 * @param expected As many numbers
 * @returns A share of the largest of the expected ones; NaN where one is not a number
 */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [largest, worst] = [0, 0];
  for (let index = 0; index < expected.length; index++) {
    largest = Math.max(largest, Math.abs(expected[index]));
    worst = worse(worst, Math.abs(actual[index] - expected[index]));
  }
  return worst === 0 ? 0 : worst / largest;
}

function worse(a: number, b: number): number {
  return Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.max(a, b);
}

/** How fast two engines ran the same block. */
export interface SpeedTrial {
  /** Tokens per second of the engine that was tried. */
  readonly tokensPerSecond: number;
  /** Tokens per second of the other. */
  readonly referenceTokensPerSecond: number;
}

/** The most numbers in one weight of a trial's block: larger blocks only take longer. */
const WIDEST = 1024;

/**
 * Times a block of random numbers on two engines.
 *
 * @param engine The engine to try
 * @param reference The engine that it is compared with
 * @param options The model whose shapes the block has, scaled down where they are large; tokens of a run
 * @returns How fast they were
 * @throws {EngineError} if one of them fails
 */
export async function timeTrial(
  engine: Engine,
  reference: Engine,
  options: { readonly architecture?: Architecture; readonly tokens?: number } = {},
): Promise<SpeedTrial> {
  const { tokens = 2048 } = options;
  const specification = syntheticBlock(trialSizes(options.architecture), "none");
  const length = Math.min(256, tokens);
  const texts = Math.max(1, Math.floor(tokens / length));
  return {
    tokensPerSecond: await speedOf(engine, specification, texts, length),
    referenceTokensPerSecond: await speedOf(reference, specification, texts, length),
  };
}

/** The first layer's sizes, or those of a model with about a hundred million parameters. */
function trialSizes(architecture?: Architecture): SyntheticSizes {
  if (architecture === undefined) {
    return { hiddenSize: 576, headSize: 64, queryHeads: 9, keyValueHeads: 3, ffnWidth: 1536 };
  }
  const { hiddenSize, headSize, layers: [shape] } = architecture;
  const scale = Math.min(1, WIDEST / hiddenSize);
  const keyValueHeads = Math.max(1, Math.round(scale * shape.keyValueHeads));
  return {
    hiddenSize: Math.round(scale * hiddenSize),
    headSize,
    keyValueHeads,
    queryHeads: keyValueHeads * (shape.queryHeads / shape.keyValueHeads),
    ffnWidth: Math.max(1, Math.round(scale * shape.ffnWidth)),
  };
}

/** Batches between two looks at the clock, where they are quick: a card works on several without being waited for. */
const BATCHES = 4;

/** Milliseconds after which a trial is long enough. */
const ENOUGH = 1000;

/**
 * Tokens per second of the fastest of a few rounds after a first batch, which may compile and convert. Batches pass as
 * in calibration: streams stay where the engine keeps them, and what comes last is read.
 */
async function speedOf(
  engine: Engine,
  specification: BlockSpecification,
  texts: number,
  length: number,
): Promise<number> {
  const numbers = syntheticStream(texts * length, specification.architecture.hiddenSize);
  const block = await engine.openBlock(specification);
  const passage = openPassage(block);
  const timed = async (batches: number) => {
    const start = performance.now();
    let stream: Stream = numbers;
    for (let batch = 0; batch < batches; batch++) {
      const after = await passage.run(stream, texts, length);
      closeStream(stream);
      stream = after;
    }
    await numbersOf(stream);
    closeStream(stream);
    return (performance.now() - start) / batches;
  };
  try {
    await timed(1);
    const start = performance.now();
    let best = await timed(1);
    const batches = best * BATCHES > ENOUGH ? 1 : BATCHES;
    for (let round = 0; round < 3 && performance.now() - start < ENOUGH; round++) {
      best = Math.min(best, await timed(batches));
    }
    return 1000 * texts * length / best;
  } finally {
    await block.close();
  }
}
