/**
 * What the quality bench is asked for.
 * @module
 */
import { parseArgs } from "node:util";
import type { NamedPath } from "../../core/session/types.ts";
import type { Structure } from "../../core/model/types.ts";
import { choiceList, namedPath, sparsityList, whole } from "../../tui/values.ts";

/** The parts of the bench. */
export const sectionNames = ["table", "ablation", "never-worse", "claim"] as const;
/** One part of the bench. */
export type SectionName = (typeof sectionNames)[number];

/** The word for the model that comes with the project; it is measured on its own texts. */
export const embedded = "embedded";

/** What the quality bench is asked for. */
export interface QualityOptions {
  /** Folders, hub ids, or {@linkcode embedded}. */
  readonly models: readonly string[];
  /** Calibration texts; the embedded ones if absent. The first is the one text of single-text rows. */
  readonly calibration?: readonly NamedPath[];
  /** Evaluation texts; the embedded ones if absent. */
  readonly evaluation?: readonly NamedPath[];
  /** Windows per domain. */
  readonly samples: number;
  /** Tokens per window; the model's own limit where that is less. */
  readonly seqLen: number;
  /** First windows of each text. */
  readonly evalWindows: number;
  /** Seeds of sampling. Sections that say so use the first alone. */
  readonly seeds: readonly number[];
  /** Sparsities, in place of each section's own. */
  readonly sparsities?: readonly number[];
  /** Sets of structures, in place of each section's own. */
  readonly structures?: readonly (readonly Structure[])[];
  /** Sections to run. */
  readonly only: readonly SectionName[];
  /** The Markdown file to write. */
  readonly out: string;
  /** The file of finished rows. */
  readonly cache: string;
}

/** How the bench is called. */
export const usage = `deno run -A bench/quality.ts [OPTIONS]

  --model M              folder, hub id or 'embedded'; repeat for more (default: embedded)
  --calib NAME=PATH      calibration text; the first is the text of single-text rows (default: embedded)
  --eval NAME=PATH       evaluation text (default: embedded)
  --samples N            windows per calibration text (default: 32)
  --seq-len L            tokens per window (default: 192)
  --eval-windows N       first windows of each evaluation text (default: 32)
  --seeds LIST           seeds of sampling (default: 0,1,2)
  --sparsity LIST        in place of each section's own
  --structures LIST      'ffn' or 'ffn,heads'; repeat for both; in place of each section's own
  --only LIST            of ${sectionNames.join(", ")} (default: all)
  --out FILE             default: bench/QUALITY.md; sections that are not run stay as they are
  --cache FILE           finished rows, which a later run reuses (default: gprune-out/quality-rows.jsonl)`;

/**
 * Reads the command line.
 *
 * @param args Words
 * @returns What is asked for
 * @throws {Error} if a word makes no sense
 */
export function qualityOptions(args: readonly string[]): QualityOptions {
  const text = { type: "string" } as const;
  const list = { type: "string", multiple: true } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: list,
      calib: list,
      eval: list,
      samples: text,
      "seq-len": text,
      "eval-windows": text,
      seeds: text,
      sparsity: text,
      structures: list,
      only: text,
      out: text,
      cache: text,
    },
  });
  const number = (name: "samples" | "seq-len" | "eval-windows", least: number, other: number) =>
    values[name] === undefined ? other : whole(`--${name}`, values[name], least);
  const paths = (name: "calib" | "eval") =>
    values[name]?.reduce<readonly NamedPath[]>(
      (before, word) => namedPath(`--${name}`, word, before),
      [],
    );
  const seeds = (values.seeds ?? "0,1,2").split(",").map((word) => whole("--seeds", word, 0));
  return {
    models: values.model ?? [embedded],
    calibration: paths("calib"),
    evaluation: paths("eval"),
    samples: number("samples", 1, 32),
    seqLen: number("seq-len", 2, 192),
    evalWindows: number("eval-windows", 1, 32),
    seeds: [...new Set(seeds)],
    sparsities: values.sparsity === undefined
      ? undefined
      : sparsityList("--sparsity", values.sparsity),
    structures: values.structures?.map((word) =>
      choiceList("--structures", word, ["ffn", "heads"] as const)
    ),
    only: values.only === undefined
      ? sectionNames
      : choiceList("--only", values.only, sectionNames),
    out: values.out ?? "bench/QUALITY.md",
    cache: values.cache ?? "gprune-out/quality-rows.jsonl",
  };
}
