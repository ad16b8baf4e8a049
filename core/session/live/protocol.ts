/**
 * What a live session and its worker tell each other. Everything here can be cloned into another thread.
 * @module
 */
import type { PlanOptions } from "../../plan/request.ts";
import type { Plan, PlanRequest } from "../../plan/types.ts";
import type { Progress } from "../../progress.ts";
import type { CalibrationOptions, EvaluationOptions, JobResult, PruneOptions } from "../types.ts";
import type { Measured } from "./folder.ts";

/** The model that a worker holds. */
export interface OpenTask {
  /** A folder, a hub id, or absent for the embedded default. */
  readonly model?: string;
  /** Revision of a hub model. */
  readonly revision?: string;
  /** What runs the model. */
  readonly engine: "auto" | "onnx" | "webgpu";
  /** Bytes of memory that the process stays below, and what is calibrated and planned. Default: no promise. */
  readonly promise?: {
    readonly memory: number;
    readonly seqLen: number;
    readonly request: PlanRequest;
    readonly calibration: Pick<CalibrationOptions, "calibration" | "self">;
  };
  /** A folder for pruned models that are measured; whoever starts the worker removes it. */
  readonly temporary: string;
}

/** Statistics to take and save. */
export interface CalibrateTask extends CalibrationOptions {
  /** What they are for. */
  readonly request: PlanOptions;
  /** The file to write. */
  readonly save: string;
  /** A folder for unfinished work, gone on from if it fits; on the disk of the file. */
  readonly workFolder: string;
}

/** Texts to evaluate on. */
export type EvaluationTask = Pick<EvaluationOptions, "evaluation" | "evalWindows"> & {
  /** Tokens per window. */
  readonly seqLen: number;
};

/** A plan to carry out and measure. */
export interface MeasureTask extends EvaluationTask {
  /** The plan. */
  readonly plan: Plan;
  /** The file of statistics for the refit. */
  readonly stats: string;
}

/** A prompt to continue from the dense and the pruned model. */
export interface SampleTask {
  /** The plan that makes the pruned model. */
  readonly plan: Plan;
  /** The file of statistics for the refit. */
  readonly stats: string;
  /** The prompt. */
  readonly prompt: string;
  /** Tokens to add. */
  readonly tokens: number;
  /** Seed of the drawing. */
  readonly seed: number;
}

/** What a worker can do: what it is given, and what it gives. */
export interface WorkerTasks {
  /** Opens engine and model. */
  readonly open: {
    readonly options: OpenTask;
    readonly result: { readonly engine: string; readonly device: string };
  };
  /** Calibrates; the statistics are in the file. */
  readonly calibrate: { readonly options: CalibrateTask; readonly result: null };
  /** Evaluates the dense model. */
  readonly dense: { readonly options: EvaluationTask; readonly result: Measured };
  /** Carries out a plan in a temporary folder and evaluates what comes of it. */
  readonly measure: { readonly options: MeasureTask; readonly result: Measured };
  /** Continues a prompt. */
  readonly sample: {
    readonly options: SampleTask;
    readonly result: { readonly dense: string; readonly pruned: string };
  };
  /** Gives back what the engine holds: the last task of a worker. */
  readonly close: { readonly options: null; readonly result: null };
  /** Prunes and writes, as `gprune prune` does. */
  readonly write: {
    readonly options: Omit<PruneOptions, "signal" | "onProgress" | "onEvent">;
    readonly result: JobResult;
  };
}

/** The name of something that a worker can do. */
export type TaskName = keyof WorkerTasks;

/** What happens during a task besides progress. */
export type TaskEvent =
  /** Something a person should know, one sentence. */
  | { readonly type: "note"; readonly message: string }
  /** A continuation has grown. */
  | { readonly type: "text"; readonly which: "dense" | "pruned"; readonly text: string };

/** What a worker is told. */
export type ToWorker =
  | {
    readonly type: "start";
    readonly id: number;
    readonly task: TaskName;
    readonly options: unknown;
  }
  | { readonly type: "cancel"; readonly id: number };

/** What a worker tells. */
export type FromWorker =
  | { readonly type: "progress"; readonly id: number; readonly progress: Progress }
  | { readonly type: "event"; readonly id: number; readonly event: TaskEvent }
  | { readonly type: "done"; readonly id: number; readonly result: unknown }
  /** Something broke outside any task: the worker is of no more use. */
  | { readonly type: "broken"; readonly id: -1; readonly message: string }
  | {
    readonly type: "failed";
    readonly id: number;
    /** The error's class. */
    readonly name: string;
    readonly message: string;
    readonly stack?: string;
  };
