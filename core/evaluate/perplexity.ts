/**
 * Perplexity: exp(total negative log-likelihood / predicted tokens) over consecutive windows of a text, every token
 * but the first of a window predicted from those before it.
 * @module
 */
import { inBatches, windowLosses } from "../engine/batches.ts";
import { memoryOf } from "../engine/memory.ts";
import type { Engine } from "../engine/types.ts";
import type { Model } from "../model/types.ts";
import { runWholeModel, type WholeModelOptions } from "./whole_model.ts";

/** A text as windows, with the hash that names its conditions. */
export interface EvaluationText {
  /** The text's name. */
  readonly name: string;
  /** SHA-256 of the text, as hexadecimal digits. */
  readonly sha256: string;
  /** Token windows of one length. */
  readonly windows: readonly Int32Array[];
  /** The tokens of the whole text, which choices are made from. */
  readonly tokens: Int32Array;
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

/**
 * Measures perplexity.
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
  options: WholeModelOptions = {},
): Promise<PerplexityResult> {
  const { batchTokens } = memoryOf(engine).limits;
  const batches = texts.flatMap((text, index) =>
    inBatches(text.windows, batchTokens).map((windows) => ({ text: index, windows }))
  );
  const losses = texts.map(() => 0);
  const { tokensPerSecond } = await runWholeModel(
    engine,
    model,
    batches.map(({ windows }) => windows),
    async (head, hidden, batch) => {
      const { text, windows } = batches[batch];
      const parts = await windowLosses(head, hidden, windows);
      losses[text] += parts.reduce((sum, part) => sum + part, 0);
    },
    options,
  );
  return {
    texts: texts.map(({ name, windows }, index) => {
      const predicted = windows.length * (windows[0].length - 1);
      return { name, tokens: predicted, perplexity: Math.exp(losses[index] / predicted) };
    }),
    tokensPerSecond,
  };
}
