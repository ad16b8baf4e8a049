/**
 * `gprune prune`
 * @module
 */
import { join } from "@std/path";
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
import { modelName } from "../paths.ts";
import { outputOf, requestOf } from "../request.ts";
import { UsageError } from "../values.ts";
import { reportText } from "../tables/report.ts";

const examples = `
Examples:
  gprune prune                                the embedded model
  gprune prune ./my-model --sparsity 0.5      half of what can be pruned
  gprune prune org/name --calib wiki=wiki.txt --calib code=src/ --out small
  gprune prune ./my-model --format hf,onnx --quantize q4      for browsers too
  gprune prune ./my-model --shape adaptive --json > report.json`;

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addPrune(program: Program, context: CommandContext): void {
  pruneCommand(program).action(async (model, options) => {
    const paths = pathsOf(context);
    const source = paths.model(model);
    const sparsity = options.sparsity ?? option.defaultSparsity;
    const out = options.out ?? join("gprune-out", `${modelName(source)}-${sparsity}`);
    checkCalibrated(options);
    const calibration = group.calibrationFields(options, paths);
    const request = requestOf({ ...options, sparsity });
    const output = outputOf(options);
    const { result, seenNotes } = await watched(
      context,
      { ...options, resumable: true },
      async (watch) => ({
        seenNotes: watch.seenNotes,
        result: await context.jobs.prune({
          ...watch.options,
          ...request,
          ...group.modelFields(model, options, paths),
          ...calibration,
          ...group.evaluationFields(options, paths),
          choiceTasks: options.choice ? undefined : false,
          out: paths.file(out),
          force: options.force,
          ...output,
          command: commandText(context),
          resume: options.resume,
          stats: options.stats === undefined ? undefined : paths.file(options.stats),
          refine: options.refine ? undefined : false,
        }),
      }),
    );
    if (options.json) return printJson(context, result.report);
    const folder = paths.shown(result.folder);
    const width = tableWidth(context);
    context.terminal.write(reportText(result.report, { width, folder, seenNotes }));
  });
}

/** Statistics in a file have their texts already. */
function checkCalibrated(
  options: { readonly stats?: string; readonly calib?: unknown; readonly samples?: unknown },
): void {
  if (options.stats === undefined) return;
  const named = options.calib !== undefined
    ? "--calib"
    : options.samples !== undefined
    ? "--samples"
    : undefined;
  if (named !== undefined) {
    throw new UsageError(
      `${named} has no effect on the statistics in '${options.stats}'; leave out ${named} or --stats`,
    );
  }
}

// The type of this function is what its options make it; writing it out would repeat all of them.
function pruneCommand(program: Program) {
  const command = program.command("prune")
    .summary("the main job: calibrate, plan, apply, evaluate, write")
    .description("Prunes a model: calibrates, plans, applies, evaluates and writes the result.")
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)");
  const planned = group.withPlanning(group.withCut(group.withModel(command)))
    .addOption(option.noRefineOption)
    .addOption(option.givenStatsOption);
  const measured = group.withEvaluation(group.withCalibration(planned))
    .addOption(option.noChoiceOption)
    .addOption(option.outOption);
  const written = group.withOutput(measured).addOption(option.zeroPadOption)
    .addOption(option.resumeOption)
    .addOption(option.forceOption);
  return group.withShown(written).addHelpText("after", examples);
}
