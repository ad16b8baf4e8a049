/**
 * `gprune apply`
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
export function addApply(program: Program, context: CommandContext): void {
  const command = program.command("apply")
    .summary("carries out a plan")
    .description("Carries out a plan of gprune plan and writes the smaller model.")
    .argument("[MODEL]", "the model of the plan (default: embedded)");
  const planned = group.withModel(command)
    .addOption(option.planOption)
    .addOption(option.statsOption)
    .addOption(option.refitOption)
    .addOption(option.requiredOutOption);
  group.withShown(
    group.withOutput(planned).addOption(option.zeroPadOption).addOption(option.forceOption),
  )
    .addHelpText("after", "\nExample:\n  gprune apply ./my-model --plan half.plan.json --out half")
    .action(async (model, options) => {
      const paths = pathsOf(context);
      const output = outputOf(options);
      const { result, seenNotes } = await watched(context, options, async (watch) => ({
        seenNotes: watch.seenNotes,
        result: await context.jobs.apply({
          ...watch.options,
          ...group.modelFields(model, options, paths),
          plan: paths.file(options.plan),
          stats: options.stats === undefined ? undefined : paths.file(options.stats),
          refit: options.refit,
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
