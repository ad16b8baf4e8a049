/**
 * Making a plan: from statistics to the units that stay. Pure: no files, no engine, milliseconds.
 * @module
 */
import type { DamageCurve, LearnedDamage, Statistics } from "../calibrate/types.ts";
import { PlanError, StatisticsError } from "../errors.ts";
import type { Model, Structure } from "../model/types.ts";
import {
  loadsInStockClass,
  prunableParameters,
  unitCount,
  unitParameters,
} from "../model/units.ts";
import { allocate, type Prospect } from "./allocate.ts";
import { allocateUniformly, uniformChoices } from "./allocate_uniformly.ts";
import { predictDamage } from "./damage.ts";
import type { OrderCache } from "./order_cache.ts";
import { scoreDomains, type UnitOrder, unitOrder } from "./order.ts";
import { type PlanOptions, resolveRequest } from "./request.ts";
import type { LayerPlan, ModuleReport, Plan, PlanRequest } from "./types.ts";
import { domainWeights } from "./weights.ts";

/** How many units each layer and kind gives up: one number per order, in the orders' order. */
export type Removals = readonly number[];

/**
 * Decides which units stay.
 *
 * @param model The model (only its description is looked at)
 * @param statistics What calibration found
 * @param options What is asked for; the rest takes the method's defaults
 * @returns The plan
 * @throws {OptionError} if an option makes no sense
 * @throws {StatisticsError} if the statistics belong to another model, or lack what the metric needs
 * @throws {PlanError} if the sparsity cannot be reached
 */
export function makePlan(model: Model, statistics: Statistics, options: PlanOptions = {}): Plan {
  const draft = draftPlan(model, statistics, options);
  return finishPlan(draft, draft.removals);
}

/** A plan whose allocation can still be changed. */
export interface PlanDraft {
  /** The model that it is for. */
  readonly model: Model;
  /** What is asked for. */
  readonly request: PlanRequest;
  /** The removal order of every layer and kind that may be cut. */
  readonly orders: readonly UnitOrder[];
  /** What each of them can give up, and the predicted cost. */
  readonly prospects: readonly Prospect[];
  /** Units that each of them gives up. */
  readonly removals: Removals;
}

/**
 * Orders units and allocates the budget, without choosing yet; see {@linkcode makePlan}.
 *
 * @param model The model
 * @param statistics What calibration found
 * @param options What is asked for
 * @param cache Orders of plans made before, where many are made of the same statistics
 * @returns The draft
 * @throws {OptionError} if an option makes no sense
 * @throws {StatisticsError} if the statistics do not fit
 * @throws {PlanError} if the sparsity cannot be reached
 */
export function draftPlan(
  model: Model,
  statistics: Statistics,
  options: PlanOptions = {},
  cache?: OrderCache,
): PlanDraft {
  if (statistics.model.fingerprint !== model.fingerprint) {
    throw new StatisticsError(
      `Cannot plan for '${model.source}' with statistics of '${statistics.model.source}': they belong to another model`,
    );
  }
  const shapeFault = shapesFault(statistics, model);
  if (shapeFault !== undefined) {
    throw new StatisticsError(
      `Cannot plan for '${model.source}' with these statistics: ${shapeFault}; calibrate again`,
    );
  }
  const request = resolveRequest(options, model.architecture.layers);
  const orders = model.architecture.layers.flatMap((_, layer) =>
    request.structures.map((structure) =>
      cache?.order(layer, structure, request) ?? unitOrder(statistics, layer, structure, request)
    )
  );
  const prospects = orders.map((order) => {
    const damage = cache?.damage(order) ?? damageOf(order, statistics.learned);
    return prospectOf(model, request, { ...order, damage: shifted(damage, order.layer, request) });
  });
  const budget = prunableBudget(model, request);
  return {
    model,
    request,
    orders,
    prospects,
    removals: allocation(request, orders, prospects, budget, statistics.learned),
  };
}

