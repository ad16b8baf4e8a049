/**
 * The building bricks of a forward pass, for small inputs that stay in memory.
 * @module
 */
import { blockTensors } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import { joinWindows } from "./batches.ts";
import type { BlockOutput, Capture, Embedding, Engine } from "./types.ts";

/** Options of {@linkcode runBlocks}. */
export interface RunBlocksOptions {
  /** The first block to run; 0 if absent. */
  readonly from?: number;
  /** The block to stop before; all blocks if absent. */
  readonly to?: number;
  /** What blocks report besides their output; nothing if absent. */
  readonly capture?: Capture;
  /** Called with what each block gave. */
  readonly onBlock?: (layer: number, output: BlockOutput) => void | Promise<void>;
}

/**
 * Says which block of a model will be opened next, so that its weights are on their way while the one before it runs.
 *
 * @param engine What runs the blocks
 * @param model The model
 * @param layer The block's number; nothing happens behind the last one
 */
export function announceBlock(engine: Engine, model: Model, layer: number): void {
  const { architecture } = model;
  const shape = architecture.layers[layer];
  if (shape === undefined || engine.announceBlock === undefined) return;
  engine.announceBlock({ architecture, shape, tensors: blockTensors(model, layer) });
}

/**
 * Runs a batch through blocks of a model, one after the other.
 *
 * @param engine What runs the blocks
 * @param model The model
 * @param hidden The residual stream before the first of them, `[batch, length, hidden]`
 * @param batch Texts
 * @param length Tokens per text
 * @param options Which blocks, and what to do with what they give
 * @returns The residual stream after the last of them, `[batch, length, hidden]`
 * @throws {EngineError} if a block fails
 */
export async function runBlocks(
  engine: Engine,
  model: Model,
  hidden: Float32Array,
  batch: number,
  length: number,
  options: RunBlocksOptions = {},
): Promise<Float32Array> {
  const { architecture } = model;
  const { from = 0, to = architecture.layers.length, capture = "none", onBlock } = options;
  let stream = hidden;
  for (let layer = from; layer < to; layer++) {
    const tensors = blockTensors(model, layer);
    const shape = architecture.layers[layer];
    const block = await engine.openBlock({ architecture, shape, tensors, capture });
    if (layer + 1 < to) announceBlock(engine, model, layer + 1);
    try {
      const output = await block.run(stream, batch, length);
      stream = output.hidden;
      await onBlock?.(layer, output);
    } finally {
      await block.close();
    }
  }
  return stream;
}

/**
 * The residual stream of windows before the first block.
 *
 * @param embedding The model's embedding
 * @param windows Windows of one length
 * @returns `[windows, length, hidden]`
 * @throws {EngineError} if a token is not in the vocabulary
 */
export async function embedWindows(
  embedding: Embedding,
  windows: readonly Int32Array[],
): Promise<Float32Array> {
  return await embedding.lookup(joinWindows(windows), { length: windows[0]?.length ?? 0 });
}
