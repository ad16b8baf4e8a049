/**
 * `gprune merge`
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
import { statisticsSummary, statisticsText } from "../tables/plan.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addMerge(program: Program, context: CommandContext): void {
  program.command("merge")
    .summary("one file of statistics from the parts of several machines")
    .description(
      "Adds the parts that gprune calibrate --shard wrote. The result is that of one run, byte for byte; the parts can be given in any order.",
    )
    .argument("<PART...>", "the files of all parts")
    .addOption(option.partsModelOption)
    .addOption(option.revisionOption)
    .addOption(option.engineOption)
    .addOption(option.memoryOption)
    .addOption(option.mergedOption)
    .addOption(option.resumeOption)
    .addOption(option.forceOption)
    .addOption(option.jsonOption)
    .addOption(option.quietOption)
    .addOption(option.noColorOption)
    .addOption(option.debugOption)
    .addHelpText(
      "after",
      "\nExample:\n  gprune calibrate ./my-model --shard 1/2 --save 1.part     on one machine\n  gprune calibrate ./my-model --shard 2/2 --save 2.part     on another\n  gprune merge 1.part 2.part --out my-model.stats",
    )
    .action(async (parts, options) => {
      const paths = pathsOf(context);
      const save = paths.file(options.out);
      const statistics = await watched(
        context,
        { ...options, resumable: true },
        (watch) =>
          context.jobs.merge({
            ...watch.options,
            parts: parts.map(paths.file),
            model: paths.model(options.model),
            revision: options.revision,
            engine: options.engine,
            memory: options.memory,
            save,
            force: options.force,
            resume: options.resume,
          }),
      );
      const shown = paths.shown(save);
      if (options.json) printJson(context, statisticsSummary(statistics, shown));
      else context.terminal.write(statisticsText(statistics, shown, tableWidth(context)));
    });
}
