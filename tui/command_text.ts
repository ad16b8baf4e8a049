/**
 * Commands that do again what was chosen in a session.
 * @module
 */
import type { LiveOptions } from "../core/session/live/options.ts";
import type { LayerShape } from "../core/model/types.ts";
import { resolveRequest } from "../core/plan/request.ts";
import type { PlanRequest } from "../core/plan/types.ts";
import type { NamedPath } from "../core/session/types.ts";

/** What a command is made of. */
export interface CommandSource {
  /** What the session was opened with, defaults filled in. */
  readonly settings: LiveOptions & { readonly samples: number; readonly evalWindows: number };
  /** What is chosen. */
  readonly request: PlanRequest;
  /** Sizes of the model's layers, which some defaults depend on. */
  readonly layers: readonly LayerShape[];
  /** The file of statistics, as the user would write it. */
  readonly statistics: string;
  /** Writes a path as the user would. */
  readonly shown: (path: string) => string;
}

/**
 * Quotes a word for a shell where it needs it.
 *
 * @param word The word
 * @returns The same for a command line
 */
export function quoted(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * The words after `gprune` that write what was chosen, from the statistics of the session.
 *
 * @param source What the command is made of
 * @param output Words about the output, such as `--out DIR`
 * @returns Words, not quoted
 */
export function pruneWords(source: CommandSource, output: readonly string[]): readonly string[] {
  const { settings, statistics } = source;
  const { evaluation, evalWindows } = settings;
  return [
    "prune",
    ...modelWords(source),
    "--stats",
    statistics,
    "--no-refine",
    ...requestWords(source),
    ...textWords("--eval", evaluation, source),
    ...["--eval-windows", String(evalWindows)],
    ...textWords("--task", settings.tasks, source),
    // A session writes without them unless it was told otherwise: they take longer than all the rest.
    ...(settings.choiceTasks === true ? [] : ["--no-choice"]),
    ...output,
  ];
}

/**
 * The words after `gprune` that write the plan alone.
 *
 * @param source What the command is made of
 * @param save The file
 * @returns Words, not quoted
 */
export function planWords(source: CommandSource, save: string): readonly string[] {
  const { engine: _, ...settings } = source.settings;
  return [
    "plan",
    ...modelWords({ ...source, settings }),
    "--stats",
    source.statistics,
    ...requestWords(source),
    "--save",
    save,
  ];
}

/**
 * The words after `gprune` that take the same statistics again, on any machine.
 *
 * @param source What the command is made of
 * @param save The file
 * @returns Words, not quoted
 */
export function calibrateWords(source: CommandSource, save: string): readonly string[] {
  const { samples, seqLen, seed, self, calibration, request } = source.settings;
  return [
    "calibrate",
    ...modelWords(source),
    ...textWords("--calib", calibration, source),
    ...(self === false ? ["--no-self"] : []),
    ...["--samples", String(samples)],
    ...(seqLen === undefined ? [] : ["--seq-len", String(seqLen)]),
    ...(seed === undefined ? [] : ["--seed", String(seed)]),
    ...(request?.scoreDomains === undefined
      ? []
      : ["--score-domains", request.scoreDomains.join(",")]),
    "--save",
    save,
  ];
}

/**
 * One line for a shell.
 *
 * @param words The words after `gprune`
 * @returns The command
 */
export function commandLine(words: readonly string[]): string {
  return ["gprune", ...words.map(quoted)].join(" ");
}

/**
 * The same, broken with backslashes so that it can be copied from a narrow screen.
 *
 * @param words The words after `gprune`
 * @param width Columns
 * @returns Lines
 */
export function commandLines(words: readonly string[], width: number): readonly string[] {
  const lines: string[] = [];
  let current = "gprune";
  for (const piece of withValues(words.map(quoted))) {
    // Two columns for the backslash.
    if (current.length + 1 + piece.length + 2 > width && current.trim() !== "") {
      lines.push(`${current} \\`);
      current = `    ${piece}`;
    } else current = `${current} ${piece}`;
  }
  return [...lines, current];
}

/** An option and its value stay together. */
function withValues(words: readonly string[]): readonly string[] {
  const pieces: string[] = [];
  for (const word of words) {
    const before = pieces.at(-1);
    const isValue = before !== undefined && !word.startsWith("--") && /^--\S+$/.test(before);
    if (isValue) pieces[pieces.length - 1] = `${before} ${word}`;
    else pieces.push(word);
  }
  return pieces;
}

function modelWords(
  { settings, shown }: Pick<CommandSource, "settings" | "shown">,
): readonly string[] {
  const { model, revision, engine } = settings;
  return [
    ...(model === undefined ? [] : [model.startsWith("/") ? folderWord(shown(model)) : model]),
    ...(revision === undefined ? [] : ["--revision", revision]),
    ...(engine === undefined || engine === "auto" ? [] : ["--engine", engine]),
  ];
}

/** A folder with a name like a hub id is told apart by its dot. */
function folderWord(path: string): string {
  return /^[.~/]/.test(path) ? path : `./${path}`;
}

function textWords(
  option: string,
  texts: readonly NamedPath[] | undefined,
  { shown }: Pick<CommandSource, "shown">,
): readonly string[] {
  return (texts ?? []).flatMap(({ name, path }) => [option, `${name}=${shown(path)}`]);
}

/** What differs from the method's own defaults; the sparsity always. */
function requestWords({ request, layers }: CommandSource): readonly string[] {
  const { method, seed } = request;
  const own = resolveRequest({ method }, layers);
  const word = (name: string, value: string | number, usual: string | number | undefined) =>
    value === usual ? [] : [name, String(value)];
  return [
    ...["--sparsity", String(request.sparsity)],
    ...word("--method", method, "gprune"),
    ...(method === "gprune" ? word("--metric", request.metric, own.metric) : []),
    ...word("--structures", request.structures.join(","), own.structures.join(",")),
    ...word("--shape", request.shape, own.shape),
    ...word("--refit", request.refit, own.refit),
    ...word("--modules", request.modules, own.modules),
    ...word("--multiple", request.multiple, own.multiple),
    ...word("--switch", request.switch, own.switch),
    ...(request.scoreDomains === undefined
      ? []
      : ["--score-domains", request.scoreDomains.join(",")]),
    ...word("--objective", request.objective, own.objective),
    ...((request.protectedLayers ?? []).length === 0
      ? []
      : ["--protect", request.protectedLayers!.join(",")]),
    ...(request.layerBudgets ?? []).flatMap(({ layer, factor }) => [
      "--layer-budget",
      `${layer}=${factor}`,
    ]),
    ...word("--seed", seed, 0),
  ];
}
