/**
 * What a model is to the rest of gprune: a described architecture and tensors that stay in their files.
 * @module
 */

/** How the numbers of a tensor are stored, in the words of the safetensors format. */
export type DataType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U8"
  | "BOOL";

/** A tensor in a file: where its bytes lie. Nothing is read until it is asked for. */
export interface TensorView {
  /** The tensor's name in the file. */
  readonly name: string;
  /** How its numbers are stored. */
  readonly dataType: DataType;
  /** Sizes of its axes, outermost first. */
  readonly shape: readonly number[];
  /** The real path of the file (no symbolic links). */
  readonly path: string;
  /** Where its first byte lies in the file. */
  readonly offset: number;
  /** How many bytes it takes, from its first to behind its last. */
  readonly byteLength: number;
  /** Where its numbers lie between others' in the file; absent where they lie one after the other, row by row. */
  readonly layout?: StridedLayout;
}

/**
 * How a tensor lies inside a larger one (fused projections, matrices stored `[in, out]`). Number (row, column) is
 * `floor(row / runRows) * runStride + (row % runRows) * rowStride + column * columnStride` numbers behind the first.
 */
export interface StridedLayout {
  /** Rows that follow one another at `rowStride`. */
  readonly runRows: number;
  /** From one run of rows to the next. */
  readonly runStride: number;
  /** From a row to the next in its run. */
  readonly rowStride: number;
  /** From a column to the next. */
  readonly columnStride: number;
}

/** A tensor in memory, in float32, row-major. */
export interface MemoryTensor {
  /** Sizes of its axes, outermost first. */
  readonly shape: readonly number[];
  /** The numbers. */
  readonly data: Float32Array;
}

/** A tensor, wherever it is. A view has a `path`, a tensor in memory has `data`. */
export type Tensor = TensorView | MemoryTensor;

/** The tensors of a folder by name. */
export type TensorIndex = ReadonlyMap<string, TensorView>;

/** The tensors that a decoder block can have, by the part that they play. */
export type BlockRole =
  | "attentionNorm.weight"
  | "attentionNorm.bias"
  | "q_proj.weight"
  | "q_proj.bias"
  | "k_proj.weight"
  | "k_proj.bias"
  | "v_proj.weight"
  | "v_proj.bias"
  | "o_proj.weight"
  | "o_proj.bias"
  | "q_norm.weight"
  | "k_norm.weight"
  | "attentionPostNorm.weight"
  | "ffnNorm.weight"
  | "ffnNorm.bias"
  | "gate_proj.weight"
  | "gate_proj.bias"
  | "up_proj.weight"
  | "up_proj.bias"
  | "down_proj.weight"
  | "down_proj.bias"
  | "ffnPostNorm.weight";

/** The tensors outside the blocks. `outputHead.weight` is absent where the output is tied to the embedding. */
export type OuterRole =
  | "embedding.weight"
  | "positions.weight"
  | "finalNorm.weight"
  | "finalNorm.bias"
  | "outputHead.weight";

/**
 * The tensors of one block. Projections are `[out, in]`: q_proj `[queryHeads * headSize, hidden]`, k_proj and v_proj
 * `[keyValueHeads * headSize, hidden]`, o_proj `[hidden, queryHeads * headSize]`, gate_proj and up_proj
 * `[ffnWidth, hidden]`, down_proj `[hidden, ffnWidth]`; norms `[hidden]`, but q_norm and k_norm `[headSize]` or all
 * channels of all heads; biases `[out]`. What is not there is not computed: an FFN without gate_proj has no gate, and a
 * block without attentionNorm norms only what attention gives (attentionPostNorm).
 */
export type BlockTensors = ReadonlyMap<BlockRole, Tensor>;

/**
 * How a layer attends where the layers of a model differ in it: `global` sees everything, `local` looks back
 * `slidingWindow` tokens and rotates by `localRotary` where there is one, `unrotated` sees everything and knows no
 * positions, `local-unrotated` neither.
 */
export type AttentionKind = "global" | "local" | "unrotated" | "local-unrotated";

/** What is particular to one layer: sizes that pruning changes. Queries per KV group = `queryHeads / keyValueHeads`. */
export interface LayerShape {
  /** FFN neurons. */
  readonly ffnWidth: number;
  /** Key/value heads, and so KV groups. */
  readonly keyValueHeads: number;
  /** Query heads: a multiple of `keyValueHeads`. */
  readonly queryHeads: number;
  /** How it attends; absent where all layers attend alike, by the architecture's `rotary` and `slidingWindow`. */
  readonly attention?: AttentionKind;
}

