/**
 * Requests: what a caller left open is filled in by the method's own defaults, and what makes no sense is refused.
 * @module
 */
import { OptionError } from "../errors.ts";
import { isUniform } from "../model/inspect.ts";
import type { LayerShape, Structure } from "../model/types.ts";
import type {
  Grouping,
  LayerBudget,
  Method,
  Metric,
  ModuleShares,
  PlanRequest,
  Refit,
  Shape,
  Switch,
} from "./types.ts";

/** All methods, this project's first. */
export const methods = ["gprune", "flap", "wanda-sp", "magnitude", "random"] as const;
/** Metrics that `gprune` can wrap. */
export const metrics = ["obs", "wanda-sp", "wifv", "rms", "magnitude", "random"] as const;
/** Kinds of unit. */
export const structures = ["ffn", "heads"] as const;
/** Shapes. */
export const shapes = ["uniform", "adaptive"] as const;
/** Refits. */
export const refits = ["none", "bias", "lsq"] as const;
/** Judges of unreliable modules. */
export const switches = ["none", "magnitude", "blend"] as const;
/** What can make modules. */
export const groupings = ["sensitivity", "random"] as const;
/** Ways to say how much each module gives up. */
export const moduleShares = ["equal", "joint"] as const;

/** What a caller may ask of a plan; everything is optional. */
export interface PlanOptions {
  /** Default `gprune`. */
  readonly method?: Method;
  /** Default `obs`; baselines have their own. */
  readonly metric?: Metric;
  /** Default 0.3. */
  readonly sparsity?: number;
  /** Default both. */
  readonly structures?: readonly Structure[];
  /** Default `uniform`; `adaptive` for `flap`, as published. */
  readonly shape?: Shape;
  /** Default `lsq`; baselines have their published one. */
  readonly refit?: Refit;
  /** Default 4. */
  readonly modules?: number;
  /** Default 1 for small models, else 32. */
  readonly multiple?: number;
  /** Default `none`. */
  readonly switch?: Switch;
  /** Default all. */
  readonly scoreDomains?: readonly string[];
  /** Default `mean`. */
  readonly objective?: "mean" | "worst";
  /** Default 0. */
  readonly seed?: number;
  /** Default none. */
  readonly protectedLayers?: readonly number[];
  /** Default none: see {@linkcode LayerBudget}. */
  readonly layerBudgets?: readonly LayerBudget[];
  /** What makes the modules, for ablations. Default `sensitivity`. */
  readonly grouping?: Grouping;
  /** How much each module gives up, for ablations. Default `joint` for `obs`, else `equal`. */
  readonly moduleShares?: ModuleShares;
}

const ownMetric: Readonly<Record<Method, Metric>> = {
  "gprune": "obs",
  "flap": "wifv",
  "wanda-sp": "wanda-sp",
  "magnitude": "magnitude",
  "random": "random",
};
const ownRefit: Readonly<Record<Method, Refit>> = {
  "gprune": "lsq",
  "flap": "bias",
  "wanda-sp": "none",
  "magnitude": "none",
  "random": "none",
};

/**
 * Fills in what a caller left open.
 *
 * @param options What was asked for
 * @param layers Sizes of the model's layers
 * @returns A complete request
 * @throws {OptionError} if a value or a combination makes no sense
 * @example
 * ```ts
 * import { resolveRequest } from "./request.ts";
 * const layers = [{ ffnWidth: 576, keyValueHeads: 3, queryHeads: 6 }];
 * console.log(resolveRequest({ method: "flap" }, layers).refit); // bias
 * ```
 */
