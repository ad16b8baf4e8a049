/**
 * What a run depends on, as named values that can be compared with those of another run, and told apart in a sentence.
 * @module
 */
import { OptionError } from "../../errors.ts";
import { limitsThatCount, MemoryBudget } from "../../engine/memory.ts";
import type { ExportTarget } from "../../export/formats.ts";
import type { Engine } from "../../engine/types.ts";
import type { ChoiceTask } from "../../evaluate/tasks.ts";
import type { Model } from "../../model/types.ts";
import type { PlanRequest } from "../../plan/types.ts";
import type { Domain } from "../../text/domains.ts";
import { hashWindows } from "../../text/windows.ts";

/** One thing that a run depends on. */
export interface Condition {
  /** What it is, as a person knows it: `--sparsity`, `the model`, `the text 'wiki'`. */
  readonly name: string;
  /** Its value, in words or as a hash. */
  readonly value: string;
}

/** What a calibration depends on. */
export interface CalibrationConditions {
  /** The model. */
  readonly model: Model;
  /** What runs it: others round otherwise. */
  readonly engine: Pick<Engine, "name" | "device" | "memory">;
  /** What is asked for. */
  readonly request: PlanRequest;
  /** Windows per domain. */
  readonly samples: number;
  /** Tokens per window. */
  readonly seqLen: number;
  /** Seed of sampling. */
  readonly seed: number;
  /** Whether the model's own text is a domain. */
  readonly self: boolean;
  /** The texts. */
  readonly domains: readonly Domain[];
}

const optionOf: Readonly<Record<Exclude<keyof PlanRequest, "seed">, string>> = {
  method: "--method",
  metric: "--metric",
  sparsity: "--sparsity",
  structures: "--structures",
  shape: "--shape",
  refit: "--refit",
  modules: "--modules",
  multiple: "--multiple",
  switch: "--switch",
  scoreDomains: "--score-domains",
  objective: "--objective",
  protectedLayers: "--protect",
  layerBudgets: "--layer-budget",
  grouping: "the grouping",
  moduleShares: "the shares of modules",
};

function piecesOfWork(engine: Pick<Engine, "memory">): string {
  const limits = limitsThatCount((engine.memory ?? new MemoryBudget()).limits);
  return Object.entries(limits).map(([name, bytes]) => `${name} ${bytes}`).join(", ");
}

/**
 * The conditions of a calibration.
 *
 * @param parts What it depends on
 * @returns Named values
 */
export function calibrationConditions(parts: CalibrationConditions): readonly Condition[] {
  const { model, engine, request, domains } = parts;
  return [
    { name: "the model", value: model.fingerprint },
    { name: "--engine", value: `${engine.name} on ${engine.device}` },
    // Smaller pieces of work may round otherwise.
    { name: "--memory", value: piecesOfWork(engine) },
    { name: "--samples", value: `${parts.samples}` },
    { name: "--seq-len", value: `${parts.seqLen}` },
    { name: "--seed", value: `${parts.seed}` },
    { name: "the model's own text (--no-self)", value: parts.self ? "in" : "left out" },
    ...requestConditions(request),
    ...textConditions("the text", "--calib", domains),
  ];
}

/**
 * The conditions of a request.
 *
 * @param request What is asked for, defaults filled in
 * @returns Named values; the seed is not among them
 */
export function requestConditions(request: PlanRequest): readonly Condition[] {
  const fields = Object.entries(optionOf) as [keyof typeof optionOf, string][];
  return fields.map(([field, name]) => ({ name, value: shown(request[field]) }));
}

/** What is evaluated and written. */
export interface OutputConditions {
  /** Texts to evaluate on. */
  readonly evaluated: readonly Domain[];
  /** Windows of each; all if absent. */
  readonly evalWindows?: number;
  /** Multiple choice. */
  readonly tasks: readonly ChoiceTask[];
  /** Formats and how their numbers are stored. */
  readonly targets: readonly ExportTarget[];
  /** How numbers of `hf` are stored. */
  readonly dataType?: string;
  /** Whether `hf` is padded. */
  readonly zeroPad?: boolean;
  /** Whether the plan is improved by measuring. */
  readonly refine?: boolean;
  /** Hash of the statistics that were given, if any. */
  readonly statistics?: string;
}

