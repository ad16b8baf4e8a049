/**
 * `gprune tui`, and `gprune` alone in a terminal.
 * @module
 */
import { GpruneError } from "../../core/errors.ts";
import type { LiveOptions } from "../../core/session/live/session.ts";
import type { LiveStart } from "../live/start.ts";
import { type CommandContext, InterruptedError, pathsOf, type Program } from "../context.ts";
import * as option from "../options.ts";
import { checkScoreDomains, outputOf, requestOf } from "../request.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addLive(program: Program, context: CommandContext): void {
  liveCommand(program).action(async (model, options) => {
    const paths = pathsOf(context);
    checkScoreDomains(options.scoreDomains, options.calib, options.self);
    const stats = options.stats === undefined ? undefined : paths.file(options.stats);
    const live: LiveOptions = {
      model: paths.model(model),
      revision: options.revision,
      engine: options.engine,
      memory: options.memory,
      calibration: paths.texts(options.calib),
      self: options.self ? undefined : false,
      samples: options.samples,
      seqLen: options.seqLen,
      seed: options.seed,
      evaluation: paths.texts(options.eval),
      evalWindows: options.evalWindows,
      tasks: paths.texts(options.task),
      choiceTasks: options.choice,
      stats,
      request: requestOf(options),
    };
    // Statistics belong to a model: who names them knows which.
    const asks = model === undefined && stats === undefined;
    const { formats, dataType, quantize } = outputOf(options);
    await runLive(context, live, { asks, folder: options.out, formats, dataType, quantize });
  });
}

async function runLive(
  context: CommandContext,
  options: LiveOptions,
  how: LiveStart,
): Promise<void> {
  const { terminal } = context;
  if (!terminal.inputIsTerminal || !terminal.outputIsTerminal) {
    throw new GpruneError(
      "Cannot open the session without a terminal: use gprune prune, or run it in a terminal",
    );
  }
  // Ink and React are loaded here alone, so that other commands start without them. React looks at this once, and
  // checks itself at every drawing unless it is told not to.
  if (Deno.env.get("NODE_ENV") === undefined) Deno.env.set("NODE_ENV", "production");
  const { openLive } = await import("../live/open.ts");
  const ending = await openLive(context, options, how);
  for (const line of ending.lines) terminal.write(`${line}\n`);
  if (ending.error !== undefined) throw ending.error;
  if (ending.interrupted) throw new InterruptedError("Interrupted");
}

// The type of this function is what its options make it; writing it out would repeat all of them.
function liveCommand(program: Program) {
  return program.command("tui")
    .summary("the interactive session: cut a model with the arrow keys")
    .description(
      "Opens the interactive session. Without a model it asks which one; everything can be changed there with keys.",
    )
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id")
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
    .addOption(option.givenStatsOption)
    .addOption(option.calibOption)
    .addOption(option.noSelfOption)
    .addOption(option.liveSamplesOption)
    .addOption(option.liveSeqLenOption)
    .addOption(option.seedOption)
    .addOption(option.evalOption)
    .addOption(option.liveEvalWindowsOption)
    .addOption(option.taskOption)
    .addOption(option.liveChoiceOption)
    .addOption(option.outOption)
    .addOption(option.formatOption)
    .addOption(option.dtypeOption)
    .addOption(option.quantizeOption)
    .addOption(option.memoryOption)
    .addOption(option.noColorOption)
    .addOption(option.debugOption)
    .addHelpText(
      "after",
      "\nExamples:\n  gprune tui                    asks which model\n  gprune tui embedded           the embedded model, without questions\n  gprune tui ./my-model --shape adaptive",
    );
}
