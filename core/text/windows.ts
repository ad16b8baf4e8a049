/**
 * Windows: equally long pieces of a tokenised text.
 * @module
 */
import { createHash } from "node:crypto";
import { TextError } from "../errors.ts";
import { Random } from "../random.ts";

/** The windows of one domain that calibration uses. */
export interface WindowSample {
  /** Windows whose activations are summed. */
  readonly calibration: readonly Int32Array[];
  /** Other windows, to judge refits and to learn damage on. Empty where the text has but one window. */
  readonly heldOut: readonly Int32Array[];
}

/**
 * Cuts tokens into consecutive windows; what is left at the end is dropped.
 *
 * @param tokens Token numbers of a whole text
 * @param seqLen Tokens in a window
 * @returns The windows, in order
 * @example
 * ```ts
 * import { cutWindows } from "./windows.ts";
 * console.log(cutWindows([1, 2, 3, 4, 5], 2).length); // 2
 * ```
 */
export function cutWindows(tokens: ArrayLike<number>, seqLen: number): readonly Int32Array[] {
  const all = Int32Array.from(tokens);
  const windows: Int32Array[] = [];
  for (let at = 0; at + seqLen <= all.length; at += seqLen) {
    windows.push(all.subarray(at, at + seqLen));
  }
  return windows;
}

/**
 * Cuts tokens into windows, and fails where there is not even one.
 *
 * @param name The text's name, for the message
 * @param tokens Token numbers of a whole text
 * @param seqLen Tokens in a window
 * @returns At least one window
 * @throws {TextError} if the text is shorter than a window
 */
export function cutWindowsOf(
  name: string,
  tokens: ArrayLike<number>,
  seqLen: number,
): readonly Int32Array[] {
  const windows = cutWindows(tokens, seqLen);
  if (windows.length === 0) {
    throw new TextError(
      `Cannot use text '${name}': it has ${tokens.length} tokens where one window needs ${seqLen}; give more text or a smaller --seq-len`,
    );
  }
  return windows;
}

/**
 * How many windows to keep back for learning when `samples` are summed.
 *
 * @param samples Windows to sum
 * @returns A quarter of them, at least 1 and at most 16
 */
export function heldOutCount(samples: number): number {
  return Math.min(16, Math.max(1, Math.ceil(samples / 4)));
}

/**
 * Draws windows for calibration and others to keep back, by seed. Both come out in the order of the text, so that
 * the order of drawing plays no part.
 *
 * @param name The domain's name (part of the seed, so that domains do not depend on each other's order)
 * @param windows All windows of its text
 * @param samples Windows to sum, at most
 * @param seed Seed of the draw
 * @returns The windows; where the text is short, a fifth of them is kept back
 */
export function sampleWindows(
  name: string,
  windows: readonly Int32Array[],
  samples: number,
  seed: number,
): WindowSample {
  const available = windows.length;
  const wanted = heldOutCount(samples);
  const heldOut = available >= samples + wanted
    ? wanted
    : Math.min(wanted, Math.floor(available / 5) || (available > 1 ? 1 : 0));
  const count = Math.min(samples, available - heldOut);
  const order = Random.of(`${seed} windows ${name}`).permutation(available);
  const pick = (from: number, to: number) =>
    Array.from(order.slice(from, to)).sort((a, b) => a - b).map((index) => windows[index]);
  return { calibration: pick(0, count), heldOut: pick(count, count + heldOut) };
}

/**
 * The hash of token windows.
 *
 * @param windows Token numbers
 * @returns SHA-256 over the numbers as little-endian int32, as hexadecimal digits
 */
export function hashWindows(windows: readonly Int32Array[]): string {
  const hash = createHash("sha256");
  for (const window of windows) {
    hash.update(new Uint8Array(window.buffer, window.byteOffset, window.byteLength));
  }
  return hash.digest("hex");
}
