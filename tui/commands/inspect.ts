/**
 * `gprune inspect`
 * @module
 */
import {
  type CommandContext,
  pathsOf,
  printJson,
  type Program,
  tableWidth,
  watched,
} from "../context.ts";
import * as group from "../option_groups.ts";
import * as option from "../options.ts";
import { summaryText } from "../tables/summary.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addInspect(program: Program, context: CommandContext): void {
  const command = program.command("inspect")
    .summary("what a model is, and what can be pruned of it")
    .description(
      "Shows family, layers, widths, heads, prunable and total parameters, bytes, and what each export can hold.",
    )
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)")
    .addOption(option.revisionOption);
  group.withShown(command)
    .action(async (model, options) => {
      const summary = await watched(context, options, (watch) =>
        context.jobs.inspect({
          ...watch.options,
          model: pathsOf(context).model(model),
          revision: options.revision,
        }));
      if (options.json) printJson(context, summary);
      else context.terminal.write(summaryText(summary, tableWidth(context)));
    });
}
