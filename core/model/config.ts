/**
 * From a `config.json` to an {@linkcode Architecture}, with checks that name the file and the field.
 * @module
 */
import { z } from "zod";
import { parseJson, readTextFile, unusableReason } from "../json.ts";
import { parseAttention } from "./config/attention.ts";
import { cannotUse, check } from "./config/check.ts";
import { parseRotary } from "./config/rotary.ts";
import { refuseUnknownSwitches } from "./config/switches.ts";
import { type FamilyDescriptor, familyOf } from "./families.ts";
import type { Architecture, AttentionKind, BlockRole, LayerShape } from "./types.ts";

/** A `config.json` as it stands. */
export type RawConfig = Readonly<Record<string, unknown>>;

const whole = (largest: number) => z.int().min(1).max(largest);
const positive = z.number().positive();
const heads = whole(4096);
const width = whole(4_194_304);

/** Bounds are far beyond any model that exists: what passes them is damage, not size. */
const CONFIG = z.looseObject({
  hidden_size: whole(1_048_576),
  num_hidden_layers: whole(2048),
  intermediate_size: width,
  num_attention_heads: heads,
  num_key_value_heads: heads.nullish(),
  head_dim: whole(8192).nullish(),
  vocab_size: whole(16_777_216),
  max_position_embeddings: whole(1_073_741_824),
  rms_norm_eps: z.number().nonnegative().max(1),
  hidden_act: z.string(),
  tie_word_embeddings: z.boolean(),
  rope_scaling: z.looseObject({}).nullish(),
  rope_parameters: z.looseObject({}).nullish(),
  query_pre_attn_scalar: positive.nullish(),
  attn_logit_softcapping: positive.nullish(),
  final_logit_softcapping: positive.nullish(),
  per_layer_config: z.record(
    z.string(),
    z.looseObject({
      intermediate_size: width.optional(),
      num_attention_heads: heads.optional(),
      num_key_value_heads: heads.optional(),
    }),
  ).nullish(),
});

const ACTIVATIONS: Readonly<Record<string, Architecture["activation"]>> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  relu: "relu",
};

/**
 * Reads a `config.json`.
 *
 * @param path The file
 * @returns Its fields as they stand
 * @throws {ModelError} if it is missing or is not a JSON object
 */
