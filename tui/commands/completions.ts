/**
 * `gprune completions`
 * @module
 */
import { Argument } from "@commander-js/extra-typings";
import { bashCompletions } from "../completions/bash.ts";
import { fishCompletions } from "../completions/fish.ts";
import { completedCommands } from "../completions/words.ts";
import { zshCompletions } from "../completions/zsh.ts";
import type { CommandContext, Program } from "../context.ts";
import * as option from "../options.ts";
import { choice } from "../values.ts";

/** The shells that have completions. */
export const shells = ["bash", "zsh", "fish"] as const;

const scripts = { bash: bashCompletions, zsh: zshCompletions, fish: fishCompletions };

const examples = `
Examples:
  source <(gprune completions bash)         in ~/.bashrc
  source <(gprune completions zsh)          in ~/.zshrc, after compinit
  gprune completions fish > ~/.config/fish/completions/gprune.fish`;

/**
 * Adds the command.
 *
 * @param program The program, with all other commands
 * @param context What the command works with
 */
export function addCompletions(program: Program, context: CommandContext): void {
  // Not `choices`, whose error would not be this program's sentence.
  const shell = new Argument("<SHELL>", "the shell");
  shell.argChoices = [...shells];
  program.command("completions")
    .summary("a script that completes words in a shell")
    .description(
      "Prints a script that completes commands, options and their values when Tab is pressed.",
    )
    .addArgument(shell.argParser((word) => choice("SHELL", word, shells)))
    .addOption(option.debugOption)
    .addHelpText("after", examples)
    .action((name) => {
      context.terminal.write(scripts[name](completedCommands(program)));
    });
}
