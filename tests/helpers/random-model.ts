/**
 * Writes small random models in the Hugging Face layout, with a byte-level tokenizer that works, for tests.
 * @module
 */
import { encode, type FloatDataType, numberCount } from "../../core/model/number_formats.ts";
import { type TensorEntry, writeSafetensors } from "../../core/model/safetensors_writer.ts";
import type { LayerShape } from "../../core/model/types.ts";

/** What the random model is like; everything has a default. */
export interface RandomModelOptions {
  /** Where to write it; a new temporary folder if absent. */
  readonly folder?: string;
  /** The `model_type`; default `llama`. */
  readonly modelType?: string;
  /** Number of blocks; default 2, or as many as `shapes` has. */
  readonly layers?: number;
  /** Width of the residual stream; default 32. */
  readonly hidden?: number;
  /** Channels of a head; default 8. */
  readonly headSize?: number;
  /** Query heads; default 4. */
  readonly queryHeads?: number;
  /** Key/value heads; default 2. */
  readonly keyValueHeads?: number;
  /** FFN neurons; default 48. */
  readonly ffnWidth?: number;
  /** Sizes of each layer where they differ; written as `per_layer_config`. */
  readonly shapes?: readonly LayerShape[];
  /** Tokens; default 257: the bytes and the end token. No fewer. */
  readonly vocabulary?: number;
  /** Longest text in tokens; default 256. */
  readonly maxPositions?: number;
  /** How the numbers are stored; default `f32`. */
  readonly dtype?: "f32" | "f16" | "bf16" | "f64";
  /** Whether the output head is the embedding; default true. */
  readonly tied?: boolean;
  /** Biases on q, k, v and o; default false. */
  readonly attentionBias?: boolean;
  /** Biases on gate, up and down; default false. */
  readonly mlpBias?: boolean;
  /** The config's `rope_scaling`. */
  readonly ropeScaling?: Readonly<Record<string, unknown>>;
  /** Two weight files with an index; default false. */
  readonly sharded?: boolean;
  /** Whether the tokenizer wants a start token (the end token is used); default false. */
  readonly startToken?: boolean;
  /** Seed of the numbers; default 0. */
  readonly seed?: number;
  /** Fields that replace or join those of `config.json`; an undefined one takes its field away. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** The number of the end token (and of the start token, if wanted). */
export const END_TOKEN = 256;

/** A tensor of a random model: its name and shape, and how large its numbers are. */
interface RandomTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly mean: number;
  readonly deviation: number;
}

/**
 * Writes a random model.
 *
 * @param options What it is like
 * @returns The path of its folder
 */
export async function writeRandomModel(options: RandomModelOptions = {}): Promise<string> {
  const folder = options.folder ?? await Deno.makeTempDir({ prefix: "gprune-model-" });
  await Deno.mkdir(folder, { recursive: true });
  const json = (name: string, value: unknown) =>
    Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(value, null, 2));
  await json("config.json", makeConfig(options));
  await json("tokenizer.json", byteTokenizer());
  await json("tokenizer_config.json", {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: "<|endoftext|>",
    eos_token: "<|endoftext|>",
    add_bos_token: options.startToken ?? false,
    clean_up_tokenization_spaces: false,
  });
  const entries = makeEntries(options);
  if (options.sharded) await writeShards(folder, entries);
  else await writeSafetensors(`${folder}/model.safetensors`, entries);
  return folder;
}

/**
 * Writes a random model, hands it to a function, and removes it.
 *
 * @param options What it is like
 * @param use What to do with the path of its folder
 * @returns What the function returns
 */
