/**
 * Plans as fast as keys are pressed: orders are kept, and made in slices where they are not there yet.
 * @module
 */
import type { Statistics } from "../../calibrate/types.ts";
import type { Model } from "../../model/types.ts";
import { parameterCount, withUnits } from "../../model/units.ts";
import { draftPlan, finishPlan, type PlanDraft } from "../../plan/make_plan.ts";
import { OrderCache } from "../../plan/order_cache.ts";
import type { Plan, PlanRequest } from "../../plan/types.ts";
import { breathe } from "../../progress.ts";
import { predictedLosses } from "./predict.ts";

/** What a request comes to, as far as that can be known without running the model. */
export interface Outlook {
  /** Nats per token added, for each learned domain; none where nothing was learned. */
  readonly losses: readonly number[];
  /** Parameters left. */
  readonly parameters: number;
  /** Why there is no plan. */
  readonly problem?: string;
}

/** Outlooks kept; each is a few numbers. */
const outlooksKept = 2000;

/** Makes plans from one set of statistics. */
export class Planner {
  readonly #model: Model;
  readonly #statistics: Statistics;
  readonly #cache: OrderCache;
  readonly #outlooks = new Map<string, Outlook>();

  /**
   * Starts with nothing made.
   *
   * @param model The model
   * @param statistics Its statistics; Gram matrices are not looked at
   */
  constructor(model: Model, statistics: Statistics) {
    this.#model = model;
    this.#statistics = statistics;
    this.#cache = new OrderCache(statistics);
  }

  /** Names of the domains that losses are told for. */
  get domains(): readonly string[] {
    return this.#statistics.learned?.domains ?? [];
  }

  /**
   * Orders that are still to be made before a plan is a matter of milliseconds.
   *
   * @param request What is asked for
   * @returns Their number
   */
  missing(request: PlanRequest): number {
    return this.#cache.missing(request).length;
  }

  /**
   * Makes the orders that a request needs, one layer and kind at a time, letting keys in between.
   *
   * @param request What is asked for
   * @param options Cancelling, and what is told after each order
   * @throws {CancelledError} if cancelled
   */
  async prepare(
    request: PlanRequest,
    options: {
      readonly signal?: AbortSignal;
      readonly onOrder?: (done: number, total: number) => void;
    } = {},
  ): Promise<void> {
    const missing = this.#cache.missing(request);
    for (const [index, { layer, structure }] of missing.entries()) {
      await breathe(options.signal);
      const order = this.#cache.order(layer, structure, request);
      this.#cache.damage(order);
      this.#cache.damagePerDomain(order);
      options.onOrder?.(index + 1, missing.length);
    }
  }

  /**
   * The plan of a request: that of `makePlan`.
   *
   * @param request What is asked for
   * @returns The plan
   * @throws {PlanError} if the sparsity cannot be reached
   */
  plan(request: PlanRequest): Plan {
    const draft = draftPlan(this.#model, this.#statistics, request, this.#cache);
    this.#keep(request, this.#outlookOf(draft));
    return finishPlan(draft, draft.removals);
  }

  /**
   * What a request comes to.
   *
   * @param request What is asked for
   * @returns Predicted losses and sizes
   */
  outlook(request: PlanRequest): Outlook {
    const known = this.known(request);
    if (known !== undefined) return known;
    try {
      const draft = draftPlan(this.#model, this.#statistics, request, this.#cache);
      return this.#keep(request, this.#outlookOf(draft));
    } catch (error) {
      const { parameters } = this.#model;
      return this.#keep(request, { losses: [], parameters, problem: (error as Error).message });
    }
  }

  /**
   * What a request comes to, if that was looked at before.
   *
   * @param request What is asked for
   * @returns Predicted losses and sizes, or undefined
   */
  known(request: PlanRequest): Outlook | undefined {
    return this.#outlooks.get(JSON.stringify(request));
  }

  /**
   * Looks at requests one after the other, letting keys in between.
   *
   * @param requests What is asked for
   * @param signal Cancels it
   * @throws {CancelledError} if cancelled
   */
  async lookAhead(requests: readonly PlanRequest[], signal: AbortSignal): Promise<void> {
    for (const request of requests) {
      if (this.known(request) !== undefined) continue;
      await breathe(signal);
      this.outlook(request);
    }
  }

  #keep(request: PlanRequest, outlook: Outlook): Outlook {
    if (this.#outlooks.size >= outlooksKept) this.#outlooks.clear();
    this.#outlooks.set(JSON.stringify(request), outlook);
    return outlook;
  }

  #outlookOf(draft: PlanDraft): Outlook {
    const { architecture, parameters } = this.#model;
    const layers = [...architecture.layers];
    draft.orders.forEach(({ layer, structure, order }, index) => {
      layers[layer] = withUnits(layers[layer], structure, order.length - draft.removals[index]);
    });
    const removed = parameterCount(architecture) - parameterCount(architecture, layers);
    const damage = draft.orders.map((order) => this.#cache.damagePerDomain(order));
    return { losses: predictedLosses(draft, damage), parameters: parameters - removed };
  }
}
