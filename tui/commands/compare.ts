/**
 * `gprune compare`
 * @module
 */
import { Option } from "@commander-js/extra-typings";
import type { Comparison } from "../../core/evaluate/report.ts";
import {
  type CommandContext,
  pathsOf,
  printJson,
  type Program,
  tableWidth,
  watched,
} from "../context.ts";
import * as option from "../options.ts";
import { checkScoreDomains, requestOf } from "../request.ts";
import { comparisonCsv, comparisonMarkdown, comparisonText } from "../tables/comparison.ts";

const csvOption = new Option("--csv", "the table as comma-separated values")
  .conflicts(["json", "markdown"]).helpGroup("Output:");
const markdownOption = new Option("--markdown", "the table as Markdown")
  .conflicts(["json", "csv"]).helpGroup("Output:");

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addCompare(program: Program, context: CommandContext): void {
  compareCommand(program).action(async (model, options) => {
    const paths = pathsOf(context);
    checkScoreDomains(options.scoreDomains, options.calib, options.self);
    const { method: _, sparsity: __, refit: ___, ...request } = requestOf({
      ...options,
      sparsity: undefined,
      refit: undefined,
    });
    const { comparison, seenNotes } = await watched(context, options, async (watch) => ({
      seenNotes: watch.seenNotes,
      comparison: await context.jobs.compare({
        ...watch.options,
        model: paths.model(model),
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
        choiceTasks: options.choice,
        methods: options.methods,
        sparsities: options.sparsity,
        refits: options.refit,
        request,
      }),
    }));
    print(context, comparison, options, seenNotes);
  });
}

function print(
  context: CommandContext,
  comparison: Comparison,
  as: { readonly json?: boolean; readonly csv?: boolean; readonly markdown?: boolean },
  seenNotes: ReadonlySet<string>,
): void {
  if (as.json) printJson(context, comparison);
  else if (as.csv) context.terminal.write(comparisonCsv(comparison));
  else if (as.markdown) context.terminal.write(comparisonMarkdown(comparison));
  else context.terminal.write(comparisonText(comparison, tableWidth(context), seenNotes));
}

// The type of this function is what its options make it; writing it out would repeat all of them.
function compareCommand(program: Program) {
  return program.command("compare")
    .summary("methods × sparsities × texts in one table")
    .description(
      "Measures methods against each other at several sparsities, from one set of statistics.",
    )
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)")
    .addOption(option.revisionOption)
    .addOption(option.engineOption)
    .addOption(option.methodListOption)
    .addOption(option.sparsityListOption)
    .addOption(option.refitListOption)
    .addOption(option.metricOption)
    .addOption(option.structuresOption)
    .addOption(option.shapeOption)
    .addOption(option.modulesOption)
    .addOption(option.multipleOption)
    .addOption(option.switchOption)
    .addOption(option.scoreDomainsOption)
    .addOption(option.objectiveOption)
    .addOption(option.protectOption)
    .addOption(option.layerBudgetOption)
    .addOption(option.calibOption)
    .addOption(option.noSelfOption)
    .addOption(option.samplesOption)
    .addOption(option.seqLenOption)
    .addOption(option.seedOption)
    .addOption(option.evalOption)
    .addOption(option.evalWindowsOption)
    .addOption(option.taskOption)
    .addOption(option.choiceOption)
    .addOption(option.jsonOption)
    .addOption(csvOption)
    .addOption(markdownOption)
    .addOption(option.memoryOption)
    .addOption(option.quietOption)
    .addOption(option.noColorOption)
    .addOption(option.debugOption)
    .addHelpText(
      "after",
      "\nExample:\n  gprune compare ./my-model --methods gprune,wanda-sp \\\n      --sparsity 0.3,0.5 --refit none,lsq",
    );
}
