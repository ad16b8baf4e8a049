/** Every family in llama.cpp, where it has an architecture for it; a sentence where it has not. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ExportError } from "../../../core/errors.ts";
import { exportGguf, openGguf, requireGguf } from "../../../core/export/gguf/mod.ts";
import { applyPlan } from "../../../core/apply/apply.ts";
import { wholeLogits, withEngine } from "../../engine/helpers.ts";
import { askLlama, llamaIsMissing } from "../../helpers/llama-cpp.ts";
import { randomFamily, smallSizes } from "../../helpers/random-family.ts";
import { planOf } from "../../helpers/random-statistics.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";
import { logProbabilities } from "./helpers.ts";

const ignore = await llamaIsMissing() !== undefined;
const gemma = {
  ...smallSizes,
  num_hidden_layers: 6,
  query_pre_attn_scalar: 8,
  sliding_window: 7,
};
const old = { hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4 };

/** A config, the architecture that holds it, and whether it is cut to layers of different sizes first. */
const held: Readonly<
  Record<string, readonly [architecture: string, Record<string, unknown>, cut?: "adaptive"]>
> = {
  "qwen2": ["llama", { model_type: "qwen2", ...smallSizes }],
  "qwen2, adaptive": ["deci", { model_type: "qwen2", ...smallSizes }, "adaptive"],
  "qwen3": ["qwen3", { model_type: "qwen3", ...smallSizes }],
  "qwen3, tied": ["qwen3", { model_type: "qwen3", ...smallSizes, tie_word_embeddings: true }],
  "smollm3": ["smollm3", { model_type: "smollm3", ...smallSizes, num_hidden_layers: 4 }],
  "olmo2": ["olmo2", { model_type: "olmo2", ...smallSizes }],
  "phi3": ["llama", { model_type: "phi3", ...smallSizes }],
  "phi3, partial rotary, adaptive": [
    "deci",
    { model_type: "phi3", ...smallSizes, partial_rotary_factor: 0.75 },
    "adaptive",
  ],
  "phi3, longrope": ["llama", {
    model_type: "phi3",
    ...smallSizes,
    partial_rotary_factor: 0.75,
    original_max_position_embeddings: 64,
    rope_scaling: { type: "longrope", short_factor: [1, 1.5, 2], long_factor: [1, 2, 4] },
  }],
  "gemma2": ["gemma2", { model_type: "gemma2", ...gemma }],
  "gemma3": ["gemma3", { model_type: "gemma3_text", ...gemma }],
  "gemma3, linear scaling, another local base": ["gemma3", {
    model_type: "gemma3_text",
    ...gemma,
    rope_scaling: { rope_type: "linear", factor: 8 },
    rope_local_base_freq: 5000,
  }],
  "gpt_neox": ["gptneox", {
    model_type: "gpt_neox",
    ...old,
    intermediate_size: 48,
    rotary_pct: 0.5,
  }],
  "gpt_neox, one after the other": ["gptneox", {
    model_type: "gpt_neox",
    ...old,
    intermediate_size: 48,
    use_parallel_residual: false,
  }],
  "gpt2": ["gpt2", { model_type: "gpt2", n_embd: 32, n_layer: 2, n_head: 4, n_positions: 128 }],
};

/** llama.cpp takes GELU from a table of float16, which was off by 2.7e-3 at most when these were measured. */
const tolerances: Readonly<Record<string, number>> = {
  gptneox: 5e-3,
  gpt2: 5e-3,
  gemma2: 5e-3,
  gemma3: 5e-3,
};

