/** Units cut right in every family: a pruned model equals the dense one with the removed units silenced. */
import { assert, assertEquals } from "@std/assert";
import { applyPlan } from "../../core/apply/apply.ts";
import type { Engine } from "../../core/engine/types.ts";
import { blockTensors, openModel } from "../../core/model/open.ts";
import { memoryTensor, readTensor, readTensorBytes } from "../../core/model/safetensors.ts";
import type { BlockRole, BlockTensors, Model } from "../../core/model/types.ts";
import { prunableParameters } from "../../core/model/units.ts";
import type { Plan } from "../../core/plan/types.ts";
import { familyFixtures } from "../helpers/family-fixtures.ts";
import { planOf } from "../helpers/random-statistics.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { assertClose, wholeLogits, withEngine } from "../engine/helpers.ts";

const tokens = Int32Array.from({ length: 14 }, (_, index) => (7 * index + 3) % 31);

async function maskedLogits(engine: Engine, model: Model, plan: Plan): Promise<Float32Array> {
  const { headSize, layers } = model.architecture;
  const embedding = await engine.openEmbedding(model);
  let hidden = await embedding.lookup(tokens, { length: tokens.length });
  await embedding.close();
  for (const [layer, shape] of layers.entries()) {
    const perGroup = headSize * shape.queryHeads / shape.keyValueHeads;
    const { ffnKept, keyValueHeadsKept } = plan.layers[layer];
    const masked = new Map(blockTensors(model, layer));
    const silence = async (role: BlockRole, stays: (channel: number) => boolean) => {
      const tensor = masked.get(role)!;
      const data = (await readTensor(tensor)).map((value, at) =>
        stays(at % tensor.shape[1]) ? value : 0
      );
      masked.set(role, memoryTensor(tensor.shape, data));
    };
    await silence("down_proj.weight", (channel) => ffnKept.includes(channel));
    await silence(
      "o_proj.weight",
      (channel) => keyValueHeadsKept.includes(Math.floor(channel / perGroup)),
    );
    const tensors: BlockTensors = masked;
    const { architecture } = model;
    const block = await engine.openBlock({ architecture, shape, tensors, capture: "none" });
    hidden = (await block.run(hidden, 1, tokens.length)).hidden;
    await block.close();
  }
  const head = await engine.openHead(model);
  const logits = await head.logits(hidden);
  await head.close();
  return logits;
}

for (const { name, folder } of familyFixtures) {
  // Normed over all heads together, queries change with the heads that are there: the test below is about them.
  const structures = name.startsWith("olmo2") ? ["ffn"] : ["ffn", "heads"];

  Deno.test(`applyPlan() cuts a random ${name} so that it equals the masked dense one`, () =>
    withEngine((engine) =>
      withTemporaryFolder(async (directory) => {
        const model = await openModel(folder);
        const plan = planOf(
          model,
          model.architecture.layers.map(({ ffnWidth, keyValueHeads }, layer) => ({
            ffnKept: Array.from({ length: ffnWidth }, (_, unit) => unit)
              .filter((unit) => (unit + layer) % 3 !== 1),
            ...(structures.includes("heads")
              ? { keyValueHeadsKept: [(layer + 1) % keyValueHeads] }
              : {}),
          })),
        );
        const { model: pruned } = await applyPlan(model, plan, { directory, dataType: "f32" });
        const found = await wholeLogits(engine, pruned, [tokens]);
        assertClose(found, await maskedLogits(engine, model, plan), 1e-5);
        const dense = await wholeLogits(engine, model, [tokens]);
        assert(found.some((value, at) => Math.abs(value - dense[at]) > 1e-2), "nothing was cut");
        const { ffn, heads } = prunableParameters(pruned.architecture);
        assertEquals(ffn + heads, plan.result.prunableAfter);
      })
    ));

  Deno.test(`applyPlan() at sparsity 0 gives a random ${name} back bit for bit`, () =>
    withTemporaryFolder(async (directory) => {
      const model = await openModel(folder);
      const { model: same } = await applyPlan(model, planOf(model), { directory });
      assertEquals([...same.tensors.keys()].sort(), [...model.tensors.keys()].sort());
      for (const [tensor, view] of model.tensors) {
        const bytes = await readTensorBytes(same.tensors.get(tensor)!);
        assertEquals(bytes, await readTensorBytes(view), tensor);
      }
      assertEquals(same.architecture, model.architecture);
    }));
}

Deno.test("applyPlan() cuts heads of OLMo 2 exactly where heads are alike, since norms are over those that stay", () =>
  withEngine((engine) =>
    withTemporaryFolder(async (directory) => {
      const { folder } = familyFixtures.find(({ name }) => name === "olmo2")!;
      const dense = await openModel(folder);
      // The second KV group's queries and keys are those of the first with the sign turned: of the same mean square.
      const alike = new Map(dense.tensors);
      const { headSize } = dense.architecture;
      const patched = `${directory}/alike`;
      await Deno.mkdir(patched);
      const { writeSafetensors } = await import("../../core/model/safetensors_writer.ts");
      const { encode } = await import("../../core/model/number_formats.ts");
      const entries = await Promise.all([...alike].map(async ([name, view]) => {
        const data = await readTensor(view);
        const rows = /q_proj|k_proj/.test(name) ? view.shape[0] : 0;
        const half = rows / 2 * (view.shape[1] ?? 1);
        if (rows > 0) { for (let at = 0; at < half; at++) data[half + at] = -data[at]; }
        return {
          name,
          shape: view.shape,
          dataType: "F32" as const,
          bytes: () => encode(data, "F32"),
        };
      }));
      await writeSafetensors(`${patched}/model.safetensors`, entries);
      await Deno.copyFile(`${folder}/config.json`, `${patched}/config.json`);
      const model = await openModel(patched);
      const plan = planOf(model, model.architecture.layers.map(() => ({ keyValueHeadsKept: [1] })));
      const { model: pruned } = await applyPlan(model, plan, { directory: `${directory}/pruned` });
      const norm = blockTensors(pruned, 0).get("q_norm.weight")!;
      assertEquals(norm.shape, [2 * headSize]);
      assertClose(
        await wholeLogits(engine, pruned, [tokens]),
        await maskedLogits(engine, model, plan),
        1e-5,
      );
    })
  ));
