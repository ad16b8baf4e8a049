/**
 * Orders that are kept: what a plan is made of does not depend on the sparsity, so that many plans from one set of
 * statistics need it but once.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import type { Structure } from "../model/types.ts";
import { damageOf } from "./make_plan.ts";
import { type UnitOrder, unitOrder } from "./order.ts";
import type { PlanRequest } from "./types.ts";

/** Orders kept for so many different requests; each takes some numbers per unit. */
const requestsKept = 6;

/** Removal orders of one set of statistics and the damage that they are predicted to do. */
export class OrderCache {
  readonly #statistics: Statistics;
  readonly #orders = new Map<string, Map<string, UnitOrder>>();
  readonly #damage = new WeakMap<UnitOrder, Float64Array>();
  readonly #perDomain = new WeakMap<UnitOrder, readonly Float64Array[]>();

  /**
   * Starts empty.
   *
   * @param statistics What all plans will be made of
   */
  constructor(statistics: Statistics) {
    this.#statistics = statistics;
  }

  /**
   * An order, made at the first call.
   *
   * @param layer Counted from 0
   * @param structure The kind of unit
   * @param request What is asked for
   * @returns The order
   * @throws {StatisticsError} if the metric needs Gram matrices that the statistics lack
   */
  order(layer: number, structure: Structure, request: PlanRequest): UnitOrder {
    const known = this.#ordersFor(request);
    const key = `${layer} ${structure}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const made = unitOrder(this.#statistics, layer, structure, request);
    known.set(key, made);
    return made;
  }

  /**
   * The predicted damage of an order, made at the first call.
   *
   * @param order An order that this cache gave
   * @returns Nats per token, `[units + 1]`
   */
  damage(order: UnitOrder): Float64Array {
    const found = this.#damage.get(order);
    if (found !== undefined) return found;
    const made = damageOf(order, this.#statistics.learned);
    this.#damage.set(order, made);
    return made;
  }

  /**
   * The predicted damage of an order on every learned domain by itself, made at the first call.
   *
   * @param order An order that this cache gave
   * @returns Nats per token, `[domains][units + 1]`; none where nothing was learned
   */
  damagePerDomain(order: UnitOrder): readonly Float64Array[] {
    const found = this.#perDomain.get(order);
    if (found !== undefined) return found;
    const { learned } = this.#statistics;
    const made = (learned?.domains ?? []).map((_, domain, all) =>
      damageOf(order, learned, all.map((_, d) => d === domain ? 1 : 0))
    );
    this.#perDomain.set(order, made);
    return made;
  }

  /**
   * The layers and kinds whose orders a request still lacks: each takes tens of milliseconds where layers are wide.
   *
   * @param request What is asked for
   * @returns Layers and kinds
   */
  missing(
    request: PlanRequest,
  ): readonly { readonly layer: number; readonly structure: Structure }[] {
    const known = this.#ordersFor(request);
    return this.#statistics.layers.flatMap((_, layer) =>
      request.structures
        .filter((structure) => !known.has(`${layer} ${structure}`))
        .map((structure) => ({ layer, structure }))
    );
  }

  #ordersFor(request: PlanRequest): Map<string, UnitOrder> {
    const { method, metric, refit, modules, scoreDomains, seed } = request;
    // The refit decides which error counts.
    const key = JSON.stringify([
      method,
      metric,
      refit,
      modules,
      request.switch,
      request.grouping,
      request.moduleShares,
      scoreDomains,
      seed,
    ]);
    const known = this.#orders.get(key) ?? new Map<string, UnitOrder>();
    // Used last, dropped last.
    this.#orders.delete(key);
    this.#orders.set(key, known);
    const [oldest] = this.#orders.keys();
    if (this.#orders.size > requestsKept) this.#orders.delete(oldest);
    return known;
  }
}