/** Whether statistics that claim to be of a model have its layers; they may come out of a file. */
function shapesFault(statistics: Statistics, model: Model): string | undefined {
  const shapes = model.architecture.layers;
  const own = statistics.model.layers;
  if (own.length !== shapes.length || statistics.layers.length !== shapes.length) {
    return `they have ${statistics.layers.length} layers, and the model has ${shapes.length}`;
  }
  const strange = shapes.findIndex((shape, layer) =>
    own[layer].ffnWidth !== shape.ffnWidth || own[layer].queryHeads !== shape.queryHeads ||
    own[layer].keyValueHeads !== shape.keyValueHeads
  );
  return strange < 0 ? undefined : `their layer ${strange} has other sizes than the model's`;
}

/**
 * Chooses the units of a draft.
 *
 * @param draft The draft
 * @param removals Units that each order gives up
 * @returns The plan
 */
export function finishPlan(draft: PlanDraft, removals: Removals): Plan {
  const { model, request, orders } = draft;
  const kept = new Map(orders.map((order, index) => [
    `${order.layer} ${order.structure}`,
    // Typed arrays sort numbers without a comparison function, many times faster.
    Array.from(order.order.slice(removals[index]).sort()),
  ]));
  const shapes = model.architecture.layers;
  const keptOf = (layer: number, structure: Structure) =>
    kept.get(`${layer} ${structure}`) ??
      Array.from({ length: unitCount(shapes[layer], structure) }, (_, unit) => unit);
  const layers: readonly LayerPlan[] = shapes.map((_, layer) => ({
    layer,
    ffnKept: keptOf(layer, "ffn"),
    keyValueHeadsKept: keptOf(layer, "heads"),
  }));
  const before = prunable(model, request.structures);
  const removed = orders.reduce(
    (sum, order, index) =>
      sum +
      removals[index] *
        unitParameters(model.architecture, model.architecture.layers[order.layer], order.structure),
    0,
  );
  return {
    schema: "gprune.plan/1",
    model: { source: model.source, fingerprint: model.fingerprint, layers: shapes },
    request,
    layers,
    modules: orders.flatMap((order) => moduleReports(order, keptOf(order.layer, order.structure))),
    result: {
      sparsity: before === 0 ? 0 : removed / before,
      prunableBefore: before,
      prunableAfter: before - removed,
    },
  };
}

/**
 * Checks, before any work, that a request can be met: that enough units can go, whatever they cost.
 *
 * @param model The model
 * @param request What is asked for
 * @param domains Names of the calibration's domains
 * @throws {PlanError} if the sparsity cannot be reached
 * @throws {OptionError} if a score domain is unknown
 */
export function requireReachable(
  model: Model,
  request: PlanRequest,
  domains: readonly string[],
): void {
  scoreDomains(domains, request);
  const all = model.architecture.layers.flatMap((shape, layer) =>
    request.structures.map((structure) => {
      const damage = new Float64Array(unitCount(shape, structure) + 1);
      return {
        layer,
        structure,
        prospect: prospectOf(model, request, { layer, structure, damage }),
      };
    })
  );
  const budget = prunableBudget(model, request);
  if (isAdaptive(request)) return void allocate(all.map(({ prospect }) => prospect), budget);
  allocateUniformly(
    request.structures.map((structure) =>
      all.filter((each) => each.structure === structure).map(({ prospect }) => prospect)
    ),
    budget,
  );
}

/** Only these allocate more to one layer than to another; the other baselines are uniform as published. */
function isAdaptive(request: PlanRequest): boolean {
  return request.shape === "adaptive" && ["gprune", "flap"].includes(request.method);
}

/**
 * The parameters that a request removes.
 *
 * @param model The model
 * @param request What is asked for
 * @returns Sparsity × parameters of all units of its structures
 */
export function prunableBudget(model: Model, request: PlanRequest): number {
  return request.sparsity * prunable(model, request.structures);
}

function prunable(model: Model, structures: readonly Structure[]): number {
  const parameters = prunableParameters(model.architecture);
  return structures.reduce((sum, structure) => sum + parameters[structure], 0);
}

