/**
 * `gprune calibrate`
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
import { requestOf } from "../request.ts";
import { partSummary, partText, statisticsSummary, statisticsText } from "../tables/plan.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addCalibrate(program: Program, context: CommandContext): void {
  calibrateCommand(program).action(async (model, options) => {
    const paths = pathsOf(context);
    const save = paths.file(options.save);
    const calibration = group.calibrationFields(options, paths);
    const request = requestOf(options);
    const work = {
      ...request,
      ...group.modelFields(model, options, paths),
      ...calibration,
      save,
      force: options.force,
      resume: options.resume,
    };
    const shown = paths.shown(save);
    const how = { ...options, resumable: true };
    const { shard } = options;
    if (shard !== undefined) {
      const part = await watched(
        context,
        how,
        (watch) => context.jobs.calibratePart({ ...watch.options, ...work, shard }),
      );
      if (options.json) printJson(context, partSummary(part, shown));
      else context.terminal.write(partText(part, shown, tableWidth(context)));
      return;
    }
    const statistics = await watched(
      context,
      how,
      (watch) => context.jobs.calibrate({ ...watch.options, ...work }),
    );
    if (options.json) printJson(context, statisticsSummary(statistics, shown));
    else context.terminal.write(statisticsText(statistics, shown, tableWidth(context)));
  });
}

// The type of this function is what its options make it; writing it out would repeat all of them.
function calibrateCommand(program: Program) {
  const command = program.command("calibrate")
    .summary("statistics only; resumable")
    .description(
      "Takes statistics of a model on calibration texts, from which plans are made without running it again.",
    )
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)");
  const calibrated = group.withCalibration(group.withModel(command))
    .addOption(option.methodOption)
    .addOption(option.metricOption)
    .addOption(option.structuresOption)
    .addOption(option.shapeOption)
    .addOption(option.refitOption)
    .addOption(option.modulesOption)
    .addOption(option.scoreDomainsOption)
    .addOption(option.shardOption)
    .addOption(option.saveOption)
    .addOption(option.resumeOption)
    .addOption(option.forceOption);
  return group.withShown(calibrated)
    .addHelpText(
      "after",
      "\nExample:\n  gprune calibrate ./my-model --calib wiki=wiki.txt --calib code=src/ \\\n      --save my-model.stats",
    );
}
