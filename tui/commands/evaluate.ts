/**
 * `gprune evaluate`
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
import { outputOf } from "../request.ts";
import { reportText } from "../tables/report.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addEvaluate(program: Program, context: CommandContext): void {
  const command = program.command("evaluate")
    .summary("perplexity, multiple choice, speed and bytes")
    .description("Measures a model: perplexity and multiple choice per text, speed and bytes.")
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)");
  const measured = group.withEvaluation(group.withModel(command))
    .addOption(option.seqLenOption)
    .addOption(option.seedOption)
    .addOption(option.noChoiceOption)
    .addOption(option.formatOption)
    .addOption(option.quantizeOption);
  group.withShown(measured)
    .addHelpText(
      "after",
      "\nExample:\n  gprune evaluate ./my-model --eval wiki=wiki.txt --seq-len 512",
    )
    .action(async (model, options) => {
      const paths = pathsOf(context);
      const { formats, quantize } = outputOf(options);
      const { report, seenNotes } = await watched(context, options, async (watch) => ({
        seenNotes: watch.seenNotes,
        report: await context.jobs.evaluate({
          ...watch.options,
          ...group.modelFields(model, options, paths),
          ...group.evaluationFields(options, paths),
          choiceTasks: options.choice ? undefined : false,
          seqLen: options.seqLen,
          seed: options.seed,
          formats,
          quantize,
        }),
      }));
      if (options.json) return printJson(context, report);
      context.terminal.write(reportText(report, { width: tableWidth(context), seenNotes }));
    });
}