function prospectOf(
  model: Model,
  request: PlanRequest,
  part: { readonly layer: number; readonly structure: Structure; readonly damage: Float64Array },
): Prospect {
  const { layer, structure, damage } = part;
  const shape = model.architecture.layers[layer];
  const units = unitCount(shape, structure);
  const isProtected = request.protectedLayers?.includes(layer) ?? false;
  const multiple = structure === "ffn" ? Math.min(request.multiple, units) : 1;
  return {
    units,
    unitParameters: unitParameters(model.architecture, shape, structure),
    damage,
    multiple,
    minimumKept: isProtected ? units : multiple,
    ...(structure === "heads" && request.shape === "uniform"
      ? { mayKeep: (kept: number) => loadsInStockClass(model.architecture, shape, kept) }
      : {}),
  };
}

/** The damage that allocation sees of a layer whose budget is shifted. */
function shifted(damage: Float64Array, layer: number, request: PlanRequest): Float64Array {
  const factor = request.layerBudgets?.find((budget) => budget.layer === layer)?.factor;
  return factor === undefined ? damage : damage.map((loss) => loss / factor);
}

/**
 * The loss that each prefix of an order is predicted to add.
 *
 * @param order The order
 * @param learned What was measured, if anything
 * @param weights How much each of its domains counts; by default as everywhere
 * @returns Nats per token, `[units + 1]`
 */
export function damageOf(
  order: UnitOrder,
  learned: LearnedDamage | undefined,
  weights?: readonly number[],
): Float64Array {
  const curves = nearestCurves(order, learned);
  if (learned === undefined || curves.length === 0) return predictDamage(order, undefined);
  const shares = weights ?? domainWeights(learned.domains);
  const predictions = curves.map((curve) =>
    predictDamage(
      order,
      curve,
      curve.damagePerDomain.map((row) => row.reduce((sum, loss, d) => sum + shares[d] * loss, 0)),
    )
  );
  return blend(predictions, curves.map(({ layer }) => 1 / Math.abs(layer - order.layer)));
}

/** The layer's own curve; where it was not measured, those of the nearest layers before and after it. */
function nearestCurves(
  { layer, structure }: UnitOrder,
  learned: LearnedDamage | undefined,
): readonly DamageCurve[] {
  const own = (learned?.curves ?? []).filter((curve) => curve.structure === structure);
  const exact = own.filter((curve) => curve.layer === layer);
  if (exact.length > 0) return exact.slice(0, 1);
  const before = own.filter((curve) => curve.layer < layer).sort((a, b) => b.layer - a.layer);
  const after = own.filter((curve) => curve.layer > layer).sort((a, b) => a.layer - b.layer);
  return [...before.slice(0, 1), ...after.slice(0, 1)];
}

/** The weighted geometric mean, since losses of neighbours differ by factors. */
function blend(
  predictions: readonly Float64Array[],
  weights: readonly number[],
): Float64Array {
  if (predictions.length === 1) return predictions[0];
  const total = weights.reduce((a, b) => a + b, 0);
  return predictions[0].map((_, k) =>
    Math.exp(
      predictions.reduce((sum, damage, at) => sum + weights[at] * Math.log(damage[k]), 0) / total,
    )
  );
}

function allocation(
  request: PlanRequest,
  orders: readonly UnitOrder[],
  prospects: readonly Prospect[],
  budget: number,
  learned: LearnedDamage | undefined,
): Removals {
  if (!isAdaptive(request)) {
    return uniformAllocation(request, orders, prospects, budget);
  }
  if (request.method === "flap") {
    return allocate(prospects.map((prospect, i) => globalThreshold(prospect, orders[i])), budget);
  }
  if (request.objective === "worst" && learned !== undefined) {
    return worstCase(request, orders, prospects, budget, learned);
  }
  return allocate(prospects, budget);
}

function uniformAllocation(
  request: PlanRequest,
  orders: readonly UnitOrder[],
  prospects: readonly Prospect[],
  budget: number,
): Removals {
  const share = request.method === "gprune" ? undefined : request.sparsity;
  const removed = allocateUniformly(perKind(request, orders, prospects), budget, share);
  return everywhere(request, orders, removed);
}

