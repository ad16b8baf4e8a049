/**
 * `gprune tui`, and `gprune` alone in a terminal.
 * @module
 */
import { GpruneError } from "../../core/errors.ts";
import type { LiveOptions } from "../../core/session/live/options.ts";
import type { LiveStart } from "../live/start.ts";
import { type CommandContext, InterruptedError, pathsOf, type Program } from "../context.ts";
import * as group from "../option_groups.ts";
import * as option from "../options.ts";
import { outputOf, requestOf } from "../request.ts";

/**
 * Adds the command.
 *
 * @param program The program
 * @param context What the command works with
 */
export function addLive(program: Program, context: CommandContext): void {
  liveCommand(program).action(async (model, options) => {
    const paths = pathsOf(context);
    const stats = options.stats === undefined ? undefined : paths.file(options.stats);
    const live: LiveOptions = {
      ...group.modelFields(model, options, paths),
      ...group.calibrationFields(options, paths),
      ...group.evaluationFields(options, paths),
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
  const command = program.command("tui")
    .summary("the interactive session: cut a model with the arrow keys")
    .description(
      "Opens the interactive session. Without a model it asks which one; everything can be changed there with keys.",
    )
    .argument("[MODEL]", "a folder in the Hugging Face layout or a hub id");
  const planned = group.withPlanning(group.withCut(group.withModel(command)))
    .addOption(option.givenStatsOption);
  const calibrated = group.withCalibration(planned, {
    samples: option.liveSamplesOption,
    seqLen: option.liveSeqLenOption,
  });
  const measured = group.withEvaluation(calibrated, { evalWindows: option.liveEvalWindowsOption })
    .addOption(option.liveChoiceOption)
    .addOption(option.outOption);
  return group.withOutput(measured)
    .addOption(option.noColorOption)
    .addOption(option.debugOption)
    .addHelpText(
      "after",
      "\nExamples:\n  gprune tui                    asks which model\n  gprune tui embedded           the embedded model, without questions\n  gprune tui ./my-model --shape adaptive",
    );
}
