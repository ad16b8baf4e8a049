/**
 * Llama and the families that are Llama with a switch or two: Mistral, Qwen 2 and 3, SmolLM3, OLMo 2, Phi-3 and 4.
 * @module
 */
import type { BlockRole } from "../types.ts";
import type { FamilyDescriptor } from "./descriptor.ts";

/** Names of the blocks' tensors with one tensor for each projection. */
export const SEPARATE_PROJECTIONS: FamilyDescriptor["blockTensors"] = {
  "attentionNorm.weight": "model.layers.{layer}.input_layernorm.weight",
  "q_proj.weight": "model.layers.{layer}.self_attn.q_proj.weight",
  "q_proj.bias": "model.layers.{layer}.self_attn.q_proj.bias",
  "k_proj.weight": "model.layers.{layer}.self_attn.k_proj.weight",
  "k_proj.bias": "model.layers.{layer}.self_attn.k_proj.bias",
  "v_proj.weight": "model.layers.{layer}.self_attn.v_proj.weight",
  "v_proj.bias": "model.layers.{layer}.self_attn.v_proj.bias",
  "o_proj.weight": "model.layers.{layer}.self_attn.o_proj.weight",
  "o_proj.bias": "model.layers.{layer}.self_attn.o_proj.bias",
  "ffnNorm.weight": "model.layers.{layer}.post_attention_layernorm.weight",
  "gate_proj.weight": "model.layers.{layer}.mlp.gate_proj.weight",
  "gate_proj.bias": "model.layers.{layer}.mlp.gate_proj.bias",
  "up_proj.weight": "model.layers.{layer}.mlp.up_proj.weight",
  "up_proj.bias": "model.layers.{layer}.mlp.up_proj.bias",
  "down_proj.weight": "model.layers.{layer}.mlp.down_proj.weight",
  "down_proj.bias": "model.layers.{layer}.mlp.down_proj.bias",
};

/** Norms of queries and keys. */
export const QUERY_KEY_NORMS: FamilyDescriptor["blockTensors"] = {
  "q_norm.weight": "model.layers.{layer}.self_attn.q_norm.weight",
  "k_norm.weight": "model.layers.{layer}.self_attn.k_norm.weight",
};

/** The biases of attention. */
export const ATTENTION_BIASES: readonly BlockRole[] = [
  "q_proj.bias",
  "k_proj.bias",
  "v_proj.bias",
  "o_proj.bias",
];

/** The biases of a gated FFN. */
export const FFN_BIASES: readonly BlockRole[] = [
  "gate_proj.bias",
  "up_proj.bias",
  "down_proj.bias",
];

/** Llama 2 and 3, SmolLM and SmolLM2. */
export const LLAMA: FamilyDescriptor = {
  name: "llama",
  modelTypes: ["llama"],
  stockClass: "LlamaForCausalLM",
  blockTensors: SEPARATE_PROJECTIONS,
  outerTensors: {
    "embedding.weight": "model.embed_tokens.weight",
    "finalNorm.weight": "model.norm.weight",
    "outputHead.weight": "lm_head.weight",
  },
  ignoredTensors: [/^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/],
  biases: [
    { configKey: "attention_bias", roles: ATTENTION_BIASES },
    { configKey: "mlp_bias", roles: FFN_BIASES },
  ],
  norm: "rms",
  positions: "rotary",
  headsInStream: "divide",
  defaults: {
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    max_position_embeddings: 2048,
    hidden_act: "silu",
    tie_word_embeddings: false,
  },
};

/** Mistral 7B and its kin. */
export const MISTRAL: FamilyDescriptor = {
  ...LLAMA,
  name: "mistral",
  modelTypes: ["mistral"],
  stockClass: "MistralForCausalLM",
  biases: [],
  headsInStream: undefined,
  attention: {},
  defaults: {
    ...LLAMA.defaults,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    sliding_window: 4096,
  },
};

