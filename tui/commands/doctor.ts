/**
 * `gprune doctor`
 * @module
 */
import { type CommandContext, printJson, type Program, tableWidth } from "../context.ts";
import { diagnosisText } from "../tables/diagnosis.ts";
import * as option from "../options.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addDoctor(program: Program, context: CommandContext): void {
  program.command("doctor")
    .summary("engines, versions and memory; what to install")
    .description("Looks at this machine: engines, versions, memory, folders, and what to install.")
    .addOption(option.jsonOption)
    .addOption(option.noColorOption)
    .addOption(option.debugOption)
    .addHelpText("after", "\nExample:\n  gprune doctor --json > machine.json")
    .action(async (options) => {
      const diagnosis = await context.jobs.diagnose();
      if (options.json) printJson(context, diagnosis);
      else context.terminal.write(diagnosisText(diagnosis, tableWidth(context)));
    });
}
