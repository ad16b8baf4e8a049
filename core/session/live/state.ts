/**
 * What a live session tells the screens: everything that they draw, as plain data that never changes.
 * @module
 */
import type { LayerShape } from "../../model/types.ts";
import type { Method, Plan, PlanRequest } from "../../plan/types.ts";
import type { Progress } from "../../progress.ts";

/** Where a session is. */
export type Phase =
  /** The model is being opened, perhaps downloaded. */
  | "opening"
  /** Statistics are being taken. */
  | "calibrating"
  /** Calibration was stopped; what is finished is kept. */
  | "paused"
  /** Plans are made as keys ask for them. */
  | "ready"
  /** Nothing can be done; the failure says why. */
  | "failed";

/** The model of a session. */
export interface ModelFacts {
  readonly name: string;
  readonly source: string;
  readonly family: string;
  readonly layers: readonly LayerShape[];
  readonly parameters: number;
  readonly bytes: number;
}

/** A text that perplexity is measured on. */
export interface LiveText {
  readonly name: string;
  /** Whether calibration had text of the same name. */
  readonly calibrated: boolean;
  /** Perplexity of the dense model, once it is known. */
  readonly dense?: number;
}

/** What a sparsity comes to. */
export interface TradeoffRow {
  /** What is asked for. */
  readonly sparsity: number;
  /** Whether the perplexities were measured; otherwise they are predicted. */
  readonly measured: boolean;
  /** Perplexity per text; undefined where nothing can be said yet. */
  readonly perplexity: readonly (number | undefined)[];
  /** Geometric mean over the texts of pruned / dense perplexity. */
  readonly ratio?: number;
  /** Parameters left. */
  readonly parameters?: number;
  /** Bytes of the weights left, where not measured those of the same data type. */
  readonly bytes?: number;
  /** Tokens per second; where not measured, as if time went with the parameters. */
  readonly tokensPerSecond?: number;
  /** The same ratio for the baseline, once it was measured. */
  readonly baselineRatio?: number;
  /** Why there is no plan for it. */
  readonly problem?: string;
}

/** What runs. */
export interface Activity {
  /** What it is for. */
  readonly kind:
    | "open"
    | "calibrate"
    | "orders"
    | "dense"
    | "measure"
    | "baseline"
    | "sample"
    | "write";
  /** In words, such as `measuring 30 %`. */
  readonly label: string;
  /** How far it has come. */
  readonly progress?: Progress;
}

/** How far calibration has come. */
export interface CalibrationState {
  /** The latest report of every stage that has begun, in the order in which they began. */
  readonly stages: readonly Progress[];
  /** The domains, in the order in which they are run. */
  readonly domains: readonly string[];
  /** Windows per domain and tokens per window. */
  readonly windows: { readonly samples: number; readonly seqLen: number };
}

/** Continuations side by side. */
export interface SampleState {
  readonly prompt: string;
  readonly dense: string;
  readonly pruned: string;
  /** The sparsity of the pruned model. */
  readonly sparsity: number;
  /** Whether more is to come. */
  readonly running: boolean;
}

/** Something that was written. */
export interface Written {
  /** The folder, or the file of a plan. */
  readonly path: string;
  /** What it was made of. */
  readonly request: PlanRequest;
}

/** Everything that screens draw. */
export interface LiveState {
  readonly phase: Phase;
  readonly model?: ModelFacts;
  /** What runs the model. */
  readonly engine?: { readonly name: string; readonly device: string };
  /** How calibration goes. */
  readonly calibration?: CalibrationState;
  /** What is chosen. */
  readonly request?: PlanRequest;
  /** What the choice comes to; the plan before while orders are being made. */
  readonly plan?: Plan;
  /** Why there is no plan for the choice. */
  readonly problem?: string;
  /** The texts. */
  readonly texts: readonly LiveText[];
  /** First windows of each text that are evaluated, and tokens per window. */
  readonly evaluation?: { readonly windows?: number; readonly seqLen: number };
  /** Tokens per second of the dense model, once measured. */
  readonly denseTokensPerSecond?: number;
  /** Sparsities and what they come to, the choice among them, ascending. */
  readonly rows: readonly TradeoffRow[];
  /** What the choice is compared with. */
  readonly baseline?: Method;
  /** Whether sparsities are measured without being asked for. */
  readonly measuresByItself: boolean;
  /** What runs. */
  readonly activity?: Activity;
  /** The latest thing that a person should know. */
  readonly notice?: { readonly message: string; readonly isError: boolean };
  /** Changes that can be taken back, and made again. */
  readonly undoable: number;
  readonly redoable: number;
  /** Whether something was chosen that was not written. */
  readonly unsaved: boolean;
  /** Continuations, if they were asked for. */
  readonly sample?: SampleState;
  /** What was written, the latest last. */
  readonly written: readonly Written[];
  /** The file of statistics. */
  readonly statistics?: string;
  /** Why the session cannot go on. */
  readonly failure?: string;
}

/** The state of a session that has only begun. */
export const firstState: LiveState = {
  phase: "opening",
  texts: [],
  rows: [],
  measuresByItself: true,
  undoable: 0,
  redoable: 0,
  unsaved: false,
  written: [],
};
