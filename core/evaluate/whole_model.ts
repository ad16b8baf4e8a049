/**
 * Many batches through the whole model, block by block: every block is opened once, whatever the number of texts.
 * @module
 */
import { ActivationStore } from "../engine/activations.ts";
import { joinWindows } from "../engine/batches.ts";
import { memoryOf } from "../engine/memory.ts";
import { StateLostError } from "../errors.ts";
import { openPassage } from "../engine/streams.ts";
import type { Engine, Head, Stream } from "../engine/types.ts";
import { blockTensors } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import { announceBlock } from "../engine/forward.ts";
import { breathe, type WorkOptions } from "../progress.ts";

/** Options of {@linkcode runWholeModel}. */
export interface WholeModelOptions extends WorkOptions {
  /** Shown with progress, such as `dense`. */
  readonly label?: string;
}

/** How much went through the model, and how fast. */
export interface WholeModelRun {
  /** Tokens that went through all blocks and the head. */
  readonly tokens: number;
  /** Those tokens per second of running blocks and head; 0 where nothing was run. */
  readonly tokensPerSecond: number;
}

/**
 * Runs batches through all blocks of a model and hands what comes out to a function together with the output head.
 *
 * @param engine What runs the model
 * @param model The model
 * @param batches Batches of equally long texts as token numbers, none of them empty
 * @param atHead Called once for each batch with the head, the residual stream after the last block
 * (`[texts, length, hidden]`, wherever it is) and the batch's number
 * @param options Progress and cancelling
 * @returns Tokens and speed
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function runWholeModel(
  engine: Engine,
  model: Model,
  batches: readonly (readonly Int32Array[])[],
  atHead: (head: Head, hidden: Stream, batch: number) => Promise<void>,
  options: WholeModelOptions = {},
): Promise<WholeModelRun> {
  const { architecture } = model;
  const sizes = batches.map((texts) => texts.length * texts[0].length);
  const tokens = sizes.reduce((sum, size) => sum + size, 0);
  if (tokens === 0) return { tokens: 0, tokensPerSecond: 0 };
  const total = tokens * (architecture.layers.length + 1);
  let done = 0;
  let milliseconds = 0;
  const timed = async <T>(work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work();
    milliseconds += performance.now() - start;
    return result;
  };
  const advance = async (batch: number, part: string) => {
    done += sizes[batch];
    const subject = options.label;
    options.onProgress?.({ stage: "evaluate", done, total, unit: "tokens", subject, detail: part });
    await breathe(options.signal);
  };
  const finished = new Set<number>();
  const attempt = async () => {
    const store = ActivationStore.open<Stream>(
      sizes.map((size) => size * architecture.hiddenSize),
      memoryOf(engine),
    );
    try {
      await embed(engine, model, batches, store);
      for (const [layer, shape] of architecture.layers.entries()) {
        const tensors = blockTensors(model, layer);
        const block = await engine.openBlock({ architecture, shape, tensors, capture: "none" });
        announceBlock(engine, model, layer + 1);
        const passage = openPassage(block);
        try {
          for (const [batch, texts] of batches.entries()) {
            const hidden = await store.get(batch);
            const output = await timed(() => passage.run(hidden, texts.length, texts[0].length));
            await store.put(batch, output);
            await advance(batch, `block ${layer + 1}`);
          }
        } finally {
          await block.close();
        }
      }
      const head = await engine.openHead(model);
      try {
        for (const batch of batches.keys()) {
          if (finished.has(batch)) continue;
          const hidden = await store.get(batch);
          await timed(() => atHead(head, hidden, batch));
          finished.add(batch);
          await advance(batch, "head");
        }
      } finally {
        await head.close();
      }
    } finally {
      store.close();
    }
  };
  try {
    await attempt();
  } catch (error) {
    // The engine goes on without its graphics card, which held the streams: they start again.
    if (!(error instanceof StateLostError)) throw error;
    done = 0;
    await attempt();
  }
  return { tokens, tokensPerSecond: milliseconds === 0 ? 0 : 1000 * tokens / milliseconds };
}

async function embed(
  engine: Engine,
  model: Model,
  batches: readonly (readonly Int32Array[])[],
  store: ActivationStore<Stream>,
): Promise<void> {
  const embedding = await engine.openEmbedding(model);
  try {
    for (const [batch, texts] of batches.entries()) {
      await store.put(
        batch,
        await embedding.lookup(joinWindows(texts), { length: texts[0].length }),
      );
    }
  } finally {
    await embedding.close();
  }
}
