/**
 * Families older than Llama: LayerNorm with biases, an FFN without a gate, as many key/value heads as query heads.
 * @module
 */
import type { BlockRole } from "../types.ts";
import type { FamilyDescriptor } from "./descriptor.ts";

const NORM_BIASES: readonly BlockRole[] = ["attentionNorm.bias", "ffnNorm.bias"];
const ATTENTION_BIASES: readonly BlockRole[] = [
  "q_proj.bias",
  "k_proj.bias",
  "v_proj.bias",
  "o_proj.bias",
];
const FFN_BIASES: readonly BlockRole[] = ["up_proj.bias", "down_proj.bias"];

/** GPT-NeoX and Pythia: attention and FFN side by side, a quarter of each head rotated, q, k and v fused head by head. */
export const GPT_NEOX: FamilyDescriptor = {
  name: "gpt_neox",
  modelTypes: ["gpt_neox"],
  stockClass: "GPTNeoXForCausalLM",
  blockTensors: {
    "attentionNorm.weight": "gpt_neox.layers.{layer}.input_layernorm.weight",
    "attentionNorm.bias": "gpt_neox.layers.{layer}.input_layernorm.bias",
    "q_proj.weight": "gpt_neox.layers.{layer}.attention.query_key_value.weight",
    "q_proj.bias": "gpt_neox.layers.{layer}.attention.query_key_value.bias",
    "k_proj.weight": "gpt_neox.layers.{layer}.attention.query_key_value.weight",
    "k_proj.bias": "gpt_neox.layers.{layer}.attention.query_key_value.bias",
    "v_proj.weight": "gpt_neox.layers.{layer}.attention.query_key_value.weight",
    "v_proj.bias": "gpt_neox.layers.{layer}.attention.query_key_value.bias",
    "o_proj.weight": "gpt_neox.layers.{layer}.attention.dense.weight",
    "o_proj.bias": "gpt_neox.layers.{layer}.attention.dense.bias",
    "ffnNorm.weight": "gpt_neox.layers.{layer}.post_attention_layernorm.weight",
    "ffnNorm.bias": "gpt_neox.layers.{layer}.post_attention_layernorm.bias",
    "up_proj.weight": "gpt_neox.layers.{layer}.mlp.dense_h_to_4h.weight",
    "up_proj.bias": "gpt_neox.layers.{layer}.mlp.dense_h_to_4h.bias",
    "down_proj.weight": "gpt_neox.layers.{layer}.mlp.dense_4h_to_h.weight",
    "down_proj.bias": "gpt_neox.layers.{layer}.mlp.dense_4h_to_h.bias",
  },
  outerTensors: {
    "embedding.weight": "gpt_neox.embed_in.weight",
    "finalNorm.weight": "gpt_neox.final_layer_norm.weight",
    "finalNorm.bias": "gpt_neox.final_layer_norm.bias",
    "outputHead.weight": "embed_out.weight",
  },
  ignoredTensors: [
    /^gpt_neox\.layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
  ],
  biases: [
    { roles: NORM_BIASES },
    { configKey: "attention_bias", roles: ATTENTION_BIASES },
    { roles: FFN_BIASES },
  ],
  fusedRows: "by-head",
  norm: "layer",
  positions: "rotary",
  partialRotary: 0.25,
  parallelResidualKey: "use_parallel_residual",
  headsInStream: "fill",
  configKeys: {
    rms_norm_eps: "layer_norm_eps",
    rope_theta: "rotary_emb_base",
    partial_rotary_factor: "rotary_pct",
  },
  defaults: {
    layer_norm_eps: 1e-5,
    rotary_emb_base: 10_000,
    max_position_embeddings: 2048,
    hidden_act: "gelu",
    tie_word_embeddings: false,
    attention_bias: true,
    use_parallel_residual: true,
  },
};

