import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { OptionError } from "../../core/errors.ts";
import { makePlan } from "../../core/plan/make_plan.ts";
import { type PlanOptions, resolveRequest } from "../../core/plan/request.ts";
import { loadPlan, savePlan } from "../../core/plan/store.ts";
import { largeModel, largeStatistics } from "../helpers/large-statistics.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const model = largeModel({ layers: 4, ffnWidth: 96, heads: 4 });
const statistics = largeStatistics(model);
const keptIn = (options: PlanOptions, layer: number) =>
  makePlan(model, statistics, options).layers[layer].ffnKept.length;
const adaptive = { shape: "adaptive", structures: ["ffn"], sparsity: 0.4, multiple: 1 } as const;

Deno.test("makePlan() cuts a layer more the larger its budget, and keeps to the whole budget", () => {
  fc.assert(fc.property(
    fc.integer({ min: 0, max: 3 }),
    fc.double({ min: 0.2, max: 5, noNaN: true }),
    (layer, factor) => {
      const budgets = { ...adaptive, layerBudgets: [{ layer, factor }] };
      const kept = keptIn(budgets, layer), before = keptIn(adaptive, layer);
      assert(factor >= 1 ? kept <= before : kept >= before, `${before} → ${kept} by ${factor}`);
      const { sparsity } = makePlan(model, statistics, budgets).result;
      assertAlmostEquals(sparsity, 0.4, 1 / (4 * 96) + 1e-9);
    },
  ));
  assert(keptIn({ ...adaptive, layerBudgets: [{ layer: 1, factor: 3 }] }, 1) < keptIn(adaptive, 1));
});

Deno.test("makePlan() with a budget of 1 is the plan without, but for the request", () => {
  const with1 = makePlan(model, statistics, {
    ...adaptive,
    layerBudgets: [{ layer: 2, factor: 1 }],
  });
  assertEquals(with1.layers, makePlan(model, statistics, adaptive).layers);
});

Deno.test("resolveRequest() refuses budgets that mean nothing", () => {
  const { layers } = model.architecture;
  const bad: readonly [PlanOptions, RegExp][] = [
    [{ shape: "uniform", layerBudgets: [{ layer: 0, factor: 2 }] }, /--shape adaptive/],
    [{ method: "flap", layerBudgets: [{ layer: 0, factor: 2 }] }, /--method gprune/],
    [{ shape: "adaptive", layerBudgets: [{ layer: 4, factor: 2 }] }, /layers 0 to 3/],
    [{ shape: "adaptive", layerBudgets: [{ layer: 0, factor: 0 }] }, /above 0/],
    [{ shape: "adaptive", layerBudgets: [{ layer: 0, factor: NaN }] }, /above 0/],
    [{ shape: "adaptive", layerBudgets: [{ layer: 0, factor: Infinity }] }, /above 0/],
    [
      { shape: "adaptive", layerBudgets: [{ layer: 0, factor: 2 }, { layer: 0, factor: 3 }] },
      /twice/,
    ],
  ];
  for (const [options, message] of bad) {
    const error = assertThrows(() => resolveRequest(options, layers), OptionError);
    assert(message.test(error.message), error.message);
  }
});

Deno.test("loadPlan() gives back the budgets that savePlan() wrote", () =>
  withTemporaryFolder(async (folder) => {
    const plan = makePlan(model, statistics, {
      ...adaptive,
      layerBudgets: [{ layer: 3, factor: 0.8 }, { layer: 0, factor: 1.25 }],
    });
    await savePlan(plan, `${folder}/p.json`);
    const { request } = (await loadPlan(`${folder}/p.json`)).plan;
    assertEquals(request.layerBudgets, [{ layer: 0, factor: 1.25 }, { layer: 3, factor: 0.8 }]);
  }));
