/**
 * What the pipeline takes and tells: the options of every job and the events that screens draw.
 * @module
 */
import type { WorkOptions } from "../progress.ts";
import type { PlanOptions as RequestFields } from "../plan/request.ts";
import type { Method, Plan, Refit } from "../plan/types.ts";
import type { Report } from "../evaluate/report.ts";

/** What happens in a job, besides {@linkcode WorkOptions.onProgress}. */
export type SessionEvent =
  /** Something a person should know, one sentence. */
  | { readonly type: "note"; readonly message: string }
  /** The plan stands. */
  | { readonly type: "planned"; readonly plan: Plan }
  /** A text was evaluated. */
  | {
    readonly type: "evaluated";
    readonly which: "dense" | "pruned";
    readonly name: string;
    readonly perplexity: number;
  };

/** A text by name: a text file, a `.jsonl` file with a field `text`, or a folder of text files. */
export interface NamedPath {
  readonly name: string;
  readonly path: string;
}

/** Options that every job has. */
export interface JobOptions extends WorkOptions {
  /** A folder, a hub id, or absent for the embedded default. */
  readonly model?: string;
  /** Revision of a hub model. */
  readonly revision?: string;
  /** What runs the model. Default `auto`. */
  readonly engine?: "auto" | "onnx" | "webgpu";
  /**
   * Bytes of memory that the job stays below, as the system counts the process's resident memory; refused at the start
   * where that cannot be. Default: a share of what is free.
   */
  readonly memory?: number;
  /** Called at every event. */
  readonly onEvent?: (event: SessionEvent) => void;
}

/** What to calibrate on. */
export interface CalibrationOptions {
  /** Texts; the embedded ones if absent, none if empty (then `self` alone). */
  readonly calibration?: readonly NamedPath[];
  /** Whether text sampled from the model itself is a domain. Default true. */
  readonly self?: boolean;
  /** Windows per domain. Default 128. */
  readonly samples?: number;
  /** Tokens per window. Default min(2048, the model's own limit). */
  readonly seqLen?: number;
  /** Seed of sampling. Default 0. */
  readonly seed?: number;
}

/** What to plan. Absent fields take the method's own defaults. */
export type RequestOptions = Omit<RequestFields, "seed">;

/** What to evaluate on. */
export interface EvaluationOptions {
  /** Texts; the embedded held-out ones if absent. */
  readonly evaluation?: readonly NamedPath[];
  /** First windows of each text; all if absent. Multiple choice from a text then has 8 questions a window at most. */
  readonly evalWindows?: number;
  /** Multiple-choice tasks: `.jsonl` files of `{ "context", "choices": […], "answer": index }`. Default none. */
  readonly tasks?: readonly NamedPath[];
  /**
   * Whether to make a multiple-choice task `NAME-choice` from every text. Default true; false in `compare`, where it
   * would multiply the work of every row.
   */
  readonly choiceTasks?: boolean;
}

/** What to write, and where. */
export interface OutputOptions {
  /** The folder to make. It appears whole or not at all. */
  readonly out: string;
  /** Replace `out` if it exists. Default false. */
  readonly force?: boolean;
  /** Formats to write. Default `hf`. */
  readonly formats?: readonly string[];
  /**
   * How the numbers of `onnx` (`none`, `f16`, `q8`, `q4`) and `gguf` (`f16`, `q8_0`, `q4_0`) are stored; each goes to
   * the formats that have it. Default `none` and `f16`.
   */
  readonly quantize?: readonly string[];
  /**
   * Whether an adaptive `hf` output is padded with zero units to one size, so that stock classes load it. It computes the
   * same and is as large as its largest layer. Default false.
   */
  readonly zeroPad?: boolean;
  /** How the numbers of the `hf` output are stored. Default `keep`. */
  readonly dataType?: "keep" | "f32" | "f16" | "bf16";
  /** The command that makes the same result, for the model card. */
  readonly command?: string;
}

/** Options of `prune`. */
export interface PruneOptions
  extends JobOptions, CalibrationOptions, RequestOptions, EvaluationOptions, OutputOptions {
  /** Go on from what an interrupted run for the same `out` left. Default false. */
  readonly resume?: boolean;
  /** A file of statistics to use instead of calibrating. */
  readonly stats?: string;
  /** Whether the plan may be improved by measuring. Default true; otherwise it is that of `plan`. */
  readonly refine?: boolean;
}

/** Options of `calibrate`. */
export interface CalibrateOptions extends JobOptions, CalibrationOptions, RequestOptions {
  /** The file to write statistics to. */
  readonly save: string;
  readonly force?: boolean;
  readonly resume?: boolean;
}

/** Options of `plan`. */
export interface PlanOptions extends JobOptions, RequestOptions {
  /** The file of statistics to read. */
  readonly stats: string;
  /** The file to write the plan to. */
  readonly save: string;
  readonly force?: boolean;
  readonly seed?: number;
}

/** Options of `apply`. */
export interface ApplyOptions extends JobOptions, OutputOptions {
  /** The plan file. */
  readonly plan: string;
  /** The file of statistics for the refit; the one that the plan was made from if absent. */
  readonly stats?: string;
  /** Another refit than the plan's. */
  readonly refit?: Refit;
}

/** Options of `evaluate`. With formats, the model is written in them to a temporary folder and its files are measured. */
export interface EvaluateOptions
  extends JobOptions, EvaluationOptions, Pick<OutputOptions, "formats" | "quantize"> {
  /** Tokens per window. Default min(2048, the model's own limit). */
  readonly seqLen?: number;
  readonly seed?: number;
}

/** Options of `compare`: every combination of the lists is run from one set of statistics. */
export interface CompareOptions extends JobOptions, CalibrationOptions, EvaluationOptions {
  /** Default all. */
  readonly methods?: readonly Method[];
  /** Default 0.3 and 0.5. */
  readonly sparsities?: readonly number[];
  /** Default: each method's own. */
  readonly refits?: readonly Refit[];
  /** Those of every row; see {@linkcode RequestOptions}. */
  readonly request?: Omit<RequestOptions, "method" | "sparsity" | "refit">;
}

/** Options of `export`. */
export interface ExportOptions extends JobOptions, OutputOptions {}

/** What `prune`, `apply` and `export` give. */
export interface JobResult {
  /** The folder that was made. */
  readonly folder: string;
  /** The report, as in the folder's `report.json`. */
  readonly report: Report;
}
