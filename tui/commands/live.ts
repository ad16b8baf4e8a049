/**
 * `gprune tui`, which this version has not got yet.
 * @module
 */
import type { CommandContext, Program } from "../context.ts";
import { GpruneError } from "../../core/errors.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param _context What the command works with
 */
export function addLive(program: Program, _context: CommandContext): void {
  program.command("tui")
    .summary("the interactive session (not yet)")
    .description("Opens the interactive session, which is not in this version yet.")
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)")
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw new GpruneError(
        "The interactive session is not in this version yet; use gprune prune, or gprune compare to choose a method and a sparsity",
      );
    });
}
