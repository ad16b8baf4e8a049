/**
 * The model families that gprune knows, as data. A new family is a new descriptor here and a parity test: nothing else
 * asks what a model is called.
 * @module
 */
import { ModelError } from "../errors.ts";
import type { BlockRole, OuterRole, Structure } from "./types.ts";

/**
 * How much of an axis one unit takes: one channel (an FFN neuron), the channels of its key/value head, or the channels
 * of all query heads that share this head.
 */
export type CutSize = "channel" | "keyValueHead" | "queryHeads";

/** One tensor that loses slices when a unit is removed. */
export interface CutTemplate {
  /** The tensor. */
  readonly role: BlockRole;
  /** The axis that becomes shorter: 0 for rows (outputs), 1 for columns (inputs). */
  readonly axis: 0 | 1;
  /** How much of the axis a unit takes. */
  readonly size: CutSize;
}

/** A place where a family's config can switch on biases. */
export interface BiasSwitch {
  /** The boolean key of `config.json`; undefined where the family has these biases always. */
  readonly configKey?: string;
  /** The biases that it brings, all together. */
  readonly roles: readonly BlockRole[];
}

/** What makes a family of models: names of tensors, and switches. */
export interface FamilyDescriptor {
  /** The family's name for people. */
  readonly name: string;
  /** The values of `model_type` that it covers. */
  readonly modelTypes: readonly string[];
  /** Names of a block's tensors, with `{layer}` for the layer's number. A role that is missing does not exist. */
  readonly blockTensors: Readonly<Partial<Record<BlockRole, string>>>;
  /** Names of the tensors outside the blocks. */
  readonly outerTensors: Readonly<Record<OuterRole, string>>;
  /** Names that old files hold and nothing needs, as regular expressions. */
  readonly ignoredTensors: readonly RegExp[];
  /** The biases that stock runtimes can load, and what switches them on. */
  readonly biases: readonly BiasSwitch[];
  /** What is cut where when a unit goes. */
  readonly cuts: Readonly<Record<Structure, readonly CutTemplate[]>>;
  /** How the residual stream is normed: by its root mean square. */
  readonly norm: "rms";
  /** Which channels of a head are rotated together: channel i with channel i + headSize / 2. */
  readonly rotaryLayout: "halves";
  /** The config's key of how far attention looks back; undefined where it always sees everything. */
  readonly slidingWindowKey?: string;
  /** The values that the reference implementation takes for what `config.json` leaves out. */
  readonly defaults: Readonly<Record<string, number | string | boolean>>;
}

const SEPARATE_PROJECTIONS: FamilyDescriptor["blockTensors"] = {
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

const OUTER_TENSORS: FamilyDescriptor["outerTensors"] = {
  "embedding.weight": "model.embed_tokens.weight",
  "finalNorm.weight": "model.norm.weight",
  "outputHead.weight": "lm_head.weight",
};

/** Gated FFN and grouped-query attention with one tensor for each projection. The biases of o and down stay whole. */
const SEPARATE_CUTS: FamilyDescriptor["cuts"] = {
  ffn: [
    { role: "gate_proj.weight", axis: 0, size: "channel" },
    { role: "gate_proj.bias", axis: 0, size: "channel" },
    { role: "up_proj.weight", axis: 0, size: "channel" },
    { role: "up_proj.bias", axis: 0, size: "channel" },
    { role: "down_proj.weight", axis: 1, size: "channel" },
  ],
  heads: [
    { role: "q_proj.weight", axis: 0, size: "queryHeads" },
    { role: "q_proj.bias", axis: 0, size: "queryHeads" },
    { role: "k_proj.weight", axis: 0, size: "keyValueHead" },
    { role: "k_proj.bias", axis: 0, size: "keyValueHead" },
    { role: "v_proj.weight", axis: 0, size: "keyValueHead" },
    { role: "v_proj.bias", axis: 0, size: "keyValueHead" },
    { role: "o_proj.weight", axis: 1, size: "queryHeads" },
  ],
};

const LLAMA: FamilyDescriptor = {
  name: "llama",
  modelTypes: ["llama"],
  blockTensors: SEPARATE_PROJECTIONS,
  outerTensors: OUTER_TENSORS,
  ignoredTensors: [/^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/],
  biases: [
    {
      configKey: "attention_bias",
      roles: ["q_proj.bias", "k_proj.bias", "v_proj.bias", "o_proj.bias"],
    },
    { configKey: "mlp_bias", roles: ["gate_proj.bias", "up_proj.bias", "down_proj.bias"] },
  ],
  cuts: SEPARATE_CUTS,
  norm: "rms",
  rotaryLayout: "halves",
  defaults: {
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    max_position_embeddings: 2048,
    hidden_act: "silu",
    tie_word_embeddings: false,
  },
};

const MISTRAL: FamilyDescriptor = {
  ...LLAMA,
  name: "mistral",
  modelTypes: ["mistral"],
  biases: [],
  slidingWindowKey: "sliding_window",
  defaults: {
    ...LLAMA.defaults,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    sliding_window: 4096,
  },
};

/** All families that gprune can prune. */
export const FAMILIES: readonly FamilyDescriptor[] = [LLAMA, MISTRAL];

/**
 * Finds the family of a `model_type`.
 *
 * @param modelType The `model_type` of a `config.json`
 * @returns Its descriptor
 * @throws {ModelError} if gprune does not know it; the message lists what it knows
 *
 * @example
 * ```ts
 * import { familyOf } from "./families.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(familyOf("mistral").biases, []);
 * ```
 */
export function familyOf(modelType: string): FamilyDescriptor {
  const family = FAMILIES.find(({ modelTypes }) => modelTypes.includes(modelType));
  if (family === undefined) {
    const known = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(", ");
    throw new ModelError(
      `Cannot use model type '${modelType}': gprune prunes models of the types ${known}`,
    );
  }
  return family;
}

/**
 * The name of a block's tensor in the files.
 *
 * @param family The model's family
 * @param role The part that the tensor plays
 * @param layer The block's number, from 0
 * @returns Its name
 * @throws {ModelError} if the family has no such tensor
 */
export function blockTensorName(family: FamilyDescriptor, role: BlockRole, layer: number): string {
  const template = family.blockTensors[role];
  if (template === undefined) {
    throw new ModelError(`Cannot name tensor '${role}': models of ${family.name} have none`);
  }
  return template.replace("{layer}", String(layer));
}
