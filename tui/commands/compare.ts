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
import * as group from "../option_groups.ts";
import * as option from "../options.ts";
import { requestOf } from "../request.ts";
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
    const calibration = group.calibrationFields(options, paths);
    const { method: _, sparsity: __, refit: ___, ...request } = requestOf({
      ...options,
      sparsity: undefined,
      refit: undefined,
    });
    const { comparison, seenNotes } = await watched(context, options, async (watch) => ({
      seenNotes: watch.seenNotes,
      comparison: await context.jobs.compare({
        ...watch.options,
        ...group.modelFields(model, options, paths),
        ...calibration,
        ...group.evaluationFields(options, paths),
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
  const command = program.command("compare")
    .summary("methods × sparsities × texts in one table")
    .description(
      "Measures methods against each other at several sparsities, from one set of statistics.",
    )
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id (default: embedded)");
  const rows = group.withModel(command)
    .addOption(option.methodListOption)
    .addOption(option.sparsityListOption)
    .addOption(option.refitListOption);
  const measured = group.withEvaluation(group.withCalibration(group.withPlanning(rows)))
    .addOption(option.choiceOption)
    .addOption(csvOption)
    .addOption(markdownOption);
  return group.withShown(measured)
    .addHelpText(
      "after",
      "\nExample:\n  gprune compare ./my-model --methods gprune,wanda-sp \\\n      --sparsity 0.3,0.5 --refit none,lsq",
    );
}
