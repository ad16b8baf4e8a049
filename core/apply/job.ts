/**
 * What one carrying out of a plan is made of.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import type { RefitRow } from "../evaluate/report.ts";
import type { Engine } from "../engine/types.ts";
import type { Model } from "../model/types.ts";
import type { Plan, Refit } from "../plan/types.ts";
import type { WorkOptions } from "../progress.ts";
import type { KeptFits } from "./kept_fits.ts";
import type { LayerSequence } from "./layer_sequence.ts";
import type { OutputDataType } from "./model_folder.ts";
import type { RefittedProjection } from "./refit.ts";

/** Options of {@linkcode applyPlan}. */
export interface ApplyPlanOptions extends WorkOptions {
  /**
   * What runs blocks. With it the refit `lsq` of `gprune` goes block by block, from the pruned prefix to the dense
   * model's streams; without it every layer is refitted by itself, as the published methods do. So is every layer of a
   * model whose blocks add in another way than Llama's; see `refitsSequentially`.
   */
  readonly engine?: Engine;
  /** Where to write the smaller model: a folder, made if it is missing. */
  readonly directory: string;
  /** What calibration found; needed for every refit but `none`. */
  readonly statistics?: Statistics;
  /** How numbers are stored. Default `keep`: as they were. */
  readonly dataType?: OutputDataType;
  /** Another refit than the plan's. */
  readonly refit?: Refit;
  /** How much each domain counts in the refit; see `refitWeights` for the default. */
  readonly domainWeights?: readonly number[];
  /** Whether the refit block by block may scale the final norm. Default true; false is for ablations. */
  readonly scaledNorm?: boolean;
  /** Bytes of weights in one file at most. Default 5 GB. */
  readonly largestShard?: number;
  /** Keeps finished fits, so that an interrupted run can go on. Default: nothing is kept. */
  readonly keptFits?: KeptFits;
}

/** One call of {@linkcode applyPlan}. */
export interface Job {
  readonly model: Model;
  readonly plan: Plan;
  readonly refit: Refit;
  readonly options: ApplyPlanOptions;
  readonly dataType: OutputDataType;
  readonly refits: RefitRow[];
  readonly architecture: Model["architecture"];
  /** The refit block by block, where it is one. */
  readonly sequence?: LayerSequence;
  /** The refit made last: weight and bias are written one after the other and come from one refit. */
  latest: { key?: string; projection?: Promise<RefittedProjection> };
}
