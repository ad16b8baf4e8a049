/**
 * Groups of options that several commands take, each with the fields of a job that its words become. A new option of a
 * group is named here, and every command that takes the group has it.
 * @module
 */
import type { Command, Option, OptionValues } from "@commander-js/extra-typings";
import type {
  CalibrationOptions,
  EvaluationOptions,
  JobOptions,
  NamedPath,
} from "../core/session/types.ts";
import type { Paths } from "./context.ts";
import * as option from "./options.ts";
import { checkScoreDomains, type OutputWords, type PruningWords } from "./request.ts";

/** Which model, and what runs it. */
export interface ModelWords {
  /** `--revision` */
  readonly revision?: string;
  /** `--engine` */
  readonly engine?: JobOptions["engine"];
}

/** What to calibrate on. */
export interface CalibrationWords {
  /** `--calib` */
  readonly calib?: readonly NamedPath[];
  /** False after `--no-self`. */
  readonly self: boolean;
  /** `--samples` */
  readonly samples?: number;
  /** `--seq-len` */
  readonly seqLen?: number;
  /** `--seed` */
  readonly seed?: number;
}

/** What to evaluate on. */
export interface EvaluationWords {
  /** `--eval` */
  readonly eval?: readonly NamedPath[];
  /** `--eval-windows` */
  readonly evalWindows?: number;
  /** `--task` */
  readonly task?: readonly NamedPath[];
}

/** How the result is shown. */
export interface ShownWords {
  /** `--json` */
  readonly json?: true;
  /** `--quiet` */
  readonly quiet?: true;
}

/** Options under which one group stands elsewhere, with other defaults in its text. */
type Stead<Key extends string> = { readonly [K in Key]?: Option };

/**
 * A command with more words than before; commander's own inference does not go through a function. The words are listed
 * anew because an interface has no index signature, which commander asks for.
 */
type With<Args extends unknown[], Words extends OptionValues, Globals extends OptionValues, More> =
  Command<Args, Words & { readonly [Word in keyof More]: More[Word] }, Globals>;

/**
 * Adds `--revision` and `--engine`.
 *
 * @param command The command
 * @returns The same command
 */
export function withModel<A extends unknown[], W extends OptionValues, G extends OptionValues>(
  command: Command<A, W, G>,
): With<A, W, G, ModelWords> {
  return added(command, [option.revisionOption, option.engineOption]);
}

/**
 * Adds the options of calibration.
 *
 * @param command The command
 * @param stead Options with other defaults
 * @returns The same command
 */
export function withCalibration<
  A extends unknown[],
  W extends OptionValues,
  G extends OptionValues,
>(
  command: Command<A, W, G>,
  stead: Stead<"samples" | "seqLen"> = {},
): With<A, W, G, CalibrationWords> {
  return added(command, [
    option.calibOption,
    option.noSelfOption,
    stead.samples ?? option.samplesOption,
    stead.seqLen ?? option.seqLenOption,
    option.seedOption,
  ]);
}

/**
 * Adds `--sparsity`, `--method` and `--refit`: how one cut is made.
 *
 * @param command The command
 * @returns The same command
 */
export function withCut<A extends unknown[], W extends OptionValues, G extends OptionValues>(
  command: Command<A, W, G>,
): With<A, W, G, Pick<PruningWords, "sparsity" | "method" | "refit">> {
  return added(command, [option.sparsityOption, option.methodOption, option.refitOption]);
}

/**
 * Adds the options of a plan that do not depend on how many cuts are made.
 *
 * @param command The command
 * @returns The same command
 */
export function withPlanning<A extends unknown[], W extends OptionValues, G extends OptionValues>(
  command: Command<A, W, G>,
): With<A, W, G, Omit<PruningWords, "sparsity" | "method" | "refit">> {
  return added(command, [
    option.metricOption,
    option.structuresOption,
    option.shapeOption,
    option.modulesOption,
    option.multipleOption,
    option.switchOption,
    option.scoreDomainsOption,
    option.objectiveOption,
    option.protectOption,
    option.layerBudgetOption,
  ]);
}

/**
 * Adds the options of evaluation, but for those about multiple choice, whose default is each command's own.
 *
 * @param command The command
 * @param stead Options with other defaults
 * @returns The same command
 */
export function withEvaluation<
  A extends unknown[],
  W extends OptionValues,
  G extends OptionValues,
>(
  command: Command<A, W, G>,
  stead: Stead<"evalWindows"> = {},
): With<A, W, G, EvaluationWords> {
  return added(command, [
    option.evalOption,
    stead.evalWindows ?? option.evalWindowsOption,
    option.taskOption,
  ]);
}

/**
 * Adds the options of what is written, in formats that any output can have.
 *
 * @param command The command
 * @returns The same command
 */
export function withOutput<A extends unknown[], W extends OptionValues, G extends OptionValues>(
  command: Command<A, W, G>,
): With<A, W, G, Omit<OutputWords, "zeroPad">> {
  return added(command, [
    option.formatOption,
    option.dtypeOption,
    option.quantizeOption,
  ]);
}

/**
 * Adds the options of how a result is shown.
 *
 * @param command The command
 * @returns The same command
 */
export function withShown<A extends unknown[], W extends OptionValues, G extends OptionValues>(
  command: Command<A, W, G>,
): With<A, W, G, ShownWords> {
  return added(command, [
    option.jsonOption,
    option.quietOption,
    option.noColorOption,
    option.debugOption,
  ]);
}

function added<A extends unknown[], W extends OptionValues, G extends OptionValues, More>(
  command: Command<A, W, G>,
  options: readonly Option[],
): With<A, W, G, More> {
  for (const each of options) command.addOption(each);
  return command as unknown as With<A, W, G, More>;
}

/**
 * From words to which model, and what runs it.
 *
 * @param model The argument MODEL
 * @param words The options
 * @param paths Where paths lead
 * @returns The fields of a job
 */
export function modelFields(
  model: string | undefined,
  words: ModelWords,
  paths: Paths,
): Pick<JobOptions, "model" | "revision" | "engine"> {
  return { model: paths.model(model), revision: words.revision, engine: words.engine };
}

/**
 * From words to what to calibrate on.
 *
 * @param words The options
 * @param paths Where paths lead
 * @returns The fields of a job; what the user left out is left out
 * @throws {UsageError} if `--score-domains` names what is no calibration domain
 */
export function calibrationFields(
  words: CalibrationWords & Pick<PruningWords, "scoreDomains">,
  paths: Paths,
): CalibrationOptions {
  checkScoreDomains(words.scoreDomains, words.calib, words.self);
  return {
    calibration: paths.texts(words.calib),
    // Unless told otherwise, the library decides: published methods know no such text.
    self: words.self ? undefined : false,
    samples: words.samples,
    seqLen: words.seqLen,
    seed: words.seed,
  };
}

/**
 * From words to what to evaluate on.
 *
 * @param words The options
 * @param paths Where paths lead
 * @returns The fields of a job
 */
export function evaluationFields(
  words: EvaluationWords,
  paths: Paths,
): Pick<EvaluationOptions, "evaluation" | "evalWindows" | "tasks"> {
  return {
    evaluation: paths.texts(words.eval),
    evalWindows: words.evalWindows,
    tasks: paths.texts(words.task),
  };
}
