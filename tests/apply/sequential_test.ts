import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { applyPlan } from "../../core/apply/apply.ts";
import {
  lossBeyondDense,
  refitSequentially,
  type SequentialLayer,
} from "../../core/apply/sequential.ts";
import type { Engine } from "../../core/engine/types.ts";
import { blockTensors, outerTensor } from "../../core/model/open.ts";
import { readTensor } from "../../core/model/safetensors.ts";
import type { Model } from "../../core/model/types.ts";
import { makePlan } from "../../core/plan/make_plan.ts";
import { domains, smallStatistics, withSmallModel } from "../helpers/pipeline.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

/** The stream after the last block, of the windows of a domain that is not calibrated on. */
async function lastStream(engine: Engine, model: Model, tokens: Int32Array): Promise<Float32Array> {
  const embedding = await engine.openEmbedding(model);
  let hidden = await embedding.lookup(tokens);
  await embedding.close();
  for (const [layer, shape] of model.architecture.layers.entries()) {
    const block = await engine.openBlock({
      architecture: model.architecture,
      shape,
      tensors: blockTensors(model, layer),
      capture: "none",
    });
    hidden = (await block.run(hidden, 1, tokens.length)).hidden;
    await block.close();
  }
  return hidden;
}

function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, at) => sum + (value - b[at]) ** 2, 0);
}

Deno.test("refitSequentially() leaves alone what comes before the first cut", () =>
  withSmallModel(async (model, engine) => {
    const statistics = await smallStatistics(engine, model, { learn: false });
    const whole = makePlan(model, statistics, { sparsity: 0 });
    const cut = makePlan(model, statistics, { sparsity: 0.5, structures: ["ffn"] });
    const plan = { ...whole, layers: whole.layers.with(1, cut.layers[1]) };
    const layers: SequentialLayer[] = [];
    for await (const layer of refitSequentially(engine, model, plan, statistics)) {
      layers.push(layer);
    }
    assertEquals(layers.map(({ layer }) => layer), [0, 1, 2]);
    assertEquals([...layers[0].fitted.keys()], []);
    assertEquals([...layers[1].fitted.keys()], ["down_proj.weight"]);
    assertEquals(layers[1].rows.map(({ structure, refit }) => [structure, refit]), [[
      "ffn",
      "lsq",
    ]]);
    assert(layers[2].fitted.has("q_proj.weight") && layers[2].fitted.has("o_proj.weight"));
    assertEquals(layers[2].rows, []);
  }));

for (const options of [{}, { attentionBias: true, mlpBias: true }, { dtype: "bf16" }] as const) {
  Deno.test(
    `applyPlan() block by block comes nearer to the dense model than layer by layer ${
      JSON.stringify(options)
    }`,
    () =>
      withSmallModel((model, engine) =>
        withTemporaryFolder(async (folder) => {
          const statistics = await smallStatistics(engine, model, { samples: 16, learn: false });
          const plan = makePlan(model, statistics, { sparsity: 0.5, shape: "adaptive" });
          const tokens = Int32Array.from((await model.tokenizer()).encode(domains[0].text))
            .slice(0, 64);
          const dense = await lastStream(engine, model, tokens);
          const apart = async (name: string, own?: Engine, refit?: "none") => {
            const { model: pruned } = await applyPlan(model, plan, {
              statistics,
              engine: own,
              refit,
              directory: `${folder}/${name}`,
            });
            return distance(await lastStream(engine, pruned, tokens), dense);
          };
          const sequential = await apart("sequential", engine);
          const local = await apart("local");
          const none = await apart("none", engine, "none");
          assert(sequential < local, `${sequential} block by block, ${local} layer by layer`);
          assert(local < none, `${local} layer by layer, ${none} without a refit`);
        }), options),
  );
}

Deno.test("applyPlan() scales the final norm only where that lessens the loss, and says by what", () =>
  withSmallModel((model, engine) =>
    withTemporaryFolder(async (folder) => {
      const statistics = await smallStatistics(engine, model, { samples: 16, learn: false });
      const weights = async (sparsity: number, scaledNorm?: boolean) => {
        const plan = makePlan(model, statistics, { sparsity });
        const directory = `${folder}/${sparsity} ${scaledNorm}`;
        const applied = await applyPlan(model, plan, { statistics, engine, directory, scaledNorm });
        const norm = outerTensor(applied.model, "finalNorm.weight");
        return { scale: applied.finalNormScale, norm: await readTensor(norm) };
      };
      const before = await readTensor(outerTensor(model, "finalNorm.weight"));
      const untouched = await weights(0);
      assertEquals(untouched.scale, undefined);
      assertEquals(untouched.norm, before);
      // A model of random weights is sure of nonsense: every scale below 1 is better.
      const { scale, norm } = await weights(0.5);
      assert(scale !== undefined && scale < 0.75, `${scale}`);
      norm.forEach((weight, at) => assertAlmostEquals(weight, scale * before[at], 1e-5));
      const kept = await weights(0.5, false);
      assertEquals([kept.scale, kept.norm], [undefined, before]);
    })
  ));

Deno.test("openFittingBlock() sums what its targets and inputs are", () =>
  withSmallModel(async (model, engine) => {
    const { architecture } = model;
    const [shape] = architecture.layers;
    const tensors = blockTensors(model, 0);
    const specification = { architecture, shape, tensors, capture: "none" } as const;
    const embedding = await engine.openEmbedding(model);
    const hidden = await embedding.lookup(Int32Array.from({ length: 12 }, (_, at) => 97 + at));
    const plain = await engine.openBlock({ ...specification, capture: "gram" });
    const { sums } = await plain.run(hidden, 2, 6);
    const middle = await engine.openBlock({ ...specification, capture: "middle" });
    const stream = (await middle.run(hidden, 2, 6)).middle!;
    for (const structure of ["heads", "ffn"] as const) {
      const fitting = await engine.openFittingBlock(specification, structure);
      const target = stream.map((value) => 2 * value + 1);
      const fit = await fitting.run(hidden, 2, 6, {
        stream: target,
        tokenScale: new Float32Array(12).fill(1),
      });
      fit.gram.forEach((value, at) => assertAlmostEquals(value, sums![structure].gram![at], 1e-4));
      const from = structure === "heads" ? hidden : stream;
      const energy = target.reduce((sum, value, at) => sum + (value - from[at]) ** 2, 0);
      assertAlmostEquals(fit.targetEnergy / energy, 1, 1e-5);
      const doubled = await fitting.run(hidden, 2, 6, {
        stream: target,
        tokenScale: new Float32Array(12).fill(2),
      });
      doubled.cross.forEach((value, at) => assertAlmostEquals(value, 4 * fit.cross[at], 1e-3));
      await fitting.close();
    }
    await plain.close();
    await middle.close();
    await embedding.close();
  }));

Deno.test("lossBeyondDense() lets no gain on one text pay for a loss on another", () => {
  const weights = [0.5, 0.25, 0.25];
  // By hand: 0.5 × 3 + 0.25 × 4 (not 1) + 0.25 × 6 (not 2).
  assertEquals(lossBeyondDense([3, 1, 2], [2, 4, 6], weights), 4);
  assertEquals(lossBeyondDense([3, 0.5, 0.1], [2, 4, 6], weights), 4);
  // What was not measured, or does not count, leaves its weight to the others.
  assertEquals(lossBeyondDense([3, NaN, 8], [2, NaN, 6], [0.5, 0.5, 0]), 3);
});
