/**
 * What a live session is opened with, and what it is asked to write.
 * @module
 */
import type { PlanOptions } from "../../plan/request.ts";
import type { Method } from "../../plan/types.ts";
import type { OutputOptions, PruneOptions } from "../types.ts";

/** What a session is opened with. */
export interface LiveOptions
  extends
    Pick<PruneOptions, "model" | "revision" | "calibration" | "self" | "seed" | "memory">,
    Pick<PruneOptions, "evaluation" | "evalWindows" | "tasks" | "choiceTasks" | "stats"> {
  /** What runs the model. Default `auto`. */
  readonly engine?: "auto" | "onnx" | "webgpu";
  /** Windows per domain. Default 32, which is enough to choose by and done soon. */
  readonly samples?: number;
  /** Tokens per window. Default min(512, the model's own limit). */
  readonly seqLen?: number;
  /** What is chosen at first. */
  readonly request?: PlanOptions;
  /** The folder of all sessions; that of the user's cache if absent. */
  readonly cacheFolder?: string;
}

/** The options of a session with its defaults filled in. */
export type LiveSettings = LiveOptions & {
  readonly samples: number;
  readonly evalWindows: number;
  readonly seqLen: number;
};

/** Windows per domain, and first windows of every text, unless told otherwise. */
export const sessionDefaults = { samples: 32, evalWindows: 16, seqLen: 512 } as const;

/** Where and how to write what was chosen. */
export type WriteOptions = Omit<OutputOptions, "command"> & {
  /** The command that makes the same result, for the model card. */
  readonly command?: string;
};

/** Methods that a choice can be compared with, in the order of the key. */
export const sessionBaselines: readonly Method[] = ["wanda-sp", "flap", "magnitude", "random"];