/**
 * How positions turn into rotations. Of a head's channels the first `2 * inverseFrequencies.length` are rotated,
 * channel i with channel i + `inverseFrequencies.length`; the rest, if any, are left as they are.
 */
export interface RotaryEmbedding {
  /** The base of the frequencies (`rope_theta`). */
  readonly theta: number;
  /** `default`, `linear`, `llama3`, `dynamic`, `yarn`, `longrope`: the scaling's name in the config. */
  readonly scaling: string;
  /** Radians per position for each pair of channels with all scaling applied, `[headSize / 2]` or fewer. */
  readonly inverseFrequencies: readonly number[];
  /** A factor on sine and cosine (yarn); 1 otherwise. */
  readonly attentionFactor: number;
}

/**
 * What a model computes, in numbers and switches. A switch that is absent is as in Llama; `switchesOf` names those that
 * are set. What tensors tell by being there or not (a gate, norms before or after, norms of q and k, biases) is no switch.
 */
export interface Architecture {
  /** The `model_type` of its config, such as `llama`. */
  readonly family: string;
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Channels of one head. */
  readonly headSize: number;
  /** Tokens in the vocabulary (rows of the embedding). */
  readonly vocabularySize: number;
  /** The longest text that it was made for, in tokens. */
  readonly maxPositions: number;
  /** Added to the mean square (of a LayerNorm: to the variance) in every norm. */
  readonly normEpsilon: number;
  /** `layer` for LayerNorm, with biases; RMSNorm if absent. */
  readonly norm?: "layer";
  /** What is added to the weight of every norm: 1 in Gemma. 0 if absent. */
  readonly normOffset?: number;
  /** The activation of the gate, or of an FFN without one. */
  readonly activation: "silu" | "gelu" | "gelu_tanh" | "relu";
  /** Rotary embedding of queries and keys; of no channels where positions are learned. */
  readonly rotary: RotaryEmbedding;
  /** That of layers whose attention is `local`, where it is another. */
  readonly localRotary?: RotaryEmbedding;
  /** Rows of the learned positions before that of position 0; absent where positions are not learned. */
  readonly positionOffset?: number;
  /** What q·k is multiplied by; 1 / √headSize if absent. */
  readonly attentionScale?: number;
  /** Attention scores s become cap · tanh(s / cap). */
  readonly attentionSoftCap?: number;
  /** Logits x become cap · tanh(x / cap). */
  readonly logitSoftCap?: number;
  /** What rows of the embedding are multiplied by; 1 if absent. */
  readonly embeddingScale?: number;
  /** Attention and FFN both read the stream before the block, and both are added to it. */
  readonly parallelResidual?: true;
  /** Whether the norms of q and k are over all channels of all heads together; over each head if absent. */
  readonly queryKeyNorm?: "all-heads";
  /** Tokens that attention can look back on, itself included, or undefined for all. */
  readonly slidingWindow?: number;
  /** Whether the output head is the embedding. */
  readonly tiedEmbedding: boolean;
  /** The biases that every block has; none if absent. */
  readonly biases?: readonly BlockRole[];
  /** Sizes of each layer, first to last. */
  readonly layers: readonly LayerShape[];
}

/** The two kinds of unit that pruning removes whole. */
export type Structure = "ffn" | "heads";

/** Text to token numbers and back. */
export interface TextTokenizer {
  /** Token numbers of a text, without special tokens. */
  encode(text: string): number[];
  /** The text of token numbers. */
  decode(tokens: readonly number[]): string;
  /** The token that starts a text where the model wants one (`add_bos_token`), else undefined. */
  readonly startToken?: number;
  /** The token that ends a text, if the model has one. */
  readonly endToken?: number;
}

/** A model in a folder: read its description at once, its tensors when they are needed. */
export interface Model {
  /** A short name for people and file names: the last part of `source`. */
  readonly name: string;
  /** What the user asked for: a folder, a hub id, or `embedded`. */
  readonly source: string;
  /** The folder that holds its files. */
  readonly folder: string;
  /** What it computes. */
  readonly architecture: Architecture;
  /** The whole `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Every tensor of its files by name. */
  readonly tensors: TensorIndex;
  /** How most of its numbers are stored. */
  readonly dataType: DataType;
  /** Numbers in all tensors, tied ones once. */
  readonly parameters: number;
  /** Bytes of its weight files. */
  readonly bytes: number;
  /** SHA-256 over config and weights (sampled where they pass 64 MiB), as hexadecimal digits. */
  readonly fingerprint: string;
  /** Names of the files beside config and weights that belong in every copy (tokenizer, chat template, generation config). */
  readonly companionFiles: readonly string[];
  /** Its tokenizer; read at the first call. */
  tokenizer(): Promise<TextTokenizer>;
}
