/**
 * Removal orders: which unit of a layer goes first, second, … and the output error that this leaves.
 * @module
 */
import type { KindStatistics, Statistics } from "../calibrate/types.ts";
import type { Structure } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import { OptionError, StatisticsError } from "../errors.ts";
import {
  balancedMoments,
  channelScores,
  type Moments,
  pooledMoments,
  unitScores,
} from "./metrics.ts";
import { groupModules, type UnitModule } from "./modules.ts";
import { ascending } from "./ranks.ts";
import type { PlanRequest } from "./types.ts";
import { domainWeights } from "./weights.ts";

/** The order in which the units of one layer and kind go. */
export interface UnitOrder {
  /** Counted from 0. */
  readonly layer: number;
  /** The kind of unit. */
  readonly structure: Structure;
  /** Unit numbers, first to go first. */
  readonly order: Int32Array;
  /** Relative output error after the first k, `[units + 1]`, never falling. */
  readonly relativeError: Float64Array;
  /** The modules of these units. */
  readonly modules: readonly UnitModule[];
  /** Scores by the base metric over the score domains, `[units]`. */
  readonly scores: Float64Array;
}

/**
 * The order of one layer and kind under a request.
 *
 * `gprune` weighs domains so that each counts alike and `self` counts half, groups units into modules by sensitivity,
 * and lets units compete inside their module: with cheap metrics every module gives up the same share; with `obs` the
 * exact joint output error decides what each module gives up (`moduleShares` turns either into the other).
 * Baselines rank the whole layer by their published metric on the given texts taken together.
 *
 * @param statistics Statistics of the whole model
 * @param layer Counted from 0
 * @param structure The kind of unit
 * @param request What is asked for
 * @returns The order
 * @throws {OptionError} if `scoreDomains` names a domain that the statistics lack
 * @throws {StatisticsError} if the metric needs Gram matrices that the statistics lack
 */
export function unitOrder(
  statistics: Statistics,
  layer: number,
  structure: Structure,
  request: PlanRequest,
): UnitOrder {
  const kind = statistics.layers[layer][structure];
  const units = unitCount(statistics.model.layers[layer], structure);
  const seed = `${request.seed} random ${layer} ${structure}`;
  const names = statistics.domains.map((domain) => domain.name);
  const chosen = scoreDomains(names, request);
  const weights = domainWeights(chosen.map((index) => names[index]));
  const sums = chosen.map((index) => kind.domains[index]);
  const moments = request.method === "gprune"
    ? balancedMoments(sums, weights)
    : pooledMoments(sums);
  const scores = unitScores(channelScores(request.metric, kind, moments, seed), units);
  const perDomain = kind.domains.map((domain) =>
    unitScores(channelScores(request.metric, kind, pooledMoments([domain]), seed), units)
  );
  const chance = request.grouping === "random" ? `${seed} modules` : undefined;
  const modules = groupModules(perDomain, request.modules, switchOf(request), chance);
  const common = { layer, structure, modules, scores };
  if (request.method !== "gprune") {
    const order = ascending(scores);
    return { ...common, order, relativeError: diagonalError(kind, moments, order) };
  }
  if (request.metric === "obs") {
    const obs = kind.obs;
    if (obs === undefined) {
      throw new StatisticsError(
        "Cannot rank by 'obs': these statistics were taken without Gram matrices; calibrate again with --metric obs, or choose another metric",
      );
    }
    requireOrdersFrom(statistics, request);
    const judged = localScores(kind, moments, modules, request);
    const order = request.moduleShares === "equal"
      ? equalShares(modules, scoresByPlace(obs.order, modules, judged))
      : rankInsideSlots(obs.order, modules, judged);
    const same = order.every((unit, index) => unit === obs.order[index]);
    const exact = request.refit === "lsq" ? obs.refittedError : obs.plainError;
    return { ...common, order, relativeError: same ? exact : diagonalError(kind, moments, order) };
  }
  const judged = localScores(kind, moments, modules, request, scores);
  const order = request.moduleShares === "joint"
    ? rankInsideSlots(ascending(scores), modules, judged)
    : equalShares(modules, judged);
  return { ...common, order, relativeError: diagonalError(kind, moments, order) };
}

/** Orders by `obs` are made once, when statistics are taken, from domains that a plan cannot change. */
function requireOrdersFrom({ orderDomains }: Statistics, { scoreDomains }: PlanRequest): void {
  if ((orderDomains ?? []).join() === (scoreDomains ?? []).toSorted().join()) return;
  const words = (domains: readonly string[] | undefined) => domains?.join(", ") ?? "all texts";
  throw new StatisticsError(
    `Cannot rank by 'obs' over ${words(scoreDomains)}: these statistics have its orders over ${
      words(orderDomains)
    }; calibrate with the same --score-domains, or choose another --metric`,
  );
}