/**
 * The ways to meet a draft's budget in the uniform shape, the least predicted loss first.
 *
 * @param draft A draft in the uniform shape
 * @returns What each order gives up, for every way
 */
export function uniformAlternatives(draft: PlanDraft): readonly Removals[] {
  const { model, request, orders, prospects } = draft;
  return uniformChoices(perKind(request, orders, prospects), prunableBudget(model, request))
    .toSorted((a, b) => a.damage - b.damage)
    .map(({ removed }) => everywhere(request, orders, removed));
}

function perKind(
  request: PlanRequest,
  orders: readonly UnitOrder[],
  prospects: readonly Prospect[],
): readonly (readonly Prospect[])[] {
  return request.structures.map((structure) =>
    prospects.filter((_, index) => orders[index].structure === structure)
  );
}

function everywhere(
  request: PlanRequest,
  orders: readonly UnitOrder[],
  removed: readonly number[],
): Removals {
  return orders.map(({ structure }) => removed[request.structures.indexOf(structure)]);
}

/**
 * FLAP's allocation (arXiv 2312.11983): scores standardised per layer and kind, one threshold for all. Its threshold
 * looks at scores, not at scores per parameter, so the slope of this stand-in for damage is the score itself.
 */
function globalThreshold(prospect: Prospect, order: UnitOrder): Prospect {
  const { scores } = order;
  const mean = scores.reduce((a, b) => a + b, 0) / scores.length;
  const deviation = Math.sqrt(
    scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length,
  ) || 1;
  const damage = new Float64Array(scores.length + 1);
  // The constant keeps slopes positive and changes no comparison.
  order.order.forEach((unit, index) => {
    const standardised = (scores[unit] - mean) / deviation + 1e3;
    damage[index + 1] = damage[index] + standardised * prospect.unitParameters;
  });
  return { ...prospect, damage };
}

/**
 * Makes the worst domain's predicted loss small: domains that lose most gain weight, round by round (multiplicative
 * weights), and the best round is kept.
 */
function worstCase(
  request: PlanRequest,
  orders: readonly UnitOrder[],
  prospects: readonly Prospect[],
  budget: number,
  learned: LearnedDamage,
): Removals {
  const domains = learned.domains.length;
  const single = learned.domains.map((_, domain) =>
    orders.map((order) => {
      const damage = damageOf(order, learned, learned.domains.map((_, d) => d === domain ? 1 : 0));
      return shifted(damage, order.layer, request);
    })
  );
  let weights: readonly number[] = learned.domains.map(() => 1 / domains);
  let best: { readonly removals: Removals; readonly worst: number } | undefined;
  for (let round = 0; round < 12; round++) {
    const weighted = prospects.map((prospect, i) => ({
      ...prospect,
      damage: prospect.damage.length === 0
        ? prospect.damage
        : Float64Array.from(prospect.damage, (_, k) =>
          weights.reduce((sum, weight, d) => sum + weight * single[d][i][k], 0)),
    }));
    const removals = allocate(weighted, budget);
    const losses = single.map((curves) =>
      curves.reduce((sum, curve, i) => sum + curve[removals[i]], 0)
    );
    const worst = Math.max(...losses);
    if (best === undefined || worst < best.worst) best = { removals, worst };
    const scaled = weights.map((weight, d) => weight * Math.exp(losses[d] / (worst || 1)));
    const sum = scaled.reduce((a, b) => a + b, 0);
    weights = scaled.map((weight) => weight / sum);
  }
  if (best === undefined) throw new PlanError("Cannot plan for the worst domain: there is none");
  return best.removals;
}

function moduleReports(order: UnitOrder, kept: readonly number[]): readonly ModuleReport[] {
  const stays = new Uint8Array(order.order.length);
  for (const unit of kept) stays[unit] = 1;
  return order.modules.map((module, index) => {
    const units = module.members.length;
    const left = module.members.reduce((sum, unit) => sum + stays[unit], 0);
    return {
      layer: order.layer,
      structure: order.structure,
      module: index,
      units,
      kept: left,
      sensitivity: module.sensitivity,
      reliability: module.reliability,
      source: module.source,
      sparsity: 1 - left / units,
    };
  });
}
