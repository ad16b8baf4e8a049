/**
 * What a plan is: which units stay, why, and what was asked for.
 * @module
 */
import type { LayerShape, Structure } from "../model/types.ts";

/** Ways to choose units: this project's, and the published ones that it is measured against. */
export type Method = "gprune" | "flap" | "wanda-sp" | "magnitude" | "random";
/** Scores of a unit that `gprune` can wrap. */
export type Metric = "wanda-sp" | "wifv" | "rms" | "obs" | "magnitude" | "random";
/** `uniform`: every layer keeps the same sizes; `adaptive`: each layer has its own. */
export type Shape = "uniform" | "adaptive";
/** What is done to the closing projections after the cut. */
export type Refit = "none" | "bias" | "lsq";
/** Who judges a module whose activations are unreliable: they do all the same, the weights, or a mixture. */
export type Switch = "none" | "magnitude" | "blend";

/** What makes the modules: the sensitivity of units, or chance, as a control that shows what sensitivity is worth. */
export type Grouping = "sensitivity" | "random";
/**
 * How much each module gives up: `equal`, the same share of every module; `joint`, whatever an order over the whole
 * layer takes from it.
 */
export type ModuleShares = "equal" | "joint";

/** What a plan is asked for. */
export interface PlanRequest {
  /** The method. */
  readonly method: Method;
  /** The base metric. */
  readonly metric: Metric;
  /** Removed parameters / parameters of all prunable units of the structures, 0 ≤ sparsity < 1. */
  readonly sparsity: number;
  /** The kinds of unit to cut. */
  readonly structures: readonly Structure[];
  /** Same sizes in all layers, or each its own. */
  readonly shape: Shape;
  /** Correction after the cut. */
  readonly refit: Refit;
  /** Modules per layer and kind, at most. */
  readonly modules: number;
  /** FFN widths are multiples of this. */
  readonly multiple: number;
  /** Who judges unreliable modules. */
  readonly switch: Switch;
  /** Domains whose activations give the base score; all if absent. */
  readonly scoreDomains?: readonly string[];
  /** What learned shares make small: the mean over domains, or the worst of them. */
  readonly objective: "mean" | "worst";
  /** Seed of the `random` metric. */
  readonly seed: number;
  /** Layers that are left whole. */
  readonly protectedLayers?: readonly number[];
  /** Layers that give up more or less than the learned damage says, by layer. */
  readonly layerBudgets?: readonly LayerBudget[];
  /** What makes the modules; `sensitivity` if absent. */
  readonly grouping?: Grouping;
  /** How much each module gives up; `joint` for `obs` and `equal` for other metrics if absent. */
  readonly moduleShares?: ModuleShares;
}

/**
 * A shift of budget to or from a layer: its predicted loss is divided by the factor before the budget is spent. Above
 * 1 more of the cut falls on the layer, below 1 less; the others make up for it.
 */
export interface LayerBudget {
  /** Counted from 0. */
  readonly layer: number;
  /** Above 0. */
  readonly factor: number;
}

/** What stays of one layer; unit numbers ascending. */
export interface LayerPlan {
  /** Counted from 0. */
  readonly layer: number;
  /** FFN neurons that stay. */
  readonly ffnKept: readonly number[];
  /** KV groups (key/value heads) that stay. */
  readonly keyValueHeadsKept: readonly number[];
}

/** One module: units of one layer and kind that behave alike across domains. */
export interface ModuleReport {
  /** Counted from 0. */
  readonly layer: number;
  /** The kind of unit. */
  readonly structure: Structure;
  /** Counted from 0, from the most robust to the most sensitive. */
  readonly module: number;
  /** Units in it. */
  readonly units: number;
  /** Units that stay. */
  readonly kept: number;
  /** Mean over units of the standard deviation of their rank between domains (METHOD 3), 0 to 0.5. */
  readonly sensitivity: number;
  /** Mean Spearman correlation of ranks between domains inside the module, -1 to 1. */
  readonly reliability: number;
  /** What ranked its units: `activation`, `magnitude` or `blend`. */
  readonly source: "activation" | "magnitude" | "blend";
  /** Share of its units removed. */
  readonly sparsity: number;
}

/** Which units stay, and how that was decided. */
export interface Plan {
  /** Name and version of the file format. */
  readonly schema: "gprune.plan/1";
  /** The model it belongs to. */
  readonly model: {
    readonly source: string;
    readonly fingerprint: string;
    readonly layers: readonly LayerShape[];
  };
  /** What was asked for. */
  readonly request: PlanRequest;
  /** One entry per layer. */
  readonly layers: readonly LayerPlan[];
  /** All modules, by layer, kind and number. */
  readonly modules: readonly ModuleReport[];
  /** What it comes to. */
  readonly result: {
    /** Removed / prunable parameters. */
    readonly sparsity: number;
    /** Parameters of all prunable units of the structures before. */
    readonly prunableBefore: number;
    /** The same after. */
    readonly prunableAfter: number;
  };
}
