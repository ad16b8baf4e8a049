/**
 * What every command has in common: where paths lead, how work is watched, how a result is printed.
 * @module
 */
import type { Command } from "@commander-js/extra-typings";
import { CancelledError } from "../core/errors.ts";
import type { JobOptions, NamedPath, SessionEvent } from "../core/session/types.ts";
import type { Jobs } from "./jobs.ts";
import { modelSource, pathOf, shownPath, textPaths } from "./paths.ts";
import { openProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

/** The program that commands are added to. */
export type Program = Command;

/** What a command works with. */
export interface CommandContext {
  /** What a command can have done. */
  readonly jobs: Jobs;
  /** Where it writes. */
  readonly terminal: Terminal;
  /** Cancels the work. */
  readonly signal: AbortSignal;
  /** Whether colour is allowed. */
  readonly colors: boolean;
  /** The words of the command line. */
  readonly args: readonly string[];
}

/** The work was interrupted: exit code 130. */
export class InterruptedError extends Error {
  /** The name that error texts show. */
  override readonly name = "InterruptedError";
}

/** What a command knows of its work when it prints the result. */
export interface Watch {
  /** Options for the job: cancellation, progress, events. */
  readonly options: Required<Pick<JobOptions, "signal" | "onProgress" | "onEvent">>;
  /** Notes that stand on the screen already, where it is the screen that the result goes to. */
  readonly seenNotes: ReadonlySet<string>;
}

/**
 * Does work with its progress shown, and cleans up after it.
 *
 * @param context The command's context
 * @param how `quiet` shows no progress; `resumable` work says how to go on after an interruption
 * @param work The work
 * @returns What the work gives
 * @throws {InterruptedError} if the work was cancelled
 */
export async function watched<Result>(
  context: CommandContext,
  how: { readonly quiet?: boolean; readonly resumable?: boolean },
  work: (watch: Watch) => Promise<Result>,
): Promise<Result> {
  const { terminal, signal, colors } = context;
  const progress = openProgress(terminal, { quiet: how.quiet === true, colors });
  const sameScreen = terminal.outputIsTerminal && terminal.errorIsTerminal && how.quiet !== true;
  const seenNotes = new Set<string>();
  const onEvent = (event: SessionEvent) => {
    // Plans and evaluations are in the tables at the end.
    if (event.type !== "note") return;
    progress.note(`Note: ${event.message}`);
    if (sameScreen) seenNotes.add(event.message);
  };
  const timer = setInterval(progress.tick, 250);
  const stopping = () => progress.note("Stopping; press ctrl-C again to end at once");
  if (terminal.errorIsTerminal) signal.addEventListener("abort", stopping);
  try {
    return await work({
      options: { signal, onProgress: progress.report, onEvent },
      seenNotes,
    });
  } catch (error) {
    if (!signal.aborted && !(error instanceof CancelledError)) throw error;
    throw new InterruptedError(
      how.resumable === true ? "Interrupted; go on with --resume" : "Interrupted",
      { cause: error },
    );
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", stopping);
    progress.close();
  }
}

/**
 * Prints a value as JSON on standard output.
 *
 * @param context The command's context
 * @param value The value
 */
export function printJson(context: CommandContext, value: unknown): void {
  context.terminal.write(`${JSON.stringify(value, null, 2)}\n`);
}

/**
 * Columns that tables may take.
 *
 * @param context The command's context
 * @returns The terminal's columns, but at least 80
 */
export function tableWidth(context: CommandContext): number {
  return Math.max(80, context.terminal.columns());
}

/** Turns what the user wrote into absolute paths, and back. */
export interface Paths {
  /** A source for the library. */
  readonly model: (model: string | undefined) => string | undefined;
  /** An absolute path. */
  readonly file: (path: string) => string;
  /** Texts with absolute paths. */
  readonly texts: (texts: readonly NamedPath[] | undefined) => readonly NamedPath[] | undefined;
  /** A path as the user would write it. */
  readonly shown: (path: string) => string;
  /** The same, with `~/` for what lies below the user's home. */
  readonly short: (path: string) => string;
}

/**
 * Paths as the user means them.
 *
 * @param context The command's context
 * @returns Functions from what was written to absolute paths, and back
 */
export function pathsOf({ terminal }: CommandContext): Paths {
  const { folder } = terminal;
  const home = terminal.environment("HOME") ?? terminal.environment("USERPROFILE");
  return {
    model: (model) => modelSource(model, folder, home),
    file: (path) => pathOf(path, folder, home),
    texts: (texts) => textPaths(texts, folder, home),
    shown: (path) => shownPath(path, folder),
    short: (path) => {
      const shown = shownPath(path, folder);
      return home !== undefined && shown.startsWith(`${home}/`)
        ? `~${shown.slice(home.length)}`
        : shown;
    },
  };
}

/** Options that change what is shown and not what is made. */
const shownOnly = new Set(["--json", "--quiet", "--no-color", "--debug", "--force", "--resume"]);

/**
 * The command that makes the same result again, for the model card.
 *
 * @param context The command's context
 * @returns One line as for a shell
 */
export function commandText({ args }: CommandContext): string {
  const quoted = args.filter((word) => !shownOnly.has(word)).map((word) =>
    /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
  );
  return ["gprune", ...quoted].join(" ");
}