/**
 * The conditions of what comes after calibration.
 *
 * @param parts What it depends on
 * @returns Named values
 */
export function outputConditions(parts: OutputConditions): readonly Condition[] {
  const targets = parts.targets.map(({ format, quantize }) =>
    format === "hf" ? format : `${format} in ${quantize}`
  );
  return [
    ...(parts.statistics === undefined
      ? []
      : [{ name: "the statistics of --stats", value: parts.statistics }]),
    { name: "--no-refine", value: parts.refine === false ? "given" : "not given" },
    { name: "--format and --quantize", value: targets.join(", ") },
    { name: "--dtype", value: parts.dataType ?? "keep" },
    { name: "--zero-pad", value: parts.zeroPad ? "given" : "not given" },
    { name: "--eval-windows", value: `${parts.evalWindows ?? "all"}` },
    ...textConditions("the evaluation text", "--eval", parts.evaluated),
    { name: "the tasks", value: parts.tasks.map(({ name }) => name).join(", ") },
    ...parts.tasks.map((task) => ({ name: `the task '${task.name}'`, value: hashTask(task) })),
  ];
}

function textConditions(
  what: string,
  option: string,
  domains: readonly Domain[],
): readonly Condition[] {
  return [
    { name: option, value: domains.map(({ name }) => name).join(", ") },
    ...domains.map(({ name, sha256 }) => ({ name: `${what} '${name}'`, value: sha256 })),
  ];
}

function hashTask({ items }: ChoiceTask): string {
  const tokens = items.flatMap(({ answer, choices }) => [
    Int32Array.of(answer, choices.length),
    ...choices.flatMap(({ scored, bytes, tokens }) => [Int32Array.of(scored, bytes), tokens]),
  ]);
  return hashWindows(tokens);
}

function shown(value: PlanRequest[keyof PlanRequest]): string {
  if (value === undefined) return "not given";
  if (!Array.isArray(value)) return String(value);
  return value.map((each) =>
    typeof each === "object" ? `${each.layer}=${each.factor}` : String(each)
  ).join(",");
}

/**
 * Refuses to go on with other work than was begun.
 *
 * @param folder Where the unfinished work is, for the message
 * @param found Its conditions
 * @param wanted Those of the work that is to go on
 * @throws {OptionError} if they differ; the message says in what
 */
export function requireSame(
  folder: string,
  found: readonly Condition[],
  wanted: readonly Condition[],
): void {
  const differing = differences(found, wanted);
  if (differing.length === 0) return;
  throw new OptionError(
    `Cannot go on from '${folder}' with --resume: ${
      differing.map((each) => `${each.name} was ${each.before} and is ${each.after}`).join("; ")
    }; give what was given, or start anew without --resume`,
  );
}

/** A condition that two runs do not share. */
export interface Difference {
  /** What it is. */
  readonly name: string;
  /** Its value in the one. */
  readonly before: string;
  /** Its value in the other. */
  readonly after: string;
}

/**
 * In what two runs differ.
 *
 * @param before Conditions of the one
 * @param after Conditions of the other
 * @returns What differs; hashes are shortened as far as they stay apart. Texts that one run alone has are told by the
 * list of names, not each by itself
 */
export function differences(
  before: readonly Condition[],
  after: readonly Condition[],
): readonly Difference[] {
  const [old, now] = [before, after].map((list) =>
    new Map(list.map(({ name, value }) => [name, value]))
  );
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((name) => {
    const [a, b] = [old.get(name), now.get(name)];
    if (a === b) return [];
    if ((a === undefined || b === undefined) && / '/.test(name)) return [];
    return [{ name, before: brief(a), after: brief(b) }];
  });
}

function brief(value: string | undefined): string {
  if (value === undefined) return "not there";
  if (value === "") return "none";
  return /^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}…` : value;
}