export async function withRandomModel<T>(
  options: RandomModelOptions,
  use: (folder: string) => T | Promise<T>,
): Promise<T> {
  const folder = await writeRandomModel(options);
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Makes a function that draws from the standard normal distribution.
 *
 * @param seed Equal seeds give equal numbers
 * @returns The function
 */
export function normalNumbers(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  // mulberry32: 32 bits of state are plenty for test weights.
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

function sizes(options: RandomModelOptions) {
  const shape = {
    ffnWidth: options.ffnWidth ?? 48,
    keyValueHeads: options.keyValueHeads ?? 2,
    queryHeads: options.queryHeads ?? 4,
  };
  const layers = options.layers ?? options.shapes?.length ?? 2;
  return {
    hidden: options.hidden ?? 32,
    headSize: options.headSize ?? 8,
    vocabulary: options.vocabulary ?? 257,
    shapes: options.shapes ?? Array.from({ length: layers }, () => shape),
    shape,
    tied: options.tied ?? true,
  };
}

function makeConfig(options: RandomModelOptions): Record<string, unknown> {
  const { hidden, headSize, vocabulary, shapes, shape, tied } = sizes(options);
  const modelType = options.modelType ?? "llama";
  const config: Record<string, unknown> = {
    architectures: [`${modelType[0].toUpperCase()}${modelType.slice(1)}ForCausalLM`],
    model_type: modelType,
    hidden_size: hidden,
    intermediate_size: shape.ffnWidth,
    num_hidden_layers: shapes.length,
    num_attention_heads: shape.queryHeads,
    num_key_value_heads: shape.keyValueHeads,
    head_dim: headSize,
    vocab_size: vocabulary,
    max_position_embeddings: options.maxPositions ?? 256,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    rope_scaling: options.ropeScaling ?? null,
    hidden_act: "silu",
    tie_word_embeddings: tied,
    attention_bias: options.attentionBias ?? false,
    mlp_bias: options.mlpBias ?? false,
    ...(modelType === "mistral" ? { sliding_window: null } : {}),
    ...(options.shapes === undefined ? {} : { per_layer_config: perLayerConfig(options.shapes) }),
    bos_token_id: END_TOKEN,
    eos_token_id: END_TOKEN,
    torch_dtype: { f32: "float32", f16: "float16", bf16: "bfloat16", f64: "float64" }[
      options.dtype ?? "f32"
    ],
  };
  return { ...config, ...options.config };
}

function perLayerConfig(shapes: readonly LayerShape[]): Record<string, unknown> {
  return Object.fromEntries(shapes.map((shape, layer) => [`${layer}`, {
    intermediate_size: shape.ffnWidth,
    num_attention_heads: shape.queryHeads,
    num_key_value_heads: shape.keyValueHeads,
  }]));
}

function makeEntries(options: RandomModelOptions): TensorEntry[] {
  const { hidden, vocabulary, shapes, tied } = sizes(options);
  const weight = (name: string, rows: number, columns: number): RandomTensor => (
    { name, shape: [rows, columns], mean: 0, deviation: 1 / Math.sqrt(columns) }
  );
  const norm = (name: string): RandomTensor => (
    { name, shape: [hidden], mean: 1, deviation: 0.1 }
  );
  const tensors = [
    { ...weight("model.embed_tokens.weight", vocabulary, hidden), deviation: 0.3 },
    ...shapes.flatMap((shape, layer) =>
      blockTensors(options, shape).map((tensor) => ({
        ...tensor,
        name: `model.layers.${layer}.${tensor.name}`,
      }))
    ),
    norm("model.norm.weight"),
    ...(tied ? [] : [{ ...weight("lm_head.weight", vocabulary, hidden), deviation: 0.3 }]),
  ];
  const dataType = { f32: "F32", f16: "F16", bf16: "BF16", f64: "F64" }[
    options.dtype ?? "f32"
  ] as FloatDataType;
  return tensors.map(({ name, shape, mean, deviation }, index) => ({
    name,
    shape,
    dataType,
    bytes: () => {
      const next = normalNumbers((options.seed ?? 0) * 4099 + index);
      const data = Float32Array.from(
        { length: numberCount(shape) },
        () => mean + deviation * next(),
      );
      return encode(data, dataType);
    },
  }));
}

function blockTensors(options: RandomModelOptions, shape: LayerShape): RandomTensor[] {
  const { hidden, headSize } = sizes(options);
  const queries = shape.queryHeads * headSize;
  const keys = shape.keyValueHeads * headSize;
  const projection = (name: string, rows: number, columns: number, bias?: boolean) => [
    {
      name: `${name}.weight`,
      shape: [rows, columns],
      mean: 0,
      deviation: 1 / Math.sqrt(columns),
    },
    ...(bias ? [{ name: `${name}.bias`, shape: [rows], mean: 0, deviation: 0.1 }] : []),
  ];
  const { attentionBias, mlpBias } = options;
  return [
    { name: "input_layernorm.weight", shape: [hidden], mean: 1, deviation: 0.1 },
    ...projection("self_attn.q_proj", queries, hidden, attentionBias),
    ...projection("self_attn.k_proj", keys, hidden, attentionBias),
    ...projection("self_attn.v_proj", keys, hidden, attentionBias),
    ...projection("self_attn.o_proj", hidden, queries, attentionBias),
    { name: "post_attention_layernorm.weight", shape: [hidden], mean: 1, deviation: 0.1 },
    ...projection("mlp.gate_proj", shape.ffnWidth, hidden, mlpBias),
    ...projection("mlp.up_proj", shape.ffnWidth, hidden, mlpBias),
    ...projection("mlp.down_proj", hidden, shape.ffnWidth, mlpBias),
  ];
}

async function writeShards(folder: string, entries: readonly TensorEntry[]): Promise<void> {
  const half = Math.ceil(entries.length / 2);
  const weightMap: Record<string, string> = {};
  let total = 0;
  for (const [index, shard] of [entries.slice(0, half), entries.slice(half)].entries()) {
    const file = `model-0000${index + 1}-of-00002.safetensors`;
    total += (await writeSafetensors(`${folder}/${file}`, shard)).bytes;
    for (const { name } of shard) weightMap[name] = file;
  }
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  await Deno.writeTextFile(`${folder}/model.safetensors.index.json`, JSON.stringify(index));
}

/** A byte-level BPE without merges: token n is byte n, token 256 ends a text. */
function byteTokenizer(): Record<string, unknown> {
  const byteLevel = {
    type: "ByteLevel",
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [{
      id: END_TOKEN,
      content: "<|endoftext|>",
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    }],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: { ...byteLevel, add_prefix_space: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(byteCharacters().map((character, byte) => [character, byte])),
      merges: [],
    },
  };
}

/** The printable characters that stand for the 256 bytes in byte-level tokenizers (GPT-2's table). */
function byteCharacters(): string[] {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    return String.fromCharCode(printable(byte) ? byte : next++);
  });
}
