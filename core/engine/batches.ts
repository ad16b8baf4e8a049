/**
 * Batches: windows that go through the engine together.
 * @module
 */
import { EngineError } from "../errors.ts";
import { ordinaryLimits } from "./memory.ts";
import type { Head, ResidentStream, Stream } from "./types.ts";

/** Tokens in a batch: enough to keep the processor busy, few enough to keep activations small. */
export const batchTokens = ordinaryLimits.batchTokens;

/**
 * Splits windows into batches of about so many tokens.
 *
 * @param windows Windows of one length
 * @param tokens Tokens in a batch. Default {@linkcode batchTokens}
 * @returns Batches, none of them empty
 */
export function inBatches(
  windows: readonly Int32Array[],
  tokens: number = batchTokens,
): readonly (readonly Int32Array[])[] {
  if (windows.length === 0) return [];
  const size = Math.max(1, Math.floor(tokens / windows[0].length));
  return Array.from(
    { length: Math.ceil(windows.length / size) },
    (_, index) => windows.slice(index * size, (index + 1) * size),
  );
}

/**
 * The tokens of windows one after the other.
 *
 * @param windows Windows
 * @returns All their tokens
 */
export function joinWindows(windows: readonly Int32Array[]): Int32Array {
  const length = windows.reduce((sum, window) => sum + window.length, 0);
  const tokens = new Int32Array(length);
  let at = 0;
  for (const window of windows) {
    tokens.set(window, at);
    at += window.length;
  }
  return tokens;
}

/**
 * Negative log-likelihood of each window's tokens but the first.
 *
 * @param head The output head
 * @param hidden The residual stream after the last block, `[windows, length, hidden]`
 * @param windows The windows' tokens
 * @returns Nats, one sum per window
 */
export async function windowLosses(
  head: Head,
  hidden: Stream,
  windows: readonly Int32Array[],
): Promise<Float64Array> {
  if (!(hidden instanceof Float32Array)) return await residentLosses(head, hidden, windows);
  const length = windows[0].length;
  const width = hidden.length / windows.length / length;
  const rows = new Float32Array(windows.length * (length - 1) * width);
  const targets = new Int32Array(windows.length * (length - 1));
  windows.forEach((window, index) => {
    const from = index * length * width;
    rows.set(hidden.subarray(from, from + (length - 1) * width), index * (length - 1) * width);
    targets.set(window.subarray(1), index * (length - 1));
  });
  const losses = await head.negativeLogLikelihoods(rows, targets);
  return requireNumbers(Float64Array.from(windows, (_, index) => {
    let sum = 0;
    for (let at = index * (length - 1); at < (index + 1) * (length - 1); at++) sum += losses[at];
    return sum;
  }));
}

/** A loss that is no number would go unseen through every comparison and mean. */
function requireNumbers(losses: Float64Array): Float64Array {
  if (!losses.some(Number.isNaN)) return losses;
  throw new EngineError(
    "Cannot measure the model: its loss on a text is not a number; its weights hold NaN, infinities or numbers too large to be multiplied, so take another copy of it",
  );
}

/** The same for a stream that stays where it is: the last token of each window predicts some token, which is not counted. */
async function residentLosses(
  head: Head,
  hidden: ResidentStream,
  windows: readonly Int32Array[],
): Promise<Float64Array> {
  const length = windows[0].length;
  const targets = new Int32Array(windows.length * length);
  windows.forEach((window, index) => targets.set(window.subarray(1), index * length));
  const losses = await head.negativeLogLikelihoods(hidden, targets);
  return requireNumbers(Float64Array.from(windows, (_, index) => {
    let sum = 0;
    for (let at = index * length; at < (index + 1) * length - 1; at++) sum += losses[at];
    return sum;
  }));
}
