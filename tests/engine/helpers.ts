/**
 * What the tests of the engine share.
 * @module
 */
import { assert } from "@std/assert";
import { embedWindows, runBlocks } from "../../core/engine/forward.ts";
import { openOnnxEngine } from "../../core/engine/onnx.ts";
import type { BlockOutput, BlockSpecification, Capture, Engine } from "../../core/engine/types.ts";
import { blockTensors, openModel } from "../../core/model/open.ts";
import {
  normalNumbers,
  type RandomModelOptions,
  withRandomModel,
} from "../helpers/random-model.ts";
import type { Model } from "../../core/model/types.ts";

/** The folder of what `bench/reference.py` writes. */
export const FIXTURES: URL = new URL("../fixtures/", import.meta.url);

/** Opens an engine, hands it to a function, and closes it. */
export async function withEngine<T>(use: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await openOnnxEngine();
  try {
    return await use(engine);
  } finally {
    await engine.close();
  }
}

/** float32 numbers from base64. */
export function unpack(text: string): Float32Array {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Fails where numbers differ by more than a tolerance, absolute and relative to the largest number. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  assert(
    actual.length === expected.length,
    `${actual.length} numbers in place of ${expected.length}`,
  );
  let largest = 0, worst = 0, at = 0;
  for (let index = 0; index < actual.length; index++) {
    largest = Math.max(largest, Math.abs(expected[index]));
    const difference = Math.abs(actual[index] - expected[index]);
    if (difference <= worst) continue;
    if (Number.isNaN(difference)) throw new Error(`Number ${index} is NaN`);
    worst = difference;
    at = index;
  }
  const limit = tolerance * Math.max(1, largest);
  const values = `${actual[at]} in place of ${expected[at]}`;
  assert(worst <= limit, `number ${at} is ${values}: off by ${worst}, and ${limit} is allowed`);
}

/** Logits of windows of one length, `[windows, length, vocabulary]`. */
export async function wholeLogits(
  engine: Engine,
  model: Model,
  windows: readonly Int32Array[],
): Promise<Float32Array> {
  const embedding = await engine.openEmbedding(model);
  const head = await engine.openHead(model);
  try {
    const embedded = await embedWindows(embedding, windows);
    const hidden = await runBlocks(engine, model, embedded, windows.length, windows[0].length);
    return await head.logits(hidden);
  } finally {
    await head.close();
    await embedding.close();
  }
}

/** The first block of a model. */
export function firstBlock(model: Model, capture: Capture = "none"): BlockSpecification {
  const { architecture } = model;
  return { architecture, shape: architecture.layers[0], tensors: blockTensors(model, 0), capture };
}

/** Random numbers of a residual stream. */
export function randomStream(model: Model, tokens: number, seed = 1): Float32Array {
  const next = normalNumbers(seed);
  return Float32Array.from({ length: tokens * model.architecture.hiddenSize }, next);
}

/** Writes a random model, opens it and an engine, and hands both to a function. */
export async function withModel(
  options: RandomModelOptions,
  use: (engine: Engine, model: Model) => Promise<void>,
): Promise<void> {
  await withRandomModel(options, async (folder) => {
    const model = await openModel(folder);
    await withEngine(async (engine) => await use(engine, model));
  });
}

/** Opens a block, runs it once, and closes it. */
export async function runOnce(
  engine: Engine,
  specification: BlockSpecification,
  hidden: Float32Array,
  length: number,
): Promise<BlockOutput> {
  const block = await engine.openBlock(specification);
  const batch = hidden.length / length / specification.architecture.hiddenSize;
  const output = await block.run(hidden, batch, length);
  await block.close();
  return output;
}
