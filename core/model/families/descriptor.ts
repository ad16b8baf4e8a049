/**
 * What a family of models is described by. All of it is data.
 * @module
 */
import type { BlockRole, OuterRole } from "../types.ts";

/** A place where a family's config can switch on biases. */
export interface BiasSwitch {
  /** The boolean key of `config.json`; undefined where the family has these biases always. */
  readonly configKey?: string;
  /** The biases that it brings, all together. */
  readonly roles: readonly BlockRole[];
}

/** Which layers look back a window alone, and which know no positions; a list `layer_types` in the config goes first. */
export interface AttentionPattern {
  /** The boolean key without which there is no window; undefined where the window is always meant. */
  readonly switchKey?: string;
  /** Every so many layers one sees everything, and the others look back a window; undefined where all have windows. */
  readonly globalEvery?: { readonly configKey?: string; readonly standIn: number };
  /** The key of how many first layers see everything. */
  readonly globalUntilKey?: string;
  /** The key of a list with 0 for each layer without rotary embedding, and of the interval that stands in for it. */
  readonly unrotated?: { readonly listKey: string; readonly intervalKey: string };
  /** The key of the base of the rotary frequencies of layers with a window, where it is another, and its stand-in. */
  readonly localTheta?: { readonly configKey: string; readonly standIn: number };
}

/** The fields of a config by Llama's names, which other families may call otherwise. */
export type ConfigField =
  | "hidden_size"
  | "num_hidden_layers"
  | "intermediate_size"
  | "num_attention_heads"
  | "max_position_embeddings"
  | "rms_norm_eps"
  | "hidden_act"
  | "rope_theta"
  | "partial_rotary_factor";

/** What makes a family of models: names of tensors, and switches. */
export interface FamilyDescriptor {
  /** The family's name for people. */
  readonly name: string;
  /** The values of `model_type` that it covers. */
  readonly modelTypes: readonly string[];
  /** The class of `transformers` that loads it. */
  readonly stockClass: string;
  /**
   * Names of a block's tensors, with `{layer}` for the layer's number. A role that is missing does not exist. Roles of
   * one name are fused in one tensor, in this order.
   */
  readonly blockTensors: Readonly<Partial<Record<BlockRole, string>>>;
  /** Names of the tensors outside the blocks. */
  readonly outerTensors:
    & Readonly<Record<"embedding.weight" | "finalNorm.weight" | "outputHead.weight", string>>
    & Readonly<Partial<Record<OuterRole, string>>>;
  /** Names that old files hold and nothing needs, as regular expressions. */
  readonly ignoredTensors: readonly RegExp[];
  /** What the names of all tensors but the output head start with, and in some files do not. */
  readonly optionalPrefix?: string;
  /** The biases that stock runtimes can load, and what switches them on. */
  readonly biases: readonly BiasSwitch[];
  /** How rows of fused projections lie: one projection after the other, or head by head the rows of each. */
  readonly fusedRows?: "stacked" | "by-head";
  /** Matrices of blocks are stored `[in, out]`: `Conv1D` of GPT-2. */
  readonly transposedMatrices?: true;
  /** How the residual stream is normed: by its root mean square, or as LayerNorm with biases. */
  readonly norm: "rms" | "layer";
  /** What is added to the weight of every norm. */
  readonly normOffset?: number;
  /** Whether norms of q and k are over each head, or over all heads together; only where there are any. */
  readonly queryKeyNorm?: "head" | "all-heads";
  /** How positions are told: by rotating channel i with channel i + rotated / 2, or by rows of a table. */
  readonly positions: "rotary" | { readonly rowsBeforeFirst: number };
  /** The share of a head's channels that is rotated where the config says nothing; undefined for always all. */
  readonly partialRotary?: number;
  /** Which layers have windows; undefined where no layer has one. */
  readonly attention?: AttentionPattern;
  /** Rows of the embedding are multiplied by √hidden. */
  readonly scaledEmbedding?: true;
  /** The boolean key of whether attention and FFN read the same stream. */
  readonly parallelResidualKey?: string;
  /** The config says what q·k is divided by the root of (`query_pre_attn_scalar`), and may cap scores and logits. */
  readonly cappedAttention?: true;
  /**
   * What stock classes want of the number of query heads: `fill` that heads × head size = hidden, so that no model that
   * lost heads loads in them; `divide` that hidden is a multiple of it. Anything if absent.
   */
  readonly headsInStream?: "fill" | "divide";
  /** The config's own names for fields. */
  readonly configKeys?: Readonly<Partial<Record<ConfigField, string>>>;
  /** The values that the reference implementation takes for what `config.json` leaves out, by the config's own names. */
  readonly defaults: Readonly<Record<string, number | string | boolean | null>>;
  /** Keys that change what is computed, and the only values of theirs that gprune computes. */
  readonly only?: Readonly<Record<string, readonly unknown[]>>;
}