Deno.test({
  name: "exportGguf() writes what llama.cpp computes alike, for every family that it has",
  ignore,
  fn: () =>
    withTemporaryFolder((folder) =>
      withEngine(async (engine) => {
        const tokens = Array.from({ length: 26 }, (_, index) => (index * 37 + 5) % 250);
        const positions = [0, 3, 25];
        const expected: number[][][] = [];
        const questions = [];
        for (const [name, [architecture, config, cut]] of Object.entries(held)) {
          const dense = await randomFamily(`${folder}/${questions.length}`, config);
          const kept = [{ ffnKept: [0, 2, 3, 5, 40], keyValueHeadsKept: [1] }];
          const directory = `${folder}/${questions.length}-cut`;
          const model = cut === undefined
            ? dense
            : (await applyPlan(dense, planOf(dense, kept), { directory })).model;
          const file = await exportGguf(model, folder, {
            name: `${questions.length}`,
            quantize: "f32",
          });
          assertEquals(file.architecture, architecture, name);
          const logits = await wholeLogits(engine, model, [Int32Array.from(tokens)]);
          // What is in the file is what was written, whichever way it lies there.
          const again = await openGguf(file.path, model);
          const read = await wholeLogits(engine, again, [Int32Array.from(tokens)]);
          await again.close();
          const off = read.reduce(
            (most, value, at) => Math.max(most, Math.abs(value - logits[at])),
            0,
          );
          assert(off < 1e-4, `${name}: read again, off by ${off}`);
          expected.push(
            positions.map((at) => logProbabilities(logits.subarray(257 * at, 257 * at + 257))),
          );
          questions.push({ path: file.path, tokens, positions });
        }
        const answers = await askLlama(questions);
        const problems: string[] = [];
        for (const [index, [name, [architecture]]] of Object.entries(held).entries()) {
          const { error, logProbabilities } = answers[index];
          if (error !== undefined) {
            problems.push(`${name}: ${error}`);
            continue;
          }
          const difference = Math.max(
            ...expected[index].flatMap((row, at) =>
              row.map((value, token) => Math.abs(value - logProbabilities[at][token]))
            ),
          );
          const limit = tolerances[architecture] ?? 1e-4;
          if (!(difference < limit)) {
            problems.push(`${name}: off by ${difference}`);
          }
        }
        assertEquals(problems, []);
      })
    ),
});

/** Configs that llama.cpp has no architecture for, and what the refusal says. */
const refused: Readonly<Record<string, readonly [Record<string, unknown>, string]>> = {
  "opt": [{
    model_type: "opt",
    hidden_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    ffn_dim: 48,
    max_position_embeddings: 64,
  }, "llama.cpp has no architecture for opt"],
  "smollm3 of another order": [
    { model_type: "smollm3", ...smallSizes, no_rope_layers: [0, 1] },
    "attend in another order",
  ],
  "gemma2 with another scale": [
    { model_type: "gemma2", ...gemma, query_pre_attn_scalar: 9 },
    "'query_pre_attn_scalar' is 9, and llama.cpp takes 8",
  ],
  "gemma2 without caps": [
    { model_type: "gemma2", ...gemma, attn_logit_softcapping: null },
    "caps no scores or no logits",
  ],
  "qwen3 with biases": [
    { model_type: "qwen3", ...smallSizes, attention_bias: true },
    "has biases on q_proj",
  ],
  "gpt2 with ReLU": [
    { model_type: "gpt2", n_embd: 32, n_layer: 1, n_head: 4, activation_function: "relu" },
    "its activation is 'relu'",
  ],
};

for (const [name, [config, words]] of Object.entries(refused)) {
  Deno.test(`requireGguf() refuses ${name} in a sentence`, () =>
    withTemporaryFolder(async (folder) => {
      const model = await randomFamily(folder, config);
      await assertRejects(() => requireGguf(model), ExportError, words);
    }));
}

Deno.test("exportGguf() refuses layers of different sizes, and lost heads, where llama.cpp has one size for all", () =>
  withTemporaryFolder(async (folder) => {
    const qwen3 = await randomFamily(`${folder}/qwen3`, { model_type: "qwen3", ...smallSizes });
    const directory = `${folder}/cut`;
    const { model } = await applyPlan(qwen3, planOf(qwen3, [{ ffnKept: [1] }]), { directory });
    await assertRejects(() => requireGguf(model), ExportError, "has one for all");
    // The same is said before any work.
    const both = ["ffn", "heads"] as const;
    await assertRejects(
      () => requireGguf(qwen3, { shape: "adaptive", structures: ["ffn"] }),
      ExportError,
      "use --shape uniform",
    );
    await requireGguf(qwen3, { shape: "uniform", structures: both });
    const olmo2 = await randomFamily(`${folder}/olmo2`, held["olmo2"][1]);
    await assertRejects(
      () => requireGguf(olmo2, { shape: "uniform", structures: both }),
      ExportError,
      "use --structures ffn",
    );
    const gpt2 = await randomFamily(`${folder}/gpt2`, held["gpt2"][1]);
    const kept = gpt2.architecture.layers.map(() => ({ keyValueHeadsKept: [1] }));
    const lost = await applyPlan(gpt2, planOf(gpt2, kept), { directory: `${folder}/lost` });
    await assertRejects(() => requireGguf(lost.model), ExportError, "has lost heads");
  }));
