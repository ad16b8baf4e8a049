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
  program.command("evaluate")
    .summary("perplexity, multiple choice, speed and bytes")
    .description("Measures a model: perplexity and multiple choice per text, speed and bytes.")
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)")
    .addOption(option.revisionOption)
    .addOption(option.engineOption)
    .addOption(option.evalOption)
    .addOption(option.seqLenOption)
    .addOption(option.evalWindowsOption)
    .addOption(option.seedOption)
    .addOption(option.taskOption)
    .addOption(option.noChoiceOption)
    .addOption(option.formatOption)
    .addOption(option.quantizeOption)
    .addOption(option.jsonOption)
    .addOption(option.memoryOption)
    .addOption(option.quietOption)
    .addOption(option.noColorOption)
    .addOption(option.debugOption)
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
          model: paths.model(model),
          revision: options.revision,
          engine: options.engine,
          memory: options.memory,
          evaluation: paths.texts(options.eval),
          evalWindows: options.evalWindows,
          tasks: paths.texts(options.task),
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
