/**
 * Progress on standard error: one live line on a terminal, a few plain lines elsewhere, nothing when quiet.
 * @module
 */
import type { Progress, Stage } from "../core/progress.ts";
import { colored } from "./colors.ts";
import {
  advance,
  plainLine,
  progressLine,
  type ProgressState,
  stageNames,
  startsStage,
} from "./progress_line.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds between two drawings of the live line. */
const redrawAfter = 80;
/** Milliseconds between two plain lines of one stage. */
const repeatAfter = 10_000;
/** Carriage return, and "erase to the end of the line". */
const clearLine = "\r\x1b[K";

/** Shows how far work has come. */
export interface ProgressDisplay {
  /** Takes in a report. */
  readonly report: (progress: Progress) => void;
  /** Draws the time that has passed while no report came; does nothing but on a live line. */
  readonly tick: () => void;
  /** Writes a sentence that stays. */
  readonly note: (message: string) => void;
  /** Ends the display and leaves the terminal clean. */
  readonly close: () => void;
}

/**
 * Makes the display that fits the terminal.
 *
 * @param terminal Where to write
 * @param options `quiet` shows nothing at all, `colors` allows colour on the live line
 * @returns The display
 */
export function openProgress(
  terminal: Pick<Terminal, "writeError" | "errorIsTerminal" | "columns" | "now">,
  options: { readonly quiet: boolean; readonly colors: boolean },
): ProgressDisplay {
  if (options.quiet) {
    return { report: () => {}, tick: () => {}, note: () => {}, close: () => {} };
  }
  return terminal.errorIsTerminal ? liveDisplay(terminal, options.colors) : plainDisplay(terminal);
}

function liveDisplay(
  terminal: Pick<Terminal, "writeError" | "columns" | "now">,
  colors: boolean,
): ProgressDisplay {
  const states = new Map<Stage, ProgressState>();
  let state: ProgressState | undefined;
  let drawnAt = -Infinity;
  // Reading a model and its texts comes before the first report.
  terminal.writeError(`${clearLine}Preparing`);
  let visible = true;
  const clear = () => {
    if (visible) terminal.writeError(clearLine);
    visible = false;
  };
  const draw = (now: number) => {
    if (state === undefined) return;
    // The last column stays free: some terminals break the line as soon as it is filled.
    const line = progressLine(state, now, terminal.columns() - 1);
    const name = stageNames[state.progress.stage];
    const shown = line.startsWith(name)
      ? colored(name, "cyan", colors) + line.slice(name.length)
      : line;
    terminal.writeError(clearLine + shown);
    visible = true;
    drawnAt = now;
  };
  return {
    report: (progress) => {
      const now = terminal.now();
      const before = states.get(progress.stage);
      const fresh = startsStage(before, progress);
      state = advance(before, progress, now);
      states.set(progress.stage, state);
      if (fresh || now - drawnAt >= redrawAfter) draw(now);
    },
    tick: () => {
      const now = terminal.now();
      if (now - drawnAt >= redrawAfter) draw(now);
    },
    note: (message) => {
      clear();
      terminal.writeError(`${message}\n`);
      draw(terminal.now());
    },
    close: () => {
      clear();
      state = undefined;
    },
  };
}

function plainDisplay(terminal: Pick<Terminal, "writeError" | "now">): ProgressDisplay {
  const states = new Map<Stage, ProgressState>();
  let writtenAt = 0;
  const write = (state: ProgressState, which: "start" | "during" | "end", now: number) => {
    terminal.writeError(`${plainLine(state, now, which)}\n`);
    writtenAt = now;
  };
  return {
    report: (progress) => {
      const now = terminal.now();
      const before = states.get(progress.stage);
      const fresh = startsStage(before, progress);
      const state = advance(before, progress, now);
      states.set(progress.stage, state);
      const done = progress.done >= progress.total;
      const wasDone = !fresh && before !== undefined &&
        before.progress.done >= before.progress.total;
      if (fresh) write(state, "start", now);
      if (done && !wasDone) write(state, "end", now);
      else if (!done && now - writtenAt >= repeatAfter) write(state, "during", now);
    },
    tick: () => {},
    note: (message) => terminal.writeError(`${message}\n`),
    close: () => {},
  };
}
