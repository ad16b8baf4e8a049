/**
 * `gprune plan`
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
import { planText } from "../tables/plan.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addPlan(program: Program, context: CommandContext): void {
  const command = program.command("plan")
    .summary("a plan from statistics, without running the model again")
    .description("Makes a plan of what to remove from the statistics of gprune calibrate.")
    .argument("[MODEL]", "the model of the statistics (default: embedded)")
    .addOption(option.requiredStatsOption)
    .addOption(option.revisionOption);
  const planned = group.withPlanning(group.withCut(command))
    .addOption(option.seedOption)
    .addOption(option.saveOption)
    .addOption(option.forceOption);
  group.withShown(planned)
    .addHelpText(
      "after",
      "\nExample:\n  gprune plan ./my-model --stats my-model.stats --sparsity 0.5 \\\n      --save half.plan.json",
    )
    .action(async (model, options) => {
      const paths = pathsOf(context);
      const save = paths.file(options.save);
      const request = requestOf({
        ...options,
        sparsity: options.sparsity ?? option.defaultSparsity,
      });
      const plan = await watched(context, options, (watch) =>
        context.jobs.plan({
          ...watch.options,
          ...request,
          model: paths.model(model),
          revision: options.revision,
          stats: paths.file(options.stats),
          save,
          force: options.force,
          seed: options.seed,
        }));
      if (options.json) printJson(context, plan);
      else context.terminal.write(planText(plan, paths.shown(save), tableWidth(context)));
    });
}
