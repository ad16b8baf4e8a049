import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { draftPlan, finishPlan, makePlan } from "../../core/plan/make_plan.ts";
import type { Plan } from "../../core/plan/types.ts";
import { OrderCache } from "../../core/plan/order_cache.ts";
import { type PlanOptions, resolveRequest } from "../../core/plan/request.ts";
import { largeModel, largeStatistics } from "../helpers/large-statistics.ts";

const small = largeModel({ layers: 3, ffnWidth: 240, heads: 4 });
const smallStatistics = largeStatistics(small);

function cachedPlan(options: PlanOptions, cache: OrderCache): Plan {
  const draft = draftPlan(small, smallStatistics, options, cache);
  return finishPlan(draft, draft.removals);
}

/** Not every sparsity can be met with whole KV groups; both ways must then say the same. */
function outcomeOf(make: () => unknown): unknown {
  try {
    return make();
  } catch (error) {
    return String(error);
  }
}

const options: fc.Arbitrary<PlanOptions> = fc.record({
  method: fc.constantFrom("gprune", "flap", "wanda-sp", "random"),
  sparsity: fc.integer({ min: 0, max: 80 }).map((percent) => percent / 100),
  structures: fc.constantFrom(["ffn", "heads"], ["ffn"]),
  shape: fc.constantFrom("uniform", "adaptive"),
  refit: fc.constantFrom("none", "lsq"),
  modules: fc.constantFrom(1, 2, 4),
  seed: fc.integer({ min: 0, max: 3 }),
  objective: fc.constantFrom("mean", "worst"),
}) as fc.Arbitrary<PlanOptions>;

Deno.test("draftPlan() with a cache of orders gives the plans of makePlan()", () => {
  const cache = new OrderCache(smallStatistics);
  fc.assert(
    fc.property(options, (each) => {
      assertEquals(
        outcomeOf(() => cachedPlan(each, cache)),
        outcomeOf(() => makePlan(small, smallStatistics, each)),
      );
    }),
    { numRuns: 30 },
  );
});

Deno.test("OrderCache.missing() names what the first plan makes, whatever the sparsity", () => {
  const cache = new OrderCache(smallStatistics);
  const { layers } = small.architecture;
  const request = resolveRequest({ sparsity: 0.3, structures: ["ffn"] }, layers);
  assertEquals(cache.missing(request), [0, 1, 2].map((layer) => ({ layer, structure: "ffn" })));
  cachedPlan(request, cache);
  assertEquals(cache.missing({ ...request, sparsity: 0.7 }), []);
  assertEquals(cache.missing({ ...request, modules: 2 }).length, 3);
  assertEquals(cache.missing({ ...request, structures: ["ffn", "heads"] }).length, 3);
});
