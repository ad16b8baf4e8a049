/**
 * The command line: from words to commands, and from what happens to an exit code.
 * @module
 */
import { Command, CommanderError } from "@commander-js/extra-typings";
import { GpruneError, OptionError } from "../core/errors.ts";
import { colored } from "./colors.ts";
import { addApply } from "./commands/apply.ts";
import { addCalibrate } from "./commands/calibrate.ts";
import { addCompare } from "./commands/compare.ts";
import { addCompletions } from "./commands/completions.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEvaluate } from "./commands/evaluate.ts";
import { addExport } from "./commands/export.ts";
import { addInspect } from "./commands/inspect.ts";
import { addLive } from "./commands/live.ts";
import { addMerge } from "./commands/merge.ts";
import { addPlan } from "./commands/plan.ts";
import { addPrune } from "./commands/prune.ts";
import { type CommandContext, InterruptedError, type Program } from "./context.ts";
import type { Jobs } from "./jobs.ts";
import { debugOption, helpOption, noColorOption } from "./options.ts";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./values.ts";
import { version } from "./version.ts";

/** What a command line runs with. */
export interface Surroundings {
  /** What commands can have done. */
  readonly jobs: Jobs;
  /** Where they write. */
  readonly terminal: Terminal;
  /** Cancels the work. */
  readonly signal: AbortSignal;
}

const examples = `
Examples:
  gprune prune                            the embedded model, without any download
  gprune prune ./my-model --sparsity 0.5  a folder in the Hugging Face layout
  gprune compare ./my-model               which method is worth it
  gprune help prune                       every option of a command`;

/**
 * Runs a command line.
 *
 * @param args The words after the program's name
 * @param surroundings Jobs, terminal and cancellation
 * @returns The exit code: 0 done, 1 the work failed, 2 the command line is wrong, 130 interrupted
 */
export async function runCommandLine(
  args: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const { terminal } = surroundings;
  const colors = colorsAllowed(args, terminal);
  const program = createProgram({ ...surroundings, colors, args });
  try {
    // Without arguments commander calls its help an error; who sits at a terminal wants the session.
    const atTerminal = terminal.inputIsTerminal && terminal.outputIsTerminal;
    const words = args.length === 0 ? [atTerminal ? "tui" : "--help"] : [...args];
    await program.parseAsync(words, { from: "user" });
    return 0;
  } catch (error) {
    const { code, message } = outcomeOf(error, args);
    if (message !== undefined) {
      const prefix = colored("error:", "red", colors && terminal.errorIsTerminal);
      terminal.writeError(code === 130 ? `${message}\n` : `${prefix} ${message}\n`);
    }
    if (code !== 0 && args.includes("--debug")) terminal.writeError(`${stackOf(error)}\n`);
    return code;
  }
}

/**
 * Makes the program with all its commands.
 *
 * @param context What the commands work with
 * @returns The program; parsing throws instead of ending the process
 */
export function createProgram(context: CommandContext): Program {
  const { terminal, colors } = context;
  const program = new Command("gprune")
    .description(
      "Prunes language models structurally: removes FFN neurons and key/value head groups whole.",
    )
    .optionsGroup("General:")
    .version(version, "-V, --version", "show the version")
    .addHelpOption(helpOption)
    .helpCommand("help [command]", "show the help of a command")
    .configureHelp({
      styleTitle: (title) => colored(title, "bold", colors && terminal.outputIsTerminal),
    })
    .configureOutput({
      writeOut: terminal.write,
      writeErr: terminal.writeError,
      // The message is in the error that parsing throws.
      outputError: () => {},
      getOutHelpWidth: () => Math.max(80, Math.min(120, terminal.columns())),
      getErrHelpWidth: () => Math.max(80, Math.min(120, terminal.columns())),
      getOutHasColors: () => colors && terminal.outputIsTerminal,
      getErrHasColors: () => colors && terminal.errorIsTerminal,
    })
    .exitOverride();
  // Accepted before the command too, where they mean the same.
  program.addOption(debugOption).addOption(noColorOption);
  program.addHelpText("after", examples);
  addPrune(program as Program, context);
  addInspect(program as Program, context);
  addCalibrate(program as Program, context);
  addMerge(program as Program, context);
  addPlan(program as Program, context);
  addApply(program as Program, context);
  addEvaluate(program as Program, context);
  addCompare(program as Program, context);
  addExport(program as Program, context);
  addLive(program as Program, context);
  addDoctor(program as Program, context);
  // The last, since it completes the others.
  addCompletions(program as Program, context);
  return program as Program;
}

function colorsAllowed(args: readonly string[], terminal: Terminal): boolean {
  const set = (name: string) => (terminal.environment(name) ?? "") !== "";
  return !args.includes("--no-color") && !set("NO_COLOR") &&
    terminal.environment("TERM") !== "dumb";
}

/** What an error means: an exit code, and one sentence unless it was said already. */
function outcomeOf(
  error: unknown,
  args: readonly string[],
): { readonly code: number; readonly message?: string } {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return { code: 0 };
    return { code: 2, message: sentenceOf(error, args) };
  }
  if (error instanceof InterruptedError) return { code: 130, message: error.message };
  if (error instanceof UsageError || error instanceof OptionError) {
    return { code: 2, message: oneLine(error.message) };
  }
  if (error instanceof GpruneError) return { code: 1, message: oneLine(error.message) };
  const text = oneLine(error instanceof Error ? error.message || error.name : String(error));
  return {
    code: 1,
    message: `Unexpected error: ${text.replace(/\.$/, "")}; run again with --debug and report it`,
  };
}

/** Commander's messages in this program's form: one sentence that says what to do. */
function sentenceOf(error: CommanderError, args: readonly string[]): string {
  const command = args.find((word) => !word.startsWith("-"));
  const suggestion = /\n\(Did you mean (.*?)\?\)/s.exec(error.message)?.[1];
  const text = oneLine(
    error.message.replace(/^error: /, "").replace(/\n\(Did you mean.*$/s, "")
      .replace(/\. Expected/, "; expected").replace(/\.$/, ""),
  );
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  if (suggestion !== undefined) {
    const meant = suggestion.replace(/^one of /, "").split(", ").map((word) => `'${word}'`);
    return `${sentence}; did you mean ${meant.join(" or ")}?`;
  }
  const known = error.code !== "commander.unknownCommand" && command !== undefined;
  return `${sentence}; see 'gprune ${known ? `${command} ` : ""}--help'`;
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").trim();
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\nCaused by: ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
