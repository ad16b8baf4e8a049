/**
 * How long work tells what it is doing, and how it is cancelled.
 * @module
 */
import { CancelledError } from "./errors.ts";

/** The parts of the pipeline that report progress. */
export type Stage =
  | "download"
  | "sample"
  | "calibrate"
  | "merge"
  | "score"
  | "learn"
  | "plan"
  | "apply"
  | "evaluate"
  | "compare"
  | "export";

/** How far a stage has come: `done` of `total` units of work. */
export interface Progress {
  /** The stage that is at work. */
  readonly stage: Stage;
  /** Units of work done, from 0 to `total`. */
  readonly done: number;
  /** Units of work in all. */
  readonly total: number;
  /** What the units are, in the plural, such as `tokens` or `blocks`. */
  readonly unit: string;
  /** What all of the stage is about, where a stage comes several times, such as `dense` or `pruned onnx q8`. */
  readonly subject?: string;
  /** What is in hand right now, such as `layer 3, wiki`. */
  readonly detail?: string;
  /** The layer in hand, counted from 0, where work goes layer by layer. */
  readonly layer?: number;
  /** The domain in hand, where work goes domain by domain. */
  readonly domain?: string;
}

/** Options of everything that can take longer than a second. */
export interface WorkOptions {
  /** Cancels the work; it then throws {@linkcode CancelledError}. */
  readonly signal?: AbortSignal;
  /** Called after every piece of work. */
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Does a step of work, or gives what an earlier run got from it. The step's name says all that its result depends on
 * besides what the two runs have in common; the result must survive JSON.
 */
export type Remember = <T>(step: string, work: () => Promise<T>) => Promise<T>;

/** Options of work whose steps can be remembered. */
export interface ResumableOptions extends WorkOptions {
  /** Remembers finished steps. Default: every step is done. */
  readonly remember?: Remember;
}

/**
 * Remembers nothing.
 *
 * @param _step The step's name
 * @param work Does the step
 * @returns What the step gives
 */
export async function doEveryStep<T>(_step: string, work: () => Promise<T>): Promise<T> {
  return await work();
}

/**
 * Throws if the work has been cancelled, after letting pending events (keys, signals) in.
 *
 * @param signal The signal to look at
 * @throws {CancelledError} if the signal is aborted
 */
export async function breathe(signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve, 0));
  throwIfCancelled(signal);
}

/**
 * Throws if the work has been cancelled.
 *
 * @param signal The signal to look at
 * @throws {CancelledError} if the signal is aborted
 */
export function throwIfCancelled(signal?: AbortSignal): void {
  if (signal?.aborted) throw new CancelledError("The work was cancelled", { cause: signal.reason });
}