function switchOf(request: PlanRequest): PlanRequest["switch"] {
  return request.method === "gprune" ? request.switch : "none";
}

/**
 * The domains that give the base score: those asked for, or all; the published methods leave out `self`.
 *
 * @param names Names of all domains
 * @param request What is asked for
 * @returns Their indices
 * @throws {OptionError} if a domain is unknown
 */
export function scoreDomains(names: readonly string[], request: PlanRequest): readonly number[] {
  if (request.scoreDomains === undefined) {
    const all = names.map((_, index) => index);
    // The published methods know nothing of text that the model wrote itself.
    const given = all.filter((index) => names[index] !== "self");
    return request.method === "gprune" || given.length === 0 ? all : given;
  }
  return request.scoreDomains.map((name) => {
    const index = names.indexOf(name);
    if (index < 0) {
      throw new OptionError(
        `Cannot score by domain '${name}': the calibration has ${names.join(", ")}`,
      );
    }
    return index;
  });
}

/** Scores that rank units inside their module, by the module's own judge. */
function localScores(
  kind: KindStatistics,
  moments: Moments,
  modules: readonly UnitModule[],
  request: PlanRequest,
  scores?: Float64Array,
): Float64Array | undefined {
  if (modules.every((module) => module.source === "activation")) return scores;
  const units = modules.reduce((sum, module) => sum + module.members.length, 0);
  const own = scores ?? unitScores(channelScores(request.metric, kind, moments, ""), units);
  const weights = unitScores(channelScores("magnitude", kind, moments, ""), units);
  const result = Float64Array.from(own);
  for (const module of modules) {
    const judged = module.source === "magnitude" ? weights : module.source === "blend"
      ? unitScores(
        channelScores(request.metric, kind, shrink(moments, module.reliability), ""),
        units,
      )
      : own;
    for (const unit of module.members) result[unit] = judged[unit];
  }
  return result;
}

/** E x² drawn towards its mean over channels by 1 - reliability (METHOD 5). */
function shrink(moments: Moments, trust: number): Moments {
  const keep = Math.min(1, Math.max(0, trust));
  const { mean, meanSquare } = moments;
  const centre = meanSquare.reduce((a, b) => a + b, 0) / meanSquare.length;
  return {
    mean: mean.map((value) => value * Math.sqrt(keep)),
    meanSquare: meanSquare.map((value) => keep * value + (1 - keep) * centre),
  };
}

/** Every module gives up the same share at every point of the order. */
function equalShares(
  modules: readonly UnitModule[],
  scores: Float64Array | undefined,
): Int32Array {
  const places: { readonly unit: number; readonly place: number }[] = [];
  for (const { members } of modules) {
    const local = ascending(Array.from(members, (unit) => scores![unit]));
    local.forEach((member, rank) =>
      places.push({ unit: members[member], place: (rank + 0.5) / members.length })
    );
  }
  return Int32Array.from(
    places.sort((a, b) => a.place - b.place || a.unit - b.unit),
    ({ unit }) => unit,
  );
}

/** The place in an order as the score of a unit, but for modules that have another judge. */
function scoresByPlace(
  order: Int32Array,
  modules: readonly UnitModule[],
  judged: Float64Array | undefined,
): Float64Array {
  const result = new Float64Array(order.length);
  order.forEach((unit, place) => result[unit] = place);
  for (const { members, source } of modules) {
    if (source === "activation" || judged === undefined) continue;
    for (const unit of members) result[unit] = judged[unit];
  }
  return result;
}

/** Keeps which module gives up a unit at each place of an order, but lets the module's judge say which unit. */
function rankInsideSlots(
  order: Int32Array,
  modules: readonly UnitModule[],
  scores: Float64Array | undefined,
): Int32Array {
  if (scores === undefined) return order;
  const moduleOf = new Int32Array(order.length);
  modules.forEach(({ members }, index) => members.forEach((unit) => moduleOf[unit] = index));
  const queues = modules.map(({ members, source }, index) =>
    source === "activation"
      ? order.filter((unit) => moduleOf[unit] === index)
      : ascending(Array.from(members, (unit) => scores[unit])).map((member) => members[member])
  );
  const next = new Int32Array(modules.length);
  return order.map((unit) => queues[moduleOf[unit]][next[moduleOf[unit]]++]);
}

/** Relative output error if channels were uncorrelated: Σ ‖W_:j‖² E x_j² over what is gone. */
function diagonalError(kind: KindStatistics, moments: Moments, order: Int32Array): Float64Array {
  const energy = unitScores(channelScores("rms", kind, moments, ""), order.length);
  const total = energy.reduce((a, b) => a + b, 0) || 1;
  const error = new Float64Array(order.length + 1);
  order.forEach((unit, index) => error[index + 1] = error[index] + energy[unit] / total);
  return error;
}
