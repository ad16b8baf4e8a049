/** The refit in every family: it lessens the error of what a block or the stream becomes, or says that it fell back. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { applyPlan } from "../../core/apply/apply.ts";
import { refitsSequentially } from "../../core/apply/sequential.ts";
import type { Engine } from "../../core/engine/types.ts";
import { embedWindows, runBlocks } from "../../core/engine/forward.ts";
import { openModel, outerTensor } from "../../core/model/open.ts";
import { readTensor } from "../../core/model/safetensors.ts";
import type { Model } from "../../core/model/types.ts";
import { makePlan } from "../../core/plan/make_plan.ts";
import { domains, smallStatistics } from "../helpers/pipeline.ts";
import { randomFamily, smallSizes } from "../helpers/random-family.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { withEngine } from "../engine/helpers.ts";

const old = { hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4 };
const configs: Readonly<Record<string, readonly [Record<string, unknown>, "blocks" | "layers"]>> = {
  qwen2: [{ model_type: "qwen2", ...smallSizes }, "blocks"],
  qwen3: [{ model_type: "qwen3", ...smallSizes }, "blocks"],
  smollm3: [{ model_type: "smollm3", ...smallSizes, no_rope_layers: [1, 0] }, "blocks"],
  phi3: [{ model_type: "phi3", ...smallSizes, partial_rotary_factor: 0.75 }, "blocks"],
  gpt2: [{ model_type: "gpt2", n_embd: 32, n_layer: 2, n_head: 4, n_positions: 128 }, "blocks"],
  opt: [{ model_type: "opt", ...old, ffn_dim: 48, max_position_embeddings: 128 }, "blocks"],
  "gpt_neox, one after the other": [
    { model_type: "gpt_neox", ...old, intermediate_size: 48, use_parallel_residual: false },
    "blocks",
  ],
  gpt_neox: [{ model_type: "gpt_neox", ...old, intermediate_size: 48 }, "layers"],
  olmo2: [{ model_type: "olmo2", ...smallSizes }, "layers"],
  gemma2: [{ model_type: "gemma2", ...smallSizes, sliding_window: 9 }, "layers"],
  gemma3: [{ model_type: "gemma3_text", ...smallSizes, sliding_window: 9 }, "layers"],
};

async function lastStream(engine: Engine, model: Model, tokens: Int32Array): Promise<Float32Array> {
  const embedding = await engine.openEmbedding(model);
  const embedded = await embedWindows(embedding, [tokens]);
  await embedding.close();
  return await runBlocks(engine, model, embedded, 1, tokens.length);
}

function distance(a: Float32Array, b: Float32Array): number {
  return Math.sqrt(a.reduce((sum, value, at) => sum + (value - b[at]) ** 2, 0));
}

for (const [name, [config, way]] of Object.entries(configs)) {
  Deno.test(`applyPlan() refits a random ${name} by ${way}, and the stream comes nearer to the dense one`, () =>
    withEngine((engine) =>
      withTemporaryFolder(async (folder) => {
        const model = await randomFamily(`${folder}/dense`, config);
        assertEquals(refitsSequentially(model.architecture), way === "blocks");
        const statistics = await smallStatistics(engine, model, { samples: 16, learn: false });
        const plan = makePlan(model, statistics, { sparsity: 0.4, shape: "adaptive" });
        const tokens = Int32Array.from((await model.tokenizer()).encode(domains[0].text))
          .slice(0, 64);
        const dense = await lastStream(engine, model, tokens);
        const cut = async (refit?: "none") => {
          const directory = `${folder}/${refit ?? "lsq"}`;
          const applied = await applyPlan(model, plan, { statistics, engine, refit, directory });
          return {
            ...applied,
            distance: distance(await lastStream(engine, applied.model, tokens), dense),
          };
        };
        const [refitted, none] = [await cut(), await cut("none")];
        assert(refitted.distance < none.distance, `${refitted.distance}, ${none.distance} without`);
        assert(refitted.refits.some(({ refit }) => refit === "lsq"));
        if (way === "layers") assertEquals(refitted.finalNormScale, undefined);
      })
    ));
}

Deno.test("applyPlan() scales a LayerNorm's weight and leaves its bias as it is", () =>
  withEngine((engine) =>
    withTemporaryFolder(async (folder) => {
      const model = await randomFamily(`${folder}/dense`, configs.gpt2[0]);
      const statistics = await smallStatistics(engine, model, { samples: 16, learn: false });
      const plan = makePlan(model, statistics, { sparsity: 0.5 });
      const directory = `${folder}/pruned`;
      const applied = await applyPlan(model, plan, { statistics, engine, directory });
      const pruned = await openModel(directory);
      const of = async (each: Model, role: "finalNorm.weight" | "finalNorm.bias") =>
        await readTensor(outerTensor(each, role));
      assertEquals(await of(pruned, "finalNorm.bias"), await of(model, "finalNorm.bias"));
      const before = await of(model, "finalNorm.weight");
      const after = await of(pruned, "finalNorm.weight");
      const { finalNormScale: scale = 1 } = applied;
      after.forEach((weight, at) => assertAlmostEquals(weight, scale * before[at], 1e-5));
      // Stock GPT-2 knows no size of heads: the uniform shape takes neurons alone.
      assertEquals(pruned.architecture.layers[0].queryHeads, 4);
    })
  ));
