/**
 * Gemma 2 and 3: norms before and after, whose weights are counted from 1, layers that look back a window between those
 * that see everything, a scaled embedding, GELU.
 * @module
 */
import type { FamilyDescriptor } from "./descriptor.ts";
import { ATTENTION_BIASES, LLAMA, QUERY_KEY_NORMS, SEPARATE_PROJECTIONS } from "./llama.ts";

const FOUR_NORMS: FamilyDescriptor["blockTensors"] = {
  ...SEPARATE_PROJECTIONS,
  "attentionPostNorm.weight": "model.layers.{layer}.post_attention_layernorm.weight",
  "ffnNorm.weight": "model.layers.{layer}.pre_feedforward_layernorm.weight",
  "ffnPostNorm.weight": "model.layers.{layer}.post_feedforward_layernorm.weight",
};

/** Gemma 2: caps on scores and logits; every other layer sees everything. */
export const GEMMA2: FamilyDescriptor = {
  ...LLAMA,
  name: "gemma2",
  modelTypes: ["gemma2"],
  stockClass: "Gemma2ForCausalLM",
  blockTensors: FOUR_NORMS,
  biases: [{ configKey: "attention_bias", roles: ATTENTION_BIASES }],
  normOffset: 1,
  attention: { globalEvery: { standIn: 2 } },
  scaledEmbedding: true,
  cappedAttention: true,
  configKeys: { hidden_act: "hidden_activation" },
  defaults: {
    ...LLAMA.defaults,
    hidden_activation: "gelu_pytorch_tanh",
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
    sliding_window: 4096,
    query_pre_attn_scalar: 256,
    final_logit_softcapping: 30,
    attn_logit_softcapping: 50,
  },
  only: { use_bidirectional_attention: [false, null] },
};

/** Gemma 3 for text: norms of queries and keys in place of caps; every sixth layer sees everything. */
export const GEMMA3: FamilyDescriptor = {
  ...GEMMA2,
  name: "gemma3",
  modelTypes: ["gemma3_text"],
  stockClass: "Gemma3ForCausalLM",
  blockTensors: { ...FOUR_NORMS, ...QUERY_KEY_NORMS },
  queryKeyNorm: "head",
  attention: {
    globalEvery: { configKey: "sliding_window_pattern", standIn: 6 },
    localTheta: { configKey: "rope_local_base_freq", standIn: 10_000 },
  },
  defaults: {
    ...GEMMA2.defaults,
    max_position_embeddings: 131_072,
    rope_theta: 1_000_000,
    final_logit_softcapping: null,
    attn_logit_softcapping: null,
  },
};
