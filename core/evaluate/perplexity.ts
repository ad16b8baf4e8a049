/**
 * Perplexity: exp(total negative log-likelihood / predicted tokens) over consecutive windows of a text, every token
 * but the first of a window predicted from those before it.
 * @module
 */
import { ActivationStore } from "../engine/activations.ts";
import { inBatches, joinWindows, windowLosses } from "../engine/batches.ts";
import type { Engine } from "../engine/types.ts";
import { blockTensors } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import { breathe, type WorkOptions } from "../progress.ts";

/** A text as windows, with the hash that names its conditions. */
export interface EvaluationText {
  /** The text's name. */
  readonly name: string;
  /** SHA-256 of the text, as hexadecimal digits. */
  readonly sha256: string;
  /** Token windows of one length. */
  readonly windows: readonly Int32Array[];
}

/** What evaluation found on one text. */
export interface TextPerplexity {
  /** The text's name. */
  readonly name: string;
  /** exp(mean negative log-likelihood). */
  readonly perplexity: number;
  /** Tokens predicted. */
  readonly tokens: number;
}

/** Perplexity of all texts, and how fast the forward pass went. */
export interface PerplexityResult {
  /** One entry per text, in their order. */
  readonly texts: readonly TextPerplexity[];
  /** Tokens through all blocks and the head, per second of running them. */
  readonly tokensPerSecond: number;
}

/** Options of {@linkcode measurePerplexity}. */
export interface PerplexityOptions extends WorkOptions {
  /** Shown with progress, such as `dense`. */
  readonly label?: string;
}

/**
 * Measures perplexity, block by block.
 *
 * @param engine What runs the model
 * @param model The model
 * @param texts Texts as windows
 * @param options Progress and cancelling
 * @returns Perplexity per text, and speed
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function measurePerplexity(
  engine: Engine,
  model: Model,
  texts: readonly EvaluationText[],
  options: PerplexityOptions = {},
): Promise<PerplexityResult> {
  const { architecture } = model;
  const batches = texts.flatMap((text, index) =>
    inBatches(text.windows).map((windows) => ({ text: index, windows }))
  );
  const tokens = batches.reduce((sum, { windows }) => sum + windows.length * windows[0].length, 0);
  const total = tokens * (architecture.layers.length + 1);
  let done = 0;
  let milliseconds = 0;
  const timed = async <T>(work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work();
    milliseconds += performance.now() - start;
    return result;
  };
  const advance = async (windows: readonly Int32Array[], detail: string) => {
    done += windows.length * windows[0].length;
    options.onProgress?.({ stage: "evaluate", done, total, unit: "tokens", detail });
    await breathe(options.signal);
  };
  const store = await ActivationStore.open(
    batches.map(({ windows }) => windows.length * windows[0].length * architecture.hiddenSize),
  );
  try {
    const embedding = await engine.openEmbedding(model);
    for (const [index, { windows }] of batches.entries()) {
      await store.put(index, await embedding.lookup(joinWindows(windows)));
    }
    await embedding.close();
    for (const [layer, shape] of architecture.layers.entries()) {
      const tensors = blockTensors(model, layer);
      const block = await engine.openBlock({ architecture, shape, tensors, capture: "none" });
      try {
        for (const [index, { windows }] of batches.entries()) {
          const hidden = await store.get(index);
          const output = await timed(() => block.run(hidden, windows.length, windows[0].length));
          await store.put(index, output.hidden);
          await advance(windows, `${options.label ?? ""} block ${layer + 1}`.trim());
        }
      } finally {
        await block.close();
      }
    }
    const losses = texts.map(() => 0);
    const head = await engine.openHead(model);
    try {
      for (const [index, { text, windows }] of batches.entries()) {
        const hidden = await store.get(index);
        const parts = await timed(() => windowLosses(head, hidden, windows));
        losses[text] += parts.reduce((sum, part) => sum + part, 0);
        await advance(windows, `${options.label ?? ""} head`.trim());
      }
    } finally {
      await head.close();
    }
    return {
      texts: texts.map(({ name, windows }, index) => {
        const predicted = windows.length * (windows[0].length - 1);
        return { name, tokens: predicted, perplexity: Math.exp(losses[index] / predicted) };
      }),
      tokensPerSecond: milliseconds === 0 ? 0 : 1000 * tokens / milliseconds,
    };
  } finally {
    await store.close();
  }
}
