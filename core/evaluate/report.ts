/**
 * The report of a run: what was asked, what came out, and what it costs on which text.
 * @module
 */
import type { Method, Metric, ModuleReport, Refit, Shape } from "../plan/types.ts";
import type { Structure } from "../model/types.ts";

/** Perplexity of a file in another format, measured on the file itself, under the conditions of its row. */
export interface FilePerplexity {
  /** `onnx` or `gguf`. */
  readonly format: string;
  /** How its numbers are stored, such as `q4`. */
  readonly quantize: string;
  /** The model as it was, in the same format and quantisation. */
  readonly dense: number;
  /** The pruned model's file; absent where that was not asked for, or nothing was pruned. */
  readonly pruned?: number;
}

/** How fast a file runs in its own runtime, in tokens per second. */
export interface FileSpeed {
  /** Of a prompt of {@linkcode FileSpeed.promptTokens} tokens. */
  readonly prefillTokensPerSecond: number;
  /** Of a text that grows token by token after that prompt. */
  readonly decodeTokensPerSecond: number;
  /** Tokens of the prompt. */
  readonly promptTokens: number;
}

/** A file in another format, beside the dense model in the same. */
export interface ExportRow {
  /** `onnx` or `gguf`. */
  readonly format: string;
  /** How its numbers are stored, such as `q4`. */
  readonly quantize: string;
  /** Its path in the output folder; absent where the dense model alone was measured. */
  readonly file?: string;
  /** Bytes on the disk, weights in files beside it included. */
  readonly bytes: { readonly dense: number; readonly pruned?: number };
  /** The fastest of runs in turn; absent where gprune has no runtime for the format. */
  readonly speed?: { readonly dense: FileSpeed; readonly pruned?: FileSpeed };
}

/** Perplexity on one text, with its conditions. */
export interface PerplexityRow {
  /** The text's name. */
  readonly name: string;
  /** Tokens predicted. */
  readonly tokens: number;
  /** Windows evaluated. */
  readonly windows: number;
  /** Tokens in a window; all but the first are predicted. */
  readonly seqLen: number;
  /** SHA-256 of the text, as hexadecimal digits. */
  readonly sha256: string;
  /** Perplexity of the model as it was. */
  readonly dense: number;
  /** Perplexity of the pruned model; absent in a report of `evaluate`. */
  readonly pruned?: number;
  /** Whether the calibration had a text of this name. */
  readonly calibrated?: boolean;
  /** The same of each file in another format; absent where there is none. */
  readonly files?: readonly FilePerplexity[];
}

/** Accuracy of multiple choice. */
export interface Accuracy {
  /** Share right by the sum of log-likelihoods. */
  readonly acc: number;
  /** Share right by that sum per byte of the choice. */
  readonly accNorm: number;
  /** Standard error of `acc`; 0 for a single question. */
  readonly stderr: number;
}

/** One multiple-choice task. */
export interface TaskRow {
  /** Its name; `NAME-choice` is made from the evaluation text NAME. */
  readonly name: string;
  /** Questions. */
  readonly items: number;
  /** The model as it was. */
  readonly dense: Accuracy;
  /** The pruned model; absent in a report of `evaluate`. */
  readonly pruned?: Accuracy;
}

/** A calibration text, with its conditions. */
export interface CalibrationRow {
  /** The text's name; `self` is text sampled from the model. */
  readonly name: string;
  /** Tokens whose activations were used. */
  readonly tokens: number;
  /** Windows used. */
  readonly windows: number;
  /** Tokens in a window. */
  readonly seqLen: number;
  /** SHA-256 of the text, as hexadecimal digits. */
  readonly sha256: string;
}

/** What the refit of one layer and kind came to. */
export interface RefitRow {
  /** Counted from 0. */
  readonly layer: number;
  /** The kind of unit. */
  readonly structure: Structure;
  /** What was done. */
  readonly refit: Refit;
  /** Relative output error on windows kept back, without a refit. */
  readonly plainError: number;
  /** The same with the refit. */
  readonly refittedError: number;
  /** Why another refit than the one asked for was used. */
  readonly fallback?: string;
}

/** What removing more or less of one layer and kind would cost, and the share that the plan chose. */
export interface DamageRow {
  /** Counted from 0. */
  readonly layer: number;
  /** The kind of unit. */
  readonly structure: Structure;
  /** Share of the units that the plan removes. */
  readonly removed: number;
  /** Points of share removed and the error that is left in the layer's output, relative to its energy (`obs`). */
  readonly error?: readonly (readonly [number, number])[];
  /** Points of share removed and loss added, nats per token on windows kept back, where that was measured. */
  readonly loss?: readonly (readonly [number, number])[];
}

