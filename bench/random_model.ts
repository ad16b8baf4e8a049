/**
 * A model of random weights on the disk, for benches of speed and memory: neither depends on what the weights are.
 * @module
 */
import { encode } from "../core/model/number_formats.ts";
import { type TensorEntry, writeSafetensors } from "../core/model/safetensors_writer.ts";
import type { LayerShape } from "../core/model/types.ts";

/** The sizes of a made-up Llama. */
export interface RandomModelSizes extends LayerShape {
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Channels of a head. */
  readonly headSize: number;
  /** Blocks. */
  readonly layers: number;
  /** Tokens that there are. */
  readonly vocabularySize: number;
}

/** The shape of the popular models of 135 M parameters. */
export const shape135M: RandomModelSizes = {
  hiddenSize: 576,
  headSize: 64,
  layers: 30,
  vocabularySize: 49_152,
  ffnWidth: 1536,
  keyValueHeads: 3,
  queryHeads: 9,
};

/** Numbers that are made and written at a time. */
const PIECE = 1 << 18;

/**
 * Writes a model in bf16 with tied embeddings, in the Hugging Face layout, with the embedded model's tokenizer (whose
 * tokens are the first of the vocabulary).
 *
 * @param folder Where to; made if missing
 * @param sizes Its sizes
 * @param seed Another seed gives other weights
 */
export async function writeRandomModel(
  folder: string,
  sizes: RandomModelSizes,
  seed = 1,
): Promise<void> {
  const { hiddenSize, headSize, layers, vocabularySize, ffnWidth } = sizes;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(configOf(sizes)));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(new URL(`../models/tiny/${name}`, import.meta.url), `${folder}/${name}`);
  }
  const random = randomBits(seed);
  const matrix = (name: string, rows: number, columns: number): TensorEntry => ({
    name: `${name}.weight`,
    dataType: "BF16",
    shape: [rows, columns],
    // A deviation of 1 / √inputs keeps the size of what goes through.
    bytes: () => uniform(random, rows * columns, 1 / Math.sqrt(columns)),
  });
  const norm = (name: string): TensorEntry => ({
    name: `${name}.weight`,
    dataType: "BF16",
    shape: [hiddenSize],
    bytes: () => encode(new Float32Array(hiddenSize).fill(1), "BF16"),
  });
  const [queries, keys] = [sizes.queryHeads * headSize, sizes.keyValueHeads * headSize];
  const blocks = Array.from({ length: layers }, (_, layer) => {
    const own = `model.layers.${layer}`;
    return [
      norm(`${own}.input_layernorm`),
      matrix(`${own}.self_attn.q_proj`, queries, hiddenSize),
      matrix(`${own}.self_attn.k_proj`, keys, hiddenSize),
      matrix(`${own}.self_attn.v_proj`, keys, hiddenSize),
      matrix(`${own}.self_attn.o_proj`, hiddenSize, queries),
      norm(`${own}.post_attention_layernorm`),
      matrix(`${own}.mlp.gate_proj`, ffnWidth, hiddenSize),
      matrix(`${own}.mlp.up_proj`, ffnWidth, hiddenSize),
      matrix(`${own}.mlp.down_proj`, hiddenSize, ffnWidth),
    ];
  });
  await writeSafetensors(`${folder}/model.safetensors`, [
    matrix("model.embed_tokens", vocabularySize, hiddenSize),
    ...blocks.flat(),
    norm("model.norm"),
  ]);
}

function configOf(sizes: RandomModelSizes): Readonly<Record<string, unknown>> {
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
    tie_word_embeddings: true,
    torch_dtype: "bfloat16",
  };
}

/** 32 random bits at every call (Marsaglia, "Xorshift RNGs", 2003). */
function randomBits(seed: number): () => number {
  let state = (seed * 0x9e3779b9) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** Numbers of a mean of 0, all equally likely. */
function* uniform(random: () => number, count: number, deviation: number): Generator<Uint8Array> {
  const scale = deviation * Math.sqrt(12) / 2 ** 32;
  const piece = new Float32Array(PIECE);
  for (let done = 0; done < count; done += PIECE) {
    const size = Math.min(PIECE, count - done);
    for (let at = 0; at < size; at++) piece[at] = scale * random();
    yield encode(piece.subarray(0, size), "BF16");
  }
}
