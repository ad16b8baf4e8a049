/**
 * `gprune export`
 * @module
 */
import {
  type CommandContext,
  commandText,
  pathsOf,
  printJson,
  type Program,
  tableWidth,
  watched,
} from "../context.ts";
import * as group from "../option_groups.ts";
import * as option from "../options.ts";
import { outputOf } from "../request.ts";
import { reportText } from "../tables/report.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addExport(program: Program, context: CommandContext): void {
  const command = program.command("export")
    .summary("writes a model in another format")
    .description("Writes a (pruned) model in another format.")
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)")
    .addOption(option.revisionOption)
    .addOption(option.requiredOutOption);
  group.withShown(
    group.withOutput(command).addOption(option.zeroPadOption).addOption(option.forceOption),
  )
    .addHelpText(
      "after",
      "\nExamples:\n  gprune export ./my-model --dtype bf16 --out my-model-bf16\n  gprune export ./my-model --format onnx --quantize q8,q4 --out my-model-onnx",
    )
    .action(async (model, options) => {
      const paths = pathsOf(context);
      const output = outputOf(options);
      const { result, seenNotes } = await watched(context, options, async (watch) => ({
        seenNotes: watch.seenNotes,
        result: await context.jobs.export({
          ...watch.options,
          model: paths.model(model),
          revision: options.revision,
          out: paths.file(options.out),
          force: options.force,
          ...output,
          command: commandText(context),
        }),
      }));
      if (options.json) return printJson(context, result.report);
      const folder = paths.shown(result.folder);
      const width = tableWidth(context);
      context.terminal.write(reportText(result.report, { width, folder, seenNotes }));
    });
}
