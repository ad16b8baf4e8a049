/**
 * Letting events in during long calculations.
 * @module
 */
import { breathe } from "../progress.ts";

/** Called between pieces of work; now and then it waits for pending events, and it throws once the work is cancelled. */
export type Pace = () => Promise<void> | undefined;

/** How long a calculation may hold the thread, in milliseconds. */
const LONGEST_HOLD = 50;

/**
 * Makes a pace that lets events in twenty times a second, however often it is called.
 *
 * @param signal Cancels the work
 * @returns The pace, which throws a `CancelledError` once the signal is aborted
 *
 * @example
 * ```ts
 * import { makePace } from "./pace.ts";
 * const pace = makePace(AbortSignal.timeout(10_000));
 * for (let piece = 0; piece < 3; piece++) await pace();
 * ```
 */
export function makePace(signal?: AbortSignal): Pace {
  let last = performance.now();
  return () => {
    if (performance.now() - last < LONGEST_HOLD) return undefined;
    return breathe(signal).then(() => {
      last = performance.now();
    });
  };
}
