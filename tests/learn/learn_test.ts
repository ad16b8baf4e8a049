import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { measurePerplexity } from "../../core/evaluate/perplexity.ts";
import { learnDamage, probePoints } from "../../core/learn/damage.ts";
import { exchange } from "../../core/learn/exchange.ts";
import { HeldOutRuns } from "../../core/learn/held_out.ts";
import { layerPruner } from "../../core/learn/pruner.ts";
import { refinedPlan } from "../../core/learn/refine.ts";
import { learningSchedule } from "../../core/learn/windows.ts";
import { draftPlan, finishPlan, makePlan, type Removals } from "../../core/plan/make_plan.ts";
import { resolveRequest } from "../../core/plan/request.ts";
import { smallStatistics, withSmallModel } from "../helpers/pipeline.ts";

Deno.test("probePoints() lie between nothing and everything", () => {
  assertEquals(probePoints(1), []);
  assertEquals(probePoints(3), [1, 2]);
  for (const units of [5, 16, 48, 576]) {
    const points = probePoints(units);
    assert(points.every((removed, at) => removed > (points[at - 1] ?? 0) && removed < units));
    for (const most of [1, 2, 3, 9]) {
      const fewer = probePoints(units, most);
      assertEquals(fewer.length, Math.min(most, points.length));
      assertEquals(fewer.at(-1), points.at(-1));
      assert(fewer.every((removed) => points.includes(removed)));
    }
  }
});

Deno.test("HeldOutRuns.lossOf() the dense model is the logarithm of its perplexity", () =>
  withSmallModel(async (model, engine) => {
    const { windows } = await smallStatistics(engine, model, { learn: false });
    const domains = windows!.map(({ name, heldOut }) => ({ name, windows: heldOut }));
    const runs = new HeldOutRuns(engine, model, domains);
    const losses = await runs.lossOf(() => Promise.resolve(undefined));
    const texts = domains.map((domain) => ({ ...domain, sha256: "", tokens: new Int32Array() }));
    const { texts: expected } = await measurePerplexity(engine, model, texts);
    expected.forEach(({ perplexity }, at) =>
      assertAlmostEquals(losses[at], Math.log(perplexity), 1e-6)
    );
  }));

Deno.test("learnDamage() measures the loss that cutting one layer alone adds", () =>
  withSmallModel(async (model, engine) => {
    const statistics = await smallStatistics(engine, model, { learn: false });
    const request = resolveRequest({ shape: "adaptive" }, model.architecture.layers);
    const schedule = learningSchedule(model, statistics, request);
    const runs = new HeldOutRuns(engine, model, schedule.domains);
    const pruneLayer = layerPruner(model, statistics, request);
    const learned = await learnDamage(runs, model, statistics, request, schedule, pruneLayer);
    assertEquals(learned.curves.map(({ layer, structure }) => `${layer} ${structure}`).sort(), [
      "0 ffn",
      "0 heads",
      "1 ffn",
      "1 heads",
      "2 ffn",
      "2 heads",
    ]);
    // One point again, the long way: the whole model with that one layer cut.
    const curve = learned.curves.find(({ layer, structure }) =>
      layer === 1 && structure === "ffn"
    )!;
    const draft = draftPlan(model, statistics, { ...request, sparsity: 0.1 });
    const order = draft.orders.find(({ layer, structure }) => layer === 1 && structure === "ffn")!;
    const removed = Math.round(curve.fractions[2] * 48);
    const cut = await runs.lossOf(async (layer) =>
      layer === 1 ? await pruneLayer(order, removed) : undefined
    );
    cut.forEach((loss, domain) =>
      assertAlmostEquals(
        loss - learned.denseLoss[domain],
        curve.damagePerDomain[2][domain],
        1e-5,
      )
    );
  }));

for (const [layers, samples] of [[3, 32], [16, 8], [16, 2], [40, 2]] as const) {
  Deno.test(`learningSchedule() keeps ${layers} layers within four passes over ${samples} windows a text`, () =>
    withSmallModel(async (model, engine) => {
      const statistics = await smallStatistics(engine, model, { samples });
      const { calibrationPasses, curves } = statistics.learned!;
      assert(calibrationPasses <= 4, `${calibrationPasses} passes`);
      for (const structure of ["ffn", "heads"]) {
        const measured = curves.filter((curve) => curve.structure === structure);
        assert(measured.some(({ layer }) => layer === 0));
        assert(measured.some(({ layer }) => layer === layers - 1));
      }
      const plan = makePlan(model, statistics, { sparsity: 0.5, shape: "adaptive" });
      assertAlmostEquals(plan.result.sparsity, 0.5, 0.02);
    }, { layers }));
}

Deno.test("learningSchedule() measures nothing where not even one window a text can be afforded", () =>
  withSmallModel(async (model, engine) => {
    const statistics = await smallStatistics(engine, model, { samples: 1, self: false });
    assertEquals(statistics.learned, undefined);
    const plan = makePlan(model, statistics, { sparsity: 0.5, shape: "adaptive" });
    assertAlmostEquals(plan.result.sparsity, 0.5, 0.02);
  }, { layers: 2, hidden: 16, ffnWidth: 8 }));

Deno.test("exchange() finds a trend that single curves missed, and never ends worse than it began", () =>
  withSmallModel(async (model, engine) => {
    const statistics = await smallStatistics(engine, model);
    const draft = draftPlan(model, statistics, {
      sparsity: 0.5,
      shape: "adaptive",
      structures: ["ffn"],
    });
    // A made-up loss that dislikes cuts in the last layer, steeply enough to pass for more than noise.
    const loss = (removals: Removals) => Promise.resolve((removals[2] / 48) ** 8);
    const result = await exchange(draft, loss, { measurements: 12 });
    assert(result.after < result.before, `${result.before} to ${result.after}`);
    assert(result.measurements <= 12);
    const hardly = await exchange(
      draft,
      (removals) => Promise.resolve(1 + removals[2] / 1e6),
      { measurements: 12 },
    );
    assertEquals(hardly.removals, draft.removals, "a gain within the noise was taken");
    const flat = await exchange(draft, () => Promise.resolve(1), { measurements: 5 });
    assertEquals(flat.removals, draft.removals);
    const spent = (removals: Removals) => finishPlan(draft, removals).result.sparsity;
    assertAlmostEquals(spent(result.removals), spent(draft.removals), 0.01);
  }));

Deno.test("refinedPlan() in the uniform shape takes the pair of sizes with the least loss", () =>
  withSmallModel(async (model, engine) => {
    const statistics = await smallStatistics(engine, model, { samples: 16 });
    const { plan, loss, measurements } = await refinedPlan(engine, model, statistics, {
      sparsity: 0.5,
    });
    assert(measurements >= 2);
    assert(loss!.after <= loss!.before);
    assertEquals(new Set(plan.layers.map(({ ffnKept }) => ffnKept.length)).size, 1);
    assertEquals(new Set(plan.layers.map((layer) => layer.keyValueHeadsKept.length)).size, 1);
  }));
