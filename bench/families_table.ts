/**
 * Prints the README's table of families, from the same functions that cut, refit and export. What they promise is proven by
 * tests: `tests/engine/families_test.ts` (forward pass), `tests/apply/families*_test.ts` (cuts and refits),
 * `tests/export/families_test.ts` (stock classes, ONNX) and `tests/export/gguf/families_test.ts` (llama.cpp).
 *
 *     deno run -A bench/families_table.ts
 *
 * @module
 */
import { refitsSequentially } from "../core/apply/sequential.ts";
import { llamaCppKinds, whyNotAfter, whyNotKind } from "../core/export/gguf/kinds.ts";
import { parseConfig } from "../core/model/config.ts";
import { FAMILIES, type FamilyDescriptor } from "../core/model/families.ts";
import type { Architecture } from "../core/model/types.ts";

const sizes = {
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 64,
  head_dim: 8,
};
const samples: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  gemma2: { ...sizes, query_pre_attn_scalar: 8 },
  gemma3: { ...sizes, query_pre_attn_scalar: 8 },
  gpt2: { n_embd: 32, n_layer: 2, n_head: 4, vocab_size: 64 },
  opt: { ...sizes, num_key_value_heads: 4, ffn_dim: 48 },
  gpt_neox: { ...sizes, num_key_value_heads: 4 },
};
const models: Readonly<Record<string, string>> = {
  llama: "Llama 2 and 3, SmolLM, SmolLM2",
  mistral: "Mistral",
  qwen2: "Qwen2, Qwen2.5",
  qwen3: "Qwen3",
  smollm3: "SmolLM3",
  olmo2: "OLMo 2",
  phi3: "Phi-3, Phi-3.5, Phi-4-mini",
  gemma2: "Gemma 2",
  gemma3: "Gemma 3 (text)",
  gpt_neox: "GPT-NeoX, Pythia",
  gpt2: "GPT-2",
  opt: "OPT",
};

/**
 * The table.
 *
 * @returns Markdown, a line for each row
 */
export function familiesTable(): readonly string[] {
  return [
    "| models | `model_type` | stock class, uniform | ONNX | GGUF, uniform | GGUF, adaptive | refit |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...FAMILIES.map((family) => {
      const config = samples[family.name] ?? sizes;
      const [modelType] = family.modelTypes;
      const architecture = parseConfig({ ...config, model_type: modelType }, family.name);
      const [uniform, adaptive] = ggufWords(family, architecture);
      const cells = [
        models[family.name],
        `\`${modelType}\``,
        stockWords(family),
        "yes",
        uniform,
        adaptive,
        refitsSequentially(architecture) ? "block by block" : "layer by layer",
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  ];
}

function stockWords({ headsInStream }: FamilyDescriptor): string {
  if (headsInStream === "fill") return "FFN neurons";
  return headsInStream === "divide" ? "neurons; heads that divide the width" : "neurons and heads";
}

function ggufWords({ name }: FamilyDescriptor, architecture: Architecture): readonly string[] {
  const kind = llamaCppKinds[name];
  if (kind === undefined || whyNotKind(kind, architecture) !== undefined) return ["no", "no"];
  const cut = { shape: "uniform", structures: ["ffn", "heads"] } as const;
  const all = whyNotAfter(kind, architecture, cut) === undefined;
  return [`\`${kind}\`${all ? "" : ", neurons"}`, kind === "llama" ? "`deci`" : "no"];
}

if (import.meta.main) console.log(familiesTable().join("\n"));