/** The report of a run, as `report.json` holds it and `--json` prints it. */
export interface Report {
  /** Name and version of the format. */
  readonly schema: "gprune.report/1";
  /** The model as it was. */
  readonly model: {
    readonly source: string;
    readonly family: string;
    readonly layers: number;
    readonly parameters: number;
    readonly fingerprint: string;
  };
  /** What ran it. */
  readonly engine: { readonly name: string; readonly device: string };
  /** What was asked for. */
  readonly request: {
    readonly method?: Method;
    readonly metric?: Metric;
    readonly sparsity?: number;
    readonly structures?: readonly Structure[];
    readonly shape?: Shape;
    readonly refit?: Refit;
    readonly seed: number;
    readonly [option: string]: unknown;
  };
  /** The calibration texts. */
  readonly calibration: readonly CalibrationRow[];
  /** The modules of the plan. */
  readonly modules: readonly ModuleReport[];
  /** What other cuts of each layer would cost; absent where the statistics do not tell. */
  readonly damage?: readonly DamageRow[];
  /** Sizes of each layer: before and after. */
  readonly layers: readonly {
    readonly layer: number;
    readonly ffn: readonly [number, number];
    readonly kvHeads: readonly [number, number];
    readonly queryHeads: readonly [number, number];
  }[];
  /** The outcome of every refit. */
  readonly refits?: readonly RefitRow[];
  /** What the refit multiplied the final norm by, so that the cut model is as sure as it should be; absent for 1. */
  readonly finalNormScale?: number;
  /** What the cut comes to. */
  readonly result: {
    readonly sparsity: number;
    readonly parameters: { readonly before: number; readonly after: number };
    readonly bytes: { readonly before: number; readonly after: number };
  };
  /** Perplexity per text. */
  readonly perplexity: readonly PerplexityRow[];
  /** Multiple choice. */
  readonly tasks: readonly TaskRow[];
  /** Tokens per second of the forward pass of the evaluation. */
  readonly speed: { readonly denseTokensPerSecond: number; readonly prunedTokensPerSecond: number };
  /** Files in other formats: size and speed; absent where there is none. */
  readonly exports?: readonly ExportRow[];
  /** Wall time per stage. */
  readonly seconds: Readonly<
    Record<"calibrate" | "plan" | "apply" | "evaluate" | "export", number>
  >;
  /** The highest resident memory of the process. */
  readonly peakMemoryBytes: number;
  /** The files written (the report itself excepted, for programs and as a page). */
  readonly files: readonly {
    readonly path: string;
    readonly bytes: number;
    readonly sha256: string;
  }[];
  /** Things that a reader should know, one sentence each. */
  readonly notes: readonly string[];
}

/** One row of `compare`. */
export interface CompareRow {
  /** The method. */
  readonly method: Method;
  /** Its base metric. */
  readonly metric: Metric;
  /** The correction after the cut. */
  readonly refit: Refit;
  /** Same sizes in every layer, or each its own. */
  readonly shape: Shape;
  /** Asked for. */
  readonly sparsity: number;
  /** Counted. */
  readonly reachedSparsity: number;
  /** Perplexity of each text; `calibrated` where calibration had a text of this name. */
  readonly perplexity: readonly {
    readonly name: string;
    readonly dense: number;
    readonly pruned: number;
    readonly calibrated: boolean;
  }[];
  /** Accuracy on each multiple-choice task, where any was asked for; `pruned` is never absent. */
  readonly tasks?: readonly TaskRow[];
  /** Geometric mean over texts of pruned / dense perplexity. */
  readonly geomeanRatio: number;
  /** The same over texts that calibration had, if any. */
  readonly calibratedRatio?: number;
  /** The same over texts that it did not have, if any. */
  readonly uncoveredRatio?: number;
  /** The text that lost most. */
  readonly worst: { readonly name: string; readonly ratio: number };
}

/** What `compare --json` prints. */
export interface Comparison {
  /** Name and version of the format. */
  readonly schema: "gprune.compare/1";
  /** The model. */
  readonly model: { readonly source: string; readonly fingerprint: string };
  /** The calibration texts. */
  readonly calibration: readonly CalibrationRow[];
  /** Tokens, windows and hash of each evaluation text. */
  readonly texts: readonly Omit<PerplexityRow, "pruned">[];
  /** One row for each combination. */
  readonly rows: readonly CompareRow[];
  /** Combinations that were left out, and why. */
  readonly notes: readonly string[];
}