export async function readConfig(path: string): Promise<RawConfig> {
  let value: unknown;
  try {
    value = parseJson(await readTextFile(path));
  } catch (error) {
    throw cannotUse(path, unusableReason(error), error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw cannotUse(path, "it is not a JSON object");
  }
  return value as RawConfig;
}

/**
 * Turns a config into the description of a model.
 *
 * @param config The fields of a `config.json`
 * @param path The file's name, for messages
 * @returns What the model computes; `layers` has the sizes of `per_layer_config` where the config has one
 * @throws {ModelError} if a field is missing or makes no sense, or the family is not known
 *
 * @example
 * ```ts
 * import { parseConfig } from "./config.ts";
 * import { assertEquals } from "@std/assert";
 * const architecture = parseConfig({
 *   model_type: "llama",
 *   hidden_size: 64,
 *   num_hidden_layers: 2,
 *   intermediate_size: 176,
 *   num_attention_heads: 4,
 *   vocab_size: 512,
 * }, "config.json");
 * assertEquals(architecture.headSize, 16);
 * assertEquals(architecture.layers[1], { ffnWidth: 176, keyValueHeads: 4, queryHeads: 4 });
 * ```
 */
export function parseConfig(config: RawConfig, path: string): Architecture {
  const family = familyOfConfig(config, path);
  refuseUnknownSwitches(config, family, path);
  const complete = withDefaults(config, family);
  const names = family.configKeys;
  const fields = check(CONFIG, complete, { path, field: "", names });
  const { hidden_size: hiddenSize, num_attention_heads: queryHeads } = fields;
  const headSize = fields.head_dim ?? hiddenSize / queryHeads;
  if (!Number.isInteger(headSize)) {
    const [width, heads] = [names?.hidden_size ?? "hidden_size", "num_attention_heads" as const];
    throw cannotUse(
      path,
      `'${width}' ${hiddenSize} is not a multiple of '${
        names?.[heads] ?? heads
      }' ${queryHeads}, and 'head_dim' is missing`,
    );
  }
  const rotary = parseRotary({
    fields: complete,
    family,
    headSize,
    maxPositions: fields.max_position_embeddings,
    path,
  });
  const attention = parseAttention(complete, family, fields.num_hidden_layers, path);
  return {
    family: String(config.model_type),
    hiddenSize,
    headSize,
    vocabularySize: fields.vocab_size,
    normEpsilon: fields.rms_norm_eps,
    activation: activationOf(fields.hidden_act, names?.hidden_act ?? "hidden_act", path),
    ...rotary,
    ...(attention.slidingWindow === undefined ? {} : { slidingWindow: attention.slidingWindow }),
    ...parseSwitches(complete, fields, family, path),
    tiedEmbedding: fields.tie_word_embeddings,
    biases: parseBiases(complete, family, path),
    layers: parseLayers(fields, path, attention.kinds),
  };
}

type Fields = z.infer<typeof CONFIG>;

function familyOfConfig(config: RawConfig, path: string): FamilyDescriptor {
  const type = config.model_type;
  if (typeof type !== "string") throw cannotUse(path, "'model_type' is missing");
  try {
    return familyOf(type);
  } catch (error) {
    const reason = (error as Error).message.replace(/^Cannot use model type/, "'model_type' is");
    const own = config.auto_map === undefined
      ? ""
      : " (the code that the model brings, 'auto_map', is never run)";
    throw cannotUse(path, `${reason}${own}`, error);
  }
}

/**
 * Fills what a config leaves out with what the family's reference implementation takes, and gives fields Llama's names
 * beside their own.
 */
function withDefaults(config: RawConfig, family: FamilyDescriptor): Record<string, unknown> {
  const missing = Object.entries(family.defaults).filter(([key]) => config[key] === undefined);
  const complete: Record<string, unknown> = { ...config, ...Object.fromEntries(missing) };
  for (const [field, own] of Object.entries(family.configKeys ?? {})) {
    complete[field] = complete[own];
  }
  // GPT-2 leaves its FFN's width out where it is four times the stream's.
  if (complete.intermediate_size === null && typeof complete.hidden_size === "number") {
    complete.intermediate_size = 4 * complete.hidden_size;
  }
  return complete;
}

function activationOf(name: string, field: string, path: string): Architecture["activation"] {
  if (Object.hasOwn(ACTIVATIONS, name)) return ACTIVATIONS[name];
  const known = Object.keys(ACTIVATIONS).join(", ");
  throw cannotUse(path, `'${field}' is '${name}', and gprune knows ${known}`);
}

/** The switches that are not as in Llama. */
function parseSwitches(
  complete: Readonly<Record<string, unknown>>,
  fields: Fields,
  family: FamilyDescriptor,
  path: string,
): Partial<Architecture> {
  const { positions, parallelResidualKey: key, normOffset, queryKeyNorm } = family;
  const parallel = key !== undefined && check(z.boolean(), complete[key], { path, field: key });
  const scalar = family.cappedAttention && fields.query_pre_attn_scalar;
  const scoreCap = family.cappedAttention && fields.attn_logit_softcapping;
  const logitCap = family.cappedAttention && fields.final_logit_softcapping;
  return {
    ...(family.norm === "layer" ? { norm: "layer" } : {}),
    ...(normOffset === undefined ? {} : { normOffset }),
    ...(positions === "rotary" ? {} : { positionOffset: positions.rowsBeforeFirst }),
    ...(scalar ? { attentionScale: 1 / Math.sqrt(scalar) } : {}),
    ...(scoreCap ? { attentionSoftCap: scoreCap } : {}),
    ...(logitCap ? { logitSoftCap: logitCap } : {}),
    ...(family.scaledEmbedding ? { embeddingScale: Math.sqrt(fields.hidden_size) } : {}),
    ...(parallel ? { parallelResidual: true } : {}),
    ...(queryKeyNorm === "all-heads" ? { queryKeyNorm } : {}),
  };
}

function parseBiases(config: RawConfig, family: FamilyDescriptor, path: string): BlockRole[] {
  return family.biases.flatMap(({ configKey, roles }) => {
    if (configKey === undefined) return roles;
    const field = configKey;
    return check(z.boolean(), config[configKey] ?? false, { path, field }) ? roles : [];
  });
}

function parseLayers(
  fields: Fields,
  path: string,
  kinds: readonly AttentionKind[] | undefined,
): LayerShape[] {
  const perLayer = fields.per_layer_config ?? {};
  for (const key of Object.keys(perLayer)) {
    if (!/^(0|[1-9]\d*)$/.test(key) || Number(key) >= fields.num_hidden_layers) {
      const last = fields.num_hidden_layers - 1;
      throw cannotUse(
        path,
        `'per_layer_config' has layer '${key}', and layers go from 0 to ${last}`,
      );
    }
  }
  return Array.from({ length: fields.num_hidden_layers }, (_, layer) => {
    const own = perLayer[String(layer)] ?? {};
    const queryHeads = own.num_attention_heads ?? fields.num_attention_heads;
    const keyValueHeads = own.num_key_value_heads ?? fields.num_key_value_heads ??
      fields.num_attention_heads;
    if (queryHeads % keyValueHeads !== 0) {
      const where = perLayer[String(layer)] ? ` of layer ${layer}` : "";
      throw cannotUse(
        path,
        `'num_attention_heads' ${queryHeads}${where} is not a multiple of 'num_key_value_heads' ${keyValueHeads}`,
      );
    }
    return {
      ffnWidth: own.intermediate_size ?? fields.intermediate_size,
      keyValueHeads,
      queryHeads,
      ...(kinds === undefined ? {} : { attention: kinds[layer] }),
    };
  });
}
