/**
 * What a decoder file is worth: perplexity and speed of the file itself, run whole in ONNX Runtime.
 * @module
 */
import { inBatches, joinWindows } from "../engine/batches.ts";
import { type Decoder, type DecoderCache, openDecoder } from "../engine/decoder.ts";
import { openLosses } from "../engine/losses.ts";
import type { FileMeasurement, RunnableFile } from "../export/runnable.ts";
import type { Model } from "../model/types.ts";
import { breathe, type WorkOptions } from "../progress.ts";
import type { EvaluationText } from "./perplexity.ts";
import type { FileSpeed } from "./report.ts";

/** Numbers of logits that one run may make; longer windows go in parts, with the cache between them. */
const LOGITS_LIMIT = 16 << 20;

/** Tokens of the prompt that is timed, where the model's limit allows it. */
const PROMPT_TOKENS = 512;

/** Tokens that the timed text grows by. */
const GROWN_TOKENS = 32;

/**
 * Opens a decoder file so that it can be measured.
 *
 * @param path The file
 * @param model The model that it was made from
 * @returns The file; close it after use
 * @throws {EngineError} if ONNX Runtime is missing or refuses the file
 */
export async function openDecoderFile(
  path: string,
  { architecture: { vocabularySize, maxPositions } }: Model,
): Promise<RunnableFile> {
  const decoder = await openDecoder(path, { vocabularySize });
  return {
    perplexity: (texts, options) => decoderPerplexity(decoder, texts, options),
    speed: () => decoderSpeed(decoder, maxPositions),
    close: () => decoder.close(),
  };
}

/**
 * Measures perplexity of a decoder file under the conditions of the engine's own measurement.
 *
 * @param decoder The file, open
 * @param texts Texts as windows
 * @param options Progress and cancelling
 * @returns Perplexity per text
 * @throws {EngineError} if a run fails
 * @throws {CancelledError} if cancelled
 */
export async function decoderPerplexity(
  decoder: Decoder,
  texts: readonly EvaluationText[],
  options: WorkOptions & Partial<Pick<FileMeasurement, "label">> = {},
): Promise<readonly number[]> {
  const losses = await openLosses(decoder.vocabularySize);
  const total = texts.reduce((sum, { windows }) => sum + windows.length * windows[0].length, 0);
  const perplexities: number[] = [];
  let done = 0;
  try {
    for (const { windows } of texts) {
      let sum = 0;
      for (const batch of inBatches(windows)) {
        for (const part of smallBatches(batch, decoder.vocabularySize)) {
          sum += await lossOf(decoder, part, losses.sum);
          done += part.length * part[0].length;
          const subject = options.label;
          options.onProgress?.({ stage: "evaluate", done, total, unit: "tokens", subject });
          await breathe(options.signal);
        }
      }
      perplexities.push(Math.exp(sum / (windows.length * (windows[0].length - 1))));
    }
    return perplexities;
  } finally {
    await losses.close();
  }
}

/** Splits a batch so that its logits stay small; one text at a time at least. */
function smallBatches(
  windows: readonly Int32Array[],
  vocabularySize: number,
): readonly (readonly Int32Array[])[] {
  const together = Math.floor(LOGITS_LIMIT / (windows[0].length * vocabularySize));
  const size = Math.max(1, together);
  return Array.from(
    { length: Math.ceil(windows.length / size) },
    (_, index) => windows.slice(index * size, (index + 1) * size),
  );
}

type LossSum = (logits: Float32Array, targets: Int32Array) => Promise<number>;

async function lossOf(
  decoder: Decoder,
  windows: readonly Int32Array[],
  lossSum: LossSum,
): Promise<number> {
  const length = windows[0].length;
  const { vocabularySize } = decoder;
  // A part of a long window continues a cache, which the attention operator allows for one text alone.
  const step = windows.length > 1
    ? length
    : Math.max(1, Math.min(length, Math.floor(LOGITS_LIMIT / vocabularySize)));
  let cache: DecoderCache | undefined;
  let sum = 0;
  for (let first = 0; first < length; first += step) {
    const parts = windows.map((window) => window.subarray(first, first + step));
    const output = await decoder.run(joinWindows(parts), windows.length, cache);
    cache = output.cache;
    const size = parts[0].length * vocabularySize;
    for (const [index, window] of windows.entries()) {
      const targets = window.slice(first + 1, first + 1 + parts[0].length);
      const own = output.logits.subarray(
        index * size,
        index * size + targets.length * vocabularySize,
      );
      if (targets.length > 0) sum += await lossSum(own, targets);
    }
  }
  return sum;
}

/**
 * Times a decoder file once: a prompt, and the tokens that follow it one by one.
 *
 * @param decoder The file, open
 * @param maxPositions The longest text that the model was made for
 * @returns Tokens per second
 * @throws {EngineError} if a run fails
 */
export async function decoderSpeed(decoder: Decoder, maxPositions: number): Promise<FileSpeed> {
  const grown = Math.min(GROWN_TOKENS, Math.floor(maxPositions / 4));
  const prompt = Math.min(PROMPT_TOKENS, maxPositions - grown);
  const tokens = Int32Array.from({ length: prompt }, (_, at) => (at * 31) % decoder.vocabularySize);
  // The array for the logits is this program's own affair: making it is not timed.
  const logits = new Float32Array(prompt * decoder.vocabularySize);
  const start = performance.now();
  let { cache } = await decoder.run(tokens, 1, undefined, logits);
  const middle = performance.now();
  for (let step = 0; step < grown; step++) {
    cache = (await decoder.run(Int32Array.of(tokens[step]), 1, cache)).cache;
  }
  const end = performance.now();
  return {
    promptTokens: prompt,
    prefillTokensPerSecond: 1000 * prompt / (middle - start),
    decodeTokensPerSecond: 1000 * grown / (end - middle),
  };
}