/** Qwen2 and Qwen2.5: biases on q, k and v, always. */
export const QWEN2: FamilyDescriptor = {
  ...LLAMA,
  name: "qwen2",
  modelTypes: ["qwen2"],
  stockClass: "Qwen2ForCausalLM",
  biases: [{ roles: ["q_proj.bias", "k_proj.bias", "v_proj.bias"] }],
  headsInStream: undefined,
  attention: { switchKey: "use_sliding_window", globalUntilKey: "max_window_layers" },
  defaults: {
    ...LLAMA.defaults,
    num_key_value_heads: 32,
    max_position_embeddings: 32_768,
    use_sliding_window: false,
    sliding_window: 4096,
    max_window_layers: 28,
  },
};

/** Qwen3: norms of each head's queries and keys, no biases. */
export const QWEN3: FamilyDescriptor = {
  ...QWEN2,
  name: "qwen3",
  modelTypes: ["qwen3"],
  stockClass: "Qwen3ForCausalLM",
  blockTensors: { ...SEPARATE_PROJECTIONS, ...QUERY_KEY_NORMS },
  biases: [{ configKey: "attention_bias", roles: ATTENTION_BIASES }],
  queryKeyNorm: "head",
  defaults: { ...QWEN2.defaults, head_dim: 128 },
};

/** SmolLM3: every fourth layer knows no positions. */
export const SMOLLM3: FamilyDescriptor = {
  ...LLAMA,
  name: "smollm3",
  modelTypes: ["smollm3"],
  stockClass: "SmolLM3ForCausalLM",
  headsInStream: undefined,
  attention: {
    switchKey: "use_sliding_window",
    unrotated: { listKey: "no_rope_layers", intervalKey: "no_rope_layer_interval" },
  },
  defaults: {
    ...LLAMA.defaults,
    num_key_value_heads: 4,
    max_position_embeddings: 32_768,
    rope_theta: 2_000_000,
    tie_word_embeddings: true,
    use_sliding_window: false,
    sliding_window: null,
    no_rope_layer_interval: 4,
  },
};

/** OLMo 2: what attention and FFN give is normed, not what they read; queries and keys over all heads together. */
export const OLMO2: FamilyDescriptor = {
  ...LLAMA,
  name: "olmo2",
  modelTypes: ["olmo2"],
  stockClass: "Olmo2ForCausalLM",
  headsInStream: undefined,
  blockTensors: postNormed(),
  biases: [{ configKey: "attention_bias", roles: ATTENTION_BIASES }],
  queryKeyNorm: "all-heads",
  defaults: { ...LLAMA.defaults, rms_norm_eps: 1e-5 },
};

/** Phi-3 and Phi-4-mini: q, k and v in one tensor, gate and up in another; the latter rotates three quarters of a head. */
export const PHI3: FamilyDescriptor = {
  ...LLAMA,
  name: "phi3",
  modelTypes: ["phi3"],
  stockClass: "Phi3ForCausalLM",
  headsInStream: undefined,
  blockTensors: {
    ...SEPARATE_PROJECTIONS,
    "q_proj.weight": "model.layers.{layer}.self_attn.qkv_proj.weight",
    "k_proj.weight": "model.layers.{layer}.self_attn.qkv_proj.weight",
    "v_proj.weight": "model.layers.{layer}.self_attn.qkv_proj.weight",
    "gate_proj.weight": "model.layers.{layer}.mlp.gate_up_proj.weight",
    "up_proj.weight": "model.layers.{layer}.mlp.gate_up_proj.weight",
  },
  biases: [],
  fusedRows: "stacked",
  partialRotary: 1,
  attention: {},
  defaults: {
    ...LLAMA.defaults,
    rms_norm_eps: 1e-5,
    max_position_embeddings: 4096,
    original_max_position_embeddings: 4096,
    sliding_window: null,
  },
  only: { attention_bias: [false], lm_head_bias: [false], mlp_bias: [false] },
};

function postNormed(): FamilyDescriptor["blockTensors"] {
  const { "attentionNorm.weight": _, "ffnNorm.weight": __, ...rest } = SEPARATE_PROJECTIONS;
  return {
    ...rest,
    ...QUERY_KEY_NORMS,
    "attentionPostNorm.weight": "model.layers.{layer}.post_attention_layernorm.weight",
    "ffnPostNorm.weight": "model.layers.{layer}.post_feedforward_layernorm.weight",
  };
}
