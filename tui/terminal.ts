/**
 * The terminal as the commands see it, so that tests can put another one in its place.
 * @module
 */
import { dirname, resolve } from "@std/path";
import { fileURLToPath } from "node:url";

/** Where a command writes, and what it may know about its surroundings. */
export interface Terminal {
  /** Writes to standard output. */
  readonly write: (text: string) => void;
  /** Writes to standard error. */
  readonly writeError: (text: string) => void;
  /** Whether a person reads standard output. */
  readonly outputIsTerminal: boolean;
  /** Whether a person types on standard input. */
  readonly inputIsTerminal: boolean;
  /** Whether a person reads standard error. */
  readonly errorIsTerminal: boolean;
  /** Columns of a line at this moment. */
  readonly columns: () => number;
  /** A variable of the environment. */
  readonly environment: (name: string) => string | undefined;
  /** The folder in which the user typed the command. */
  readonly folder: string;
  /** Milliseconds of a clock that only goes forwards. */
  readonly now: () => number;
}

/**
 * The terminal of this process.
 *
 * @returns The terminal; writing to a reader that has gone (`| head`) does nothing
 */
export function processTerminal(): Terminal {
  const environment = (name: string) => Deno.env.get(name);
  return {
    write: writerTo(Deno.stdout),
    writeError: writerTo(Deno.stderr),
    outputIsTerminal: Deno.stdout.isTerminal(),
    inputIsTerminal: Deno.stdin.isTerminal(),
    errorIsTerminal: Deno.stderr.isTerminal(),
    columns: () => columnsOf(environment("COLUMNS")),
    environment,
    folder: userFolder(environment("INIT_CWD"), Deno.cwd()),
    now: () => performance.now(),
  };
}

/**
 * The folder in which the user typed: `deno task` moves to the project's folder and leaves the user's in `INIT_CWD`.
 * Elsewhere that variable can be left over from another tool and means nothing.
 *
 * @param initial The value of `INIT_CWD`
 * @param current The working folder
 * @param project The folder that tasks run in
 * @returns An absolute path
 */
export function userFolder(
  initial: string | undefined,
  current: string,
  project: string = dirname(dirname(fileURLToPath(import.meta.url))),
): string {
  const moved = initial !== undefined && initial !== "" && resolve(current) === resolve(project);
  return moved ? resolve(initial) : current;
}

function columnsOf(variable: string | undefined): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    // Neither stream is a terminal: what `COLUMNS` says, as other tools do.
    return Number.parseInt(variable ?? "", 10) || 80;
  }
}

function writerTo(
  stream: { readonly writeSync: (bytes: Uint8Array) => number },
): (text: string) => void {
  const encoder = new TextEncoder();
  let open = true;
  return (text) => {
    let rest = encoder.encode(text);
    while (open && rest.length > 0) {
      try {
        rest = rest.subarray(stream.writeSync(rest));
      } catch (error) {
        if (error instanceof Deno.errors.WouldBlock) continue;
        if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
        open = false;
      }
    }
  };
}
