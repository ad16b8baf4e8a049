/**
 * Continuing a prompt: what a person reads to judge a model.
 * @module
 */
import { drawToken } from "../calibrate/self.ts";
import type { CachedBlock, Engine, KeyValueCache } from "../engine/types.ts";
import { TextError } from "../errors.ts";
import { blockTensors } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import { breathe, type WorkOptions } from "../progress.ts";
import { Random } from "../random.ts";

/** Options of {@linkcode continuePrompt}. */
export interface ContinuationOptions extends Pick<WorkOptions, "signal"> {
  /** The text to continue. */
  readonly prompt: string;
  /** Tokens to add, at most; fewer where the model ends the text or knows no longer ones. */
  readonly tokens: number;
  /** What logits are divided by: 0 takes the likeliest token. Default 0.8. */
  readonly temperature?: number;
  /** Seed of the drawing. Default 0. */
  readonly seed?: number;
  /** Called with the continuation after every token. */
  readonly onText?: (text: string) => void;
}

/**
 * Continues a prompt token by token.
 *
 * @param engine What runs the model
 * @param model The model, dense or pruned
 * @param options The prompt, how far, how boldly
 * @returns The continuation without the prompt
 * @throws {TextError} if the prompt is empty and the model has no token that starts a text, or is too long
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function continuePrompt(
  engine: Engine,
  model: Model,
  options: ContinuationOptions,
): Promise<string> {
  const { temperature = 0.8, seed = 0 } = options;
  const tokenizer = await model.tokenizer();
  const start = tokenizer.startToken === undefined ? [] : [tokenizer.startToken];
  const prompt = [...start, ...tokenizer.encode(options.prompt.trimEnd())];
  const room = model.architecture.maxPositions - prompt.length;
  if (prompt.length === 0) throw new TextError("Cannot continue an empty prompt: write some words");
  if (room < 1) {
    throw new TextError(
      `Cannot continue a prompt of ${prompt.length} tokens: '${model.name}' was made for at most ${model.architecture.maxPositions}; shorten it`,
    );
  }
  const random = Random.of(`${seed} continuation`);
  const runner = await openRunner(engine, model);
  try {
    const added: number[] = [];
    let fresh: readonly number[] = prompt;
    while (added.length < Math.min(options.tokens, room)) {
      await breathe(options.signal);
      const token = choose(await runner.next(fresh), temperature, random.next());
      if (token === tokenizer.endToken) break;
      added.push(token);
      fresh = [token];
      options.onText?.(tokenizer.decode(added));
    }
    return tokenizer.decode(added);
  } finally {
    await runner.close();
  }
}

function choose(logits: Float32Array, temperature: number, uniform: number): number {
  if (temperature > 0) return drawToken(logits.map((logit) => logit / temperature), uniform);
  let best = 0;
  for (let token = 1; token < logits.length; token++) {
    if (logits[token] > logits[best]) best = token;
  }
  return best;
}

interface Runner {
  /** Logits after the last of the new tokens, `[vocabulary]`. */
  readonly next: (tokens: readonly number[]) => Promise<Float32Array>;
  readonly close: () => Promise<void>;
}

async function openRunner(engine: Engine, model: Model): Promise<Runner> {
  const { architecture } = model;
  const { hiddenSize } = architecture;
  const embedding = await engine.openEmbedding(model);
  const head = await engine.openHead(model);
  const blocks: CachedBlock[] = [];
  const close = async () => {
    for (const block of blocks) await block.close();
    await head.close();
    await embedding.close();
  };
  try {
    for (const [layer, shape] of architecture.layers.entries()) {
      const tensors = blockTensors(model, layer);
      blocks.push(await engine.openCachedBlock({ architecture, shape, tensors, capture: "none" }));
    }
  } catch (error) {
    await close();
    throw error;
  }
  const caches: (KeyValueCache | undefined)[] = blocks.map(() => undefined);
  let first = 0;
  const next = async (tokens: readonly number[]) => {
    let hidden = await embedding.lookup(tokens, { length: tokens.length, first });
    first += tokens.length;
    for (const [layer, block] of blocks.entries()) {
      const output = await block.run(hidden, 1, tokens.length, caches[layer]);
      caches[layer] = output.cache;
      hidden = output.hidden;
    }
    return await head.logits(hidden.subarray(hidden.length - hiddenSize));
  };
  return { next, close };
}