export function resolveRequest(
  options: PlanOptions,
  layers: readonly LayerShape[],
): PlanRequest {
  const method = options.method ?? "gprune";
  const request: PlanRequest = {
    method,
    metric: method === "gprune" ? options.metric ?? "obs" : ownMetric[method],
    sparsity: options.sparsity ?? 0.3,
    structures: structures.filter((structure) =>
      (options.structures ?? structures).includes(structure)
    ),
    shape: options.shape ?? (method === "flap" ? "adaptive" : "uniform"),
    refit: options.refit ?? ownRefit[method],
    modules: options.modules ?? 4,
    multiple: options.multiple ?? defaultMultiple(layers),
    switch: options.switch ?? "none",
    scoreDomains: options.scoreDomains,
    objective: options.objective ?? "mean",
    seed: options.seed ?? 0,
    protectedLayers: options.protectedLayers,
    layerBudgets: options.layerBudgets?.toSorted((a, b) => a.layer - b.layer),
    grouping: options.grouping,
    moduleShares: options.moduleShares,
  };
  check(request, layers);
  checkBudgets(request, layers);
  if (method !== "gprune" && options.metric !== undefined && options.metric !== request.metric) {
    throw new OptionError(
      `Cannot use --metric ${options.metric} with --method ${method}, which has its own; leave it out, or use --method gprune`,
    );
  }
  return request;
}

/**
 * The processor's kernels do not mind odd widths (bench/SPEED.md: 683 neurons are as fast as 672 to 704), but blocks of
 * 32 numbers do: a row of `down_proj` that ends within one falls back to f16 in GGUF and is filled up in ONNX. Small
 * widths would be cut too coarsely.
 */
function defaultMultiple(layers: readonly LayerShape[]): number {
  return layers.every(({ ffnWidth }) => ffnWidth >= 1024 && ffnWidth % 32 === 0) ? 32 : 1;
}

function checkBudgets(
  { layerBudgets = [], shape, method }: PlanRequest,
  layers: readonly LayerShape[],
): void {
  if (layerBudgets.length === 0) return;
  if (shape === "uniform" || method !== "gprune") {
    throw new OptionError(
      "Cannot shift budget between layers: that takes --method gprune and --shape adaptive",
    );
  }
  for (const { layer, factor } of layerBudgets) {
    if (layers[layer] === undefined) {
      throw new OptionError(
        `Cannot shift budget to layer ${layer}: the model has layers 0 to ${layers.length - 1}`,
      );
    }
    if (!(factor > 0 && Number.isFinite(factor))) {
      throw new OptionError(
        `Cannot shift budget to layer ${layer} by ${factor}: give a factor above 0`,
      );
    }
  }
  if (new Set(layerBudgets.map(({ layer }) => layer)).size < layerBudgets.length) {
    throw new OptionError("Cannot shift budget to one layer twice: give one factor a layer");
  }
}

function check(request: PlanRequest, layers: readonly LayerShape[]): void {
  const { sparsity, modules, multiple, shape, protectedLayers } = request;
  if (!(sparsity >= 0 && sparsity < 1)) {
    throw new OptionError(
      `Cannot prune to sparsity ${sparsity}: give a number from 0 up to but not including 1`,
    );
  }
  if (request.structures.length === 0) {
    throw new OptionError("Cannot prune nothing: give --structures ffn, heads, or both");
  }
  for (const [name, value] of [["modules", modules], ["multiple", multiple]] as const) {
    if (!Number.isInteger(value) || value < 1) {
      throw new OptionError(`Cannot use --${name} ${value}: give a whole number from 1`);
    }
  }
  if (shape === "uniform" && !isUniform(layers)) {
    throw new OptionError(
      "Cannot cut layers of different sizes to the same sizes: this model is adaptive already; use --shape adaptive",
    );
  }
  if (protectedLayers === undefined || protectedLayers.length === 0) return;
  if (shape === "uniform") {
    throw new OptionError(
      "Cannot leave single layers whole in the uniform shape: use --shape adaptive",
    );
  }
  const stranger = protectedLayers.find((layer) => layers[layer] === undefined);
  if (stranger !== undefined) {
    throw new OptionError(
      `Cannot protect layer ${stranger}: the model has layers 0 to ${layers.length - 1}`,
    );
  }
}
