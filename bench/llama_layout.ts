/**
 * What the folder of a Llama holds, for benches that make one up: fields of its config, and its tensors.
 * @module
 */
import type { LayerShape } from "../core/model/types.ts";

/** The sizes of a made-up Llama. */
export interface LlamaSizes extends LayerShape {
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Channels of a head. */
  readonly headSize: number;
  /** Blocks. */
  readonly layers: number;
  /** Tokens that there are. */
  readonly vocabularySize: number;
}

/** A tensor's place in a file. */
export interface LlamaTensor {
  /** As Hugging Face names it. */
  readonly name: string;
  /** `[rows, columns]`, or `[channels]` of a norm. */
  readonly shape: readonly number[];
}

/**
 * The fields of config.json.
 *
 * @param sizes The model's sizes
 * @param tied Whether the output head is the embedding
 * @returns The fields
 */
export function llamaConfig(sizes: LlamaSizes, tied: boolean): Readonly<Record<string, unknown>> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: sizes.hiddenSize,
    intermediate_size: sizes.ffnWidth,
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.queryHeads,
    num_key_value_heads: sizes.keyValueHeads,
    head_dim: sizes.headSize,
    vocab_size: sizes.vocabularySize,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: "silu",
    tie_word_embeddings: tied,
    torch_dtype: "bfloat16",
  };
}

/**
 * The tensors, in the order of a forward pass.
 *
 * @param sizes The model's sizes
 * @param tied Whether the output head is the embedding, and none of its own
 * @returns Names and shapes
 */
export function llamaTensors(sizes: LlamaSizes, tied: boolean): readonly LlamaTensor[] {
  const { hiddenSize, headSize, ffnWidth, vocabularySize } = sizes;
  const [queries, keys] = [sizes.queryHeads * headSize, sizes.keyValueHeads * headSize];
  const tensor = (name: string, ...shape: number[]) => ({ name: `${name}.weight`, shape });
  const blocks = Array.from({ length: sizes.layers }, (_, layer) => {
    const own = (name: string, ...shape: number[]) =>
      tensor(`model.layers.${layer}.${name}`, ...shape);
    return [
      own("input_layernorm", hiddenSize),
      own("self_attn.q_proj", queries, hiddenSize),
      own("self_attn.k_proj", keys, hiddenSize),
      own("self_attn.v_proj", keys, hiddenSize),
      own("self_attn.o_proj", hiddenSize, queries),
      own("post_attention_layernorm", hiddenSize),
      own("mlp.gate_proj", ffnWidth, hiddenSize),
      own("mlp.up_proj", ffnWidth, hiddenSize),
      own("mlp.down_proj", hiddenSize, ffnWidth),
    ];
  });
  return [
    tensor("model.embed_tokens", vocabularySize, hiddenSize),
    ...blocks.flat(),
    tensor("model.norm", hiddenSize),
    ...(tied ? [] : [tensor("lm_head", vocabularySize, hiddenSize)]),
  ];
}