/** GPT-2: learned positions, matrices stored `[in, out]`, q, k and v fused. */
export const GPT2: FamilyDescriptor = {
  name: "gpt2",
  modelTypes: ["gpt2"],
  stockClass: "GPT2LMHeadModel",
  blockTensors: {
    "attentionNorm.weight": "transformer.h.{layer}.ln_1.weight",
    "attentionNorm.bias": "transformer.h.{layer}.ln_1.bias",
    "q_proj.weight": "transformer.h.{layer}.attn.c_attn.weight",
    "q_proj.bias": "transformer.h.{layer}.attn.c_attn.bias",
    "k_proj.weight": "transformer.h.{layer}.attn.c_attn.weight",
    "k_proj.bias": "transformer.h.{layer}.attn.c_attn.bias",
    "v_proj.weight": "transformer.h.{layer}.attn.c_attn.weight",
    "v_proj.bias": "transformer.h.{layer}.attn.c_attn.bias",
    "o_proj.weight": "transformer.h.{layer}.attn.c_proj.weight",
    "o_proj.bias": "transformer.h.{layer}.attn.c_proj.bias",
    "ffnNorm.weight": "transformer.h.{layer}.ln_2.weight",
    "ffnNorm.bias": "transformer.h.{layer}.ln_2.bias",
    "up_proj.weight": "transformer.h.{layer}.mlp.c_fc.weight",
    "up_proj.bias": "transformer.h.{layer}.mlp.c_fc.bias",
    "down_proj.weight": "transformer.h.{layer}.mlp.c_proj.weight",
    "down_proj.bias": "transformer.h.{layer}.mlp.c_proj.bias",
  },
  outerTensors: {
    "embedding.weight": "transformer.wte.weight",
    "positions.weight": "transformer.wpe.weight",
    "finalNorm.weight": "transformer.ln_f.weight",
    "finalNorm.bias": "transformer.ln_f.bias",
    "outputHead.weight": "lm_head.weight",
  },
  ignoredTensors: [/^transformer\.h\.\d+\.attn\.(bias|masked_bias)$/],
  optionalPrefix: "transformer.",
  biases: [{ roles: [...NORM_BIASES, ...ATTENTION_BIASES, ...FFN_BIASES] }],
  fusedRows: "stacked",
  transposedMatrices: true,
  norm: "layer",
  positions: { rowsBeforeFirst: 0 },
  headsInStream: "fill",
  configKeys: {
    hidden_size: "n_embd",
    num_hidden_layers: "n_layer",
    intermediate_size: "n_inner",
    num_attention_heads: "n_head",
    max_position_embeddings: "n_positions",
    rms_norm_eps: "layer_norm_epsilon",
    hidden_act: "activation_function",
  },
  defaults: {
    layer_norm_epsilon: 1e-5,
    n_positions: 1024,
    n_inner: null,
    activation_function: "gelu_new",
    tie_word_embeddings: true,
  },
  only: {
    scale_attn_weights: [true],
    scale_attn_by_inverse_layer_idx: [false],
    add_cross_attention: [false],
  },
};

/** OPT: learned positions behind two rows that stand for padding, ReLU. */
export const OPT: FamilyDescriptor = {
  name: "opt",
  modelTypes: ["opt"],
  stockClass: "OPTForCausalLM",
  blockTensors: {
    "attentionNorm.weight": "model.decoder.layers.{layer}.self_attn_layer_norm.weight",
    "attentionNorm.bias": "model.decoder.layers.{layer}.self_attn_layer_norm.bias",
    "q_proj.weight": "model.decoder.layers.{layer}.self_attn.q_proj.weight",
    "q_proj.bias": "model.decoder.layers.{layer}.self_attn.q_proj.bias",
    "k_proj.weight": "model.decoder.layers.{layer}.self_attn.k_proj.weight",
    "k_proj.bias": "model.decoder.layers.{layer}.self_attn.k_proj.bias",
    "v_proj.weight": "model.decoder.layers.{layer}.self_attn.v_proj.weight",
    "v_proj.bias": "model.decoder.layers.{layer}.self_attn.v_proj.bias",
    "o_proj.weight": "model.decoder.layers.{layer}.self_attn.out_proj.weight",
    "o_proj.bias": "model.decoder.layers.{layer}.self_attn.out_proj.bias",
    "ffnNorm.weight": "model.decoder.layers.{layer}.final_layer_norm.weight",
    "ffnNorm.bias": "model.decoder.layers.{layer}.final_layer_norm.bias",
    "up_proj.weight": "model.decoder.layers.{layer}.fc1.weight",
    "up_proj.bias": "model.decoder.layers.{layer}.fc1.bias",
    "down_proj.weight": "model.decoder.layers.{layer}.fc2.weight",
    "down_proj.bias": "model.decoder.layers.{layer}.fc2.bias",
  },
  outerTensors: {
    "embedding.weight": "model.decoder.embed_tokens.weight",
    "positions.weight": "model.decoder.embed_positions.weight",
    "finalNorm.weight": "model.decoder.final_layer_norm.weight",
    "finalNorm.bias": "model.decoder.final_layer_norm.bias",
    "outputHead.weight": "lm_head.weight",
  },
  ignoredTensors: [],
  optionalPrefix: "model.",
  biases: [
    { roles: NORM_BIASES },
    { configKey: "enable_bias", roles: [...ATTENTION_BIASES, ...FFN_BIASES] },
  ],
  norm: "layer",
  positions: { rowsBeforeFirst: 2 },
  headsInStream: "fill",
  configKeys: {
    intermediate_size: "ffn_dim",
    rms_norm_eps: "layer_norm_eps",
    hidden_act: "activation_function",
  },
  defaults: {
    // PyTorch's own, which no config of the family names.
    layer_norm_eps: 1e-5,
    max_position_embeddings: 2048,
    activation_function: "relu",
    tie_word_embeddings: true,
    enable_bias: true,
  },
  only: {
    do_layer_norm_before: [true],
    _remove_final_layer_norm: [false],
    layer_norm_elementwise_affine: [true],
  },
};
