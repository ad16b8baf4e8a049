/**
 * How progress reads: from reports of work to a line of text, without a clock or a terminal of its own.
 * @module
 */
import stringWidth from "string-width";
import type { Progress, Stage } from "../core/progress.ts";
import { bar, formatClock, formatCount, truncate } from "./format.ts";

/** What each stage is called while it runs. */
export const stageNames: Readonly<Record<Stage, string>> = {
  download: "Downloading",
  sample: "Sampling from the model",
  calibrate: "Calibrating",
  merge: "Adding parts",
  score: "Scoring units",
  learn: "Learning what each part is worth",
  plan: "Planning",
  apply: "Applying",
  evaluate: "Evaluating",
  compare: "Comparing",
  export: "Writing",
};

/** A stage at work, and how fast it goes. */
export interface ProgressState {
  /** The latest report. */
  readonly progress: Progress;
  /** When the stage started, in milliseconds. */
  readonly startedAt: number;
  /** When the rate was last taken, in milliseconds. */
  readonly measuredAt: number;
  /** Units done at that time. */
  readonly measuredDone: number;
  /** Smoothed units per second; undefined until enough is known. */
  readonly rate?: number;
}

/** Rates over shorter spans say more about the clock than about the work. */
const shortestSpan = 250;
/** The older a rate, the less it counts: half after about this many milliseconds. */
const halfLife = 5000;

/**
 * Whether a report belongs to another run of a stage than the one before it. Stages can take turns, layer by layer, so
 * a report of another stage in between ends nothing.
 *
 * @param state The same stage at its last report, if any
 * @param progress The report
 * @returns Whether a new stage begins
 */
export function startsStage(state: ProgressState | undefined, progress: Progress): boolean {
  return state === undefined || progress.subject !== state.progress.subject ||
    progress.total !== state.progress.total ||
    progress.done < state.progress.done;
}

/**
 * Takes in a report.
 *
 * @param state The same stage at its last report, if any
 * @param progress The report
 * @param now The time, in milliseconds
 * @returns The stage at work after it
 */
export function advance(
  state: ProgressState | undefined,
  progress: Progress,
  now: number,
): ProgressState {
  if (state === undefined || startsStage(state, progress)) {
    return { progress, startedAt: now, measuredAt: now, measuredDone: progress.done };
  }
  const span = now - state.measuredAt;
  if (span < shortestSpan) return { ...state, progress };
  const current = (progress.done - state.measuredDone) / (span / 1000);
  const old = Math.pow(0.5, span / halfLife);
  return {
    progress,
    startedAt: state.startedAt,
    measuredAt: now,
    measuredDone: progress.done,
    rate: state.rate === undefined ? current : old * state.rate + (1 - old) * current,
  };
}

/**
 * Seconds that a stage will still take.
 *
 * @param state The stage at work
 * @param now The time, in milliseconds
 * @returns Seconds, or undefined while too little is known
 */
export function secondsLeft(state: ProgressState, now: number): number | undefined {
  const { done, total } = state.progress;
  if (state.rate === undefined || state.rate <= 0 || done >= total) return undefined;
  const sinceMeasured = Math.max(0, now - state.measuredAt) / 1000;
  return Math.max(0, (total - state.measuredDone) / state.rate - sinceMeasured);
}

/**
 * The live line: stage, bar, percent, rate, time and what is in hand; the last of these give way where it is narrow.
 *
 * @param state The stage at work
 * @param now The time, in milliseconds
 * @param width Columns
 * @returns One line of at most `width` columns
 */
export function progressLine(state: ProgressState, now: number, width: number): string {
  const { detail } = state.progress;
  const share = shareDone(state.progress);
  const left = secondsLeft(state, now);
  const elapsed = formatClock((now - state.startedAt) / 1000);
  const parts = [
    nameOf(state.progress),
    share === undefined ? undefined : `${bar(share, 16)} ${percent(share)}`,
    elapsed + (left === undefined ? "" : `, about ${formatClock(left)} left`),
    rateText(state),
    detail,
  ].filter((part) => part !== undefined && part !== "") as string[];
  let line = "";
  for (const part of parts) {
    const next = line === "" ? part : `${line}  ${part}`;
    if (stringWidth(next) > width) {
      // The detail is the only part that is still of use when cut.
      return part === detail ? truncate(next, width) : truncate(line === "" ? next : line, width);
    }
    line = next;
  }
  return line;
}

/**
 * What is said about a stage where nobody sees a live line.
 *
 * @param state The stage
 * @param now The time, in milliseconds
 * @param which Whether it starts, goes on or has ended
 * @returns One line
 */
export function plainLine(
  state: ProgressState,
  now: number,
  which: "start" | "during" | "end",
): string {
  const { done, total, unit, detail } = state.progress;
  const name = nameOf(state.progress);
  const amount = (value: number) => `${formatCount(value)} ${unit}`;
  const elapsed = formatClock((now - state.startedAt) / 1000);
  if (which === "start") return total > 0 ? `${name}: ${amount(total)}` : name;
  if (which === "end") {
    return done > 0
      ? `${name}: done, ${amount(done)} in ${elapsed}`
      : `${name}: done in ${elapsed}`;
  }
  const share = shareDone(state.progress);
  const left = secondsLeft(state, now);
  return [
    share === undefined ? `${name}: ${amount(done)}` : `${name}: ${percent(share).trim()}`,
    elapsed,
    left === undefined ? undefined : `about ${formatClock(left)} left`,
    rateText(state),
    detail,
  ].filter((part) => part !== undefined && part !== "").join(", ");
}

function nameOf({ stage, subject }: Progress): string {
  return subject === undefined ? stageNames[stage] : `${stageNames[stage]} (${subject})`;
}

function shareDone({ done, total }: Progress): number | undefined {
  return total > 0 ? Math.min(1, Math.max(0, done / total)) : undefined;
}

/** 99.6 % is not 100 %: only what is complete says so. */
function percent(share: number): string {
  return `${String(Math.floor(share * 100 + 1e-9)).padStart(3)} %`;
}

function rateText({ rate, progress }: ProgressState): string | undefined {
  if (rate === undefined || rate <= 0) return undefined;
  if (progress.unit === "bytes") return `${(rate / 1e6).toFixed(1)} MB/s`;
  return `${rate < 10 ? rate.toFixed(1) : formatCount(rate)} ${progress.unit}/s`;
}
