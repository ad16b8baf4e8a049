/**
 * Fields that change what is computed in ways that gprune does not follow: they are refused by name.
 * @module
 */
import type { FamilyDescriptor } from "../families/descriptor.ts";
import { cannotUse, show } from "./check.ts";

/**
 * Switches of models elsewhere, and the values that leave a model as it is. A key that a family reads itself is not
 * looked at here.
 */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  alibi: [false],
  attention_chunk_size: [null],
  attention_multiplier: [null],
  attn_logit_softcapping: [null],
  attn_temperature_tuning: [null, false, 0],
  clip_qkv: [null],
  embedding_multiplier: [null, 1],
  final_logit_softcapping: [null],
  is_encoder_decoder: [false],
  logit_scale: [null, 1],
  logits_scaling: [null, 1],
  n_routed_experts: [null, 0],
  num_experts: [null, 0],
  num_local_experts: [null, 0],
  qk_layernorm: [null, false],
  query_pre_attn_scalar: [null],
  residual_multiplier: [null, 1],
  use_bidirectional_attention: [null, false],
  use_qk_norm: [null, false],
  use_sliding_window: [null, false],
};

/**
 * Refuses what gprune does not compute.
 *
 * @param config The fields of a `config.json`
 * @param family The model's family
 * @param path The file's name, for messages
 * @throws {ModelError} if a field asks for something else; the message names it
 */
export function refuseUnknownSwitches(
  config: Readonly<Record<string, unknown>>,
  family: FamilyDescriptor,
  path: string,
): void {
  if (config.quantization_config !== undefined && config.quantization_config !== null) {
    throw cannotUse(
      path,
      "'quantization_config' says that its weights are quantized; take the f32, f16 or bf16 original",
    );
  }
  const partial = config.partial_rotary_factor;
  if (family.partialRotary === undefined && ![undefined, null, 1].includes(partial as null)) {
    throw cannotUse(
      path,
      `'partial_rotary_factor' is ${show(partial)}, and gprune rotates whole heads`,
    );
  }
  const own = ownKeys(family);
  const neutral = Object.entries(NEUTRAL).filter(([key]) => !own.has(key));
  for (const [key, values] of [...neutral, ...Object.entries(family.only ?? {})]) {
    const value = config[key];
    if (value === undefined || values.includes(value)) continue;
    const wanted = values.map(show).join(" or ");
    throw cannotUse(
      path,
      `'${key}' is ${show(value)}, and gprune computes ${family.name} with ${wanted} alone`,
    );
  }
  refuseLists(config, family, path);
  const { word_embed_proj_dim: projected, hidden_size: hidden } = config;
  if (projected !== undefined && projected !== null && projected !== hidden) {
    throw cannotUse(
      path,
      `'word_embed_proj_dim' is ${
        show(projected)
      }, and gprune wants the embedding as wide as 'hidden_size' ${show(hidden)}`,
    );
  }
}

/** Keys that parsing reads for this family. */
function ownKeys(family: FamilyDescriptor): ReadonlySet<string> {
  const caps = ["attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar"];
  return new Set([
    ...(family.cappedAttention ? caps : []),
    ...(family.attention?.switchKey === undefined ? [] : [family.attention.switchKey]),
  ]);
}

/** Lists with an entry for each layer, of families that have no such layers. */
function refuseLists(
  config: Readonly<Record<string, unknown>>,
  family: FamilyDescriptor,
  path: string,
): void {
  const refuse = (key: string, ordinary: unknown) => {
    const list = config[key];
    if (!Array.isArray(list) || list.every((value) => value === ordinary)) return;
    throw cannotUse(
      path,
      `'${key}' is ${show(list)}, and gprune computes ${family.name} with ${show(ordinary)} alone`,
    );
  };
  if (family.attention === undefined) refuse("layer_types", "full_attention");
  if (family.attention?.unrotated === undefined) refuse("no_rope_layers", 1);
}
