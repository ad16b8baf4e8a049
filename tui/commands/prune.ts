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
import * as option from "../options.ts";
import { modelName } from "../paths.ts";
import { checkScoreDomains, outputOf, requestOf } from "../request.ts";
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
    checkScoreDomains(options.scoreDomains, options.calib, options.self);
    checkCalibrated(options);
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
          model: source,
          revision: options.revision,
          engine: options.engine,
          memory: options.memory,
          calibration: paths.texts(options.calib),
          // Unless told otherwise, the library decides: published methods know no such text.
          self: options.self ? undefined : false,
          samples: options.samples,
          seqLen: options.seqLen,
          seed: options.seed,
          evaluation: paths.texts(options.eval),
          evalWindows: options.evalWindows,
          tasks: paths.texts(options.task),
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
  return program.command("prune")
    .summary("the main job: calibrate, plan, apply, evaluate, write")
    .description("Prunes a model: calibrates, plans, applies, evaluates and writes the result.")
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)")
    .addOption(option.revisionOption)
    .addOption(option.engineOption)
    .addOption(option.sparsityOption)
    .addOption(option.methodOption)
    .addOption(option.metricOption)
    .addOption(option.structuresOption)
    .addOption(option.shapeOption)
    .addOption(option.refitOption)
    .addOption(option.modulesOption)
    .addOption(option.multipleOption)
    .addOption(option.switchOption)
    .addOption(option.scoreDomainsOption)
    .addOption(option.objectiveOption)
    .addOption(option.protectOption)
    .addOption(option.layerBudgetOption)
    .addOption(option.noRefineOption)
    .addOption(option.givenStatsOption)
    .addOption(option.calibOption)
    .addOption(option.noSelfOption)
    .addOption(option.samplesOption)
    .addOption(option.seqLenOption)
    .addOption(option.seedOption)
    .addOption(option.evalOption)
    .addOption(option.evalWindowsOption)
    .addOption(option.taskOption)
    .addOption(option.noChoiceOption)
    .addOption(option.outOption)
    .addOption(option.formatOption)
    .addOption(option.dtypeOption)
    .addOption(option.quantizeOption)
    .addOption(option.zeroPadOption)
    .addOption(option.resumeOption)
    .addOption(option.forceOption)
    .addOption(option.jsonOption)
    .addOption(option.memoryOption)
    .addOption(option.quietOption)
    .addOption(option.noColorOption)
    .addOption(option.debugOption)
    .addHelpText("after", examples);
}
