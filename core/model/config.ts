/**
 * From a `config.json` to an {@linkcode Architecture}, with checks that name the file and the field.
 * @module
 */
import { z } from "zod";
import { ModelError } from "../errors.ts";
import { type FamilyDescriptor, familyOf } from "./families.ts";
import { ROTARY_SCALINGS, rotaryEmbedding } from "./rotary.ts";
import type { Architecture, BlockRole, LayerShape, RotaryEmbedding } from "./types.ts";

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
  rope_theta: positive.nullish(),
  hidden_act: z.string(),
  tie_word_embeddings: z.boolean(),
  rope_scaling: z.looseObject({}).nullish(),
  rope_parameters: z.looseObject({}).nullish(),
  per_layer_config: z.record(
    z.string(),
    z.looseObject({
      intermediate_size: width.optional(),
      num_attention_heads: heads.optional(),
      num_key_value_heads: heads.optional(),
    }),
  ).nullish(),
});

const ROTARY = z.looseObject({
  factor: positive,
  original_max_position_embeddings: whole(1_073_741_824),
  low_freq_factor: positive,
  high_freq_factor: positive,
  beta_fast: positive,
  beta_slow: positive,
  truncate: z.boolean(),
  attention_factor: positive.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
});

/** What a scaling cannot do without; everything else has a stand-in. */
const REQUIRED_FOR_SCALING: Readonly<Record<string, readonly string[]>> = {
  linear: ["factor"],
  yarn: ["factor"],
  llama3: ["factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"],
};

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
    value = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "no such file"
      : error instanceof SyntaxError
      ? `it is not JSON (${error.message})`
      : String(error);
    throw cannotUse(path, reason, error);
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
  refuseUnknownFeatures(config, path);
  const complete = withDefaults(config, family);
  const fields = check(CONFIG, complete, path, "");
  const { hidden_size: hiddenSize, num_attention_heads: queryHeads } = fields;
  const headSize = fields.head_dim ?? hiddenSize / queryHeads;
  if (!Number.isInteger(headSize)) {
    throw cannotUse(
      path,
      `'hidden_size' ${hiddenSize} is not a multiple of 'num_attention_heads' ${queryHeads}, and 'head_dim' is missing`,
    );
  }
  if (headSize % 2 !== 0) {
    throw cannotUse(path, `the head size ${headSize} is odd, and rotary embedding needs pairs`);
  }
  const activation = Object.hasOwn(ACTIVATIONS, fields.hidden_act)
    ? ACTIVATIONS[fields.hidden_act]
    : undefined;
  if (activation === undefined) {
    const known = Object.keys(ACTIVATIONS).join(", ");
    throw cannotUse(path, `'hidden_act' is '${fields.hidden_act}', and gprune knows ${known}`);
  }
  return {
    family: String(config.model_type),
    hiddenSize,
    headSize,
    vocabularySize: fields.vocab_size,
    maxPositions: fields.max_position_embeddings,
    normEpsilon: fields.rms_norm_eps,
    activation,
    rotary: parseRotary(fields, headSize, path),
    ...slidingWindow(complete, family, path),
    tiedEmbedding: fields.tie_word_embeddings,
    biases: parseBiases(config, family, path),
    layers: parseLayers(fields, path),
  };
}

type Fields = z.infer<typeof CONFIG>;

function familyOfConfig(config: RawConfig, path: string): FamilyDescriptor {
  const type = config.model_type;
  if (typeof type !== "string") throw cannotUse(path, "'model_type' is missing");
  try {
    return familyOf(type);
  } catch (error) {
    throw cannotUse(
      path,
      (error as Error).message.replace(/^Cannot use model type/, "'model_type' is"),
      error,
    );
  }
}

/** Fields that change what is computed in ways that gprune does not follow. */
function refuseUnknownFeatures(config: RawConfig, path: string): void {
  if (config.quantization_config !== undefined && config.quantization_config !== null) {
    throw cannotUse(
      path,
      "'quantization_config' says that its weights are quantized; take the f32, f16 or bf16 original",
    );
  }
  const partial = config.partial_rotary_factor;
  if (partial !== undefined && partial !== null && partial !== 1) {
    throw cannotUse(
      path,
      `'partial_rotary_factor' is ${show(partial)}, and gprune rotates whole heads`,
    );
  }
}

/** Fills what a config leaves out with what the family's reference implementation takes. */
function withDefaults(config: RawConfig, family: FamilyDescriptor): Record<string, unknown> {
  const missing = Object.entries(family.defaults).filter(([key]) => config[key] === undefined);
  return { ...config, ...Object.fromEntries(missing) };
}

/** Checks a value against a schema; the first thing wrong becomes a sentence. */
function check<T>(schema: z.ZodType<T>, value: unknown, path: string, prefix: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = `${prefix}${issue.path.join(".")}`;
  let found: unknown = value;
  for (const key of issue.path) found = (found as Record<PropertyKey, unknown> | undefined)?.[key];
  if (found === undefined) throw cannotUse(path, `'${field}' is missing`, result.error);
  const wanted = issue.code === "too_small"
    ? `${issue.inclusive ? "at least" : "more than"} ${issue.minimum}`
    : issue.code === "too_big"
    ? `${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`
    : issue.code === "invalid_type"
    ? WANTED[issue.expected] ?? issue.expected
    : issue.message;
  throw cannotUse(path, `'${field}' is ${show(found)}, and ${wanted} is wanted`, result.error);
}

const WANTED: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "a string",
  boolean: "true or false",
  object: "an object",
  record: "an object",
};

function parseRotary(fields: Fields, headSize: number, path: string): RotaryEmbedding {
  // Newer configs keep everything in `rope_parameters`, older ones the base at the top and the rest in `rope_scaling`.
  const where = fields.rope_parameters ? "rope_parameters" : "rope_scaling";
  const given: Record<string, unknown> = fields.rope_parameters ?? fields.rope_scaling ?? {};
  const scaling = given.rope_type ?? given.type ?? "default";
  if (typeof scaling !== "string" || !(ROTARY_SCALINGS as readonly string[]).includes(scaling)) {
    const known = ROTARY_SCALINGS.join(", ");
    throw cannotUse(path, `'${where}.rope_type' is ${show(scaling)}, and gprune knows ${known}`);
  }
  const theta = check(positive, given.rope_theta ?? fields.rope_theta, path, "rope_theta");
  const standIns = Object.entries({
    factor: 1,
    original_max_position_embeddings: fields.max_position_embeddings,
    low_freq_factor: 1,
    high_freq_factor: 4,
    beta_fast: 32,
    beta_slow: 1,
    truncate: true,
  }).filter(([key]) => !REQUIRED_FOR_SCALING[scaling]?.includes(key));
  const present = Object.entries(given).filter(([, value]) => value !== null);
  const values = check(
    ROTARY,
    Object.fromEntries([...standIns, ...present]),
    path,
    `${where}.`,
  );
  if (scaling === "llama3" && values.high_freq_factor <= values.low_freq_factor) {
    throw cannotUse(path, `'${where}.high_freq_factor' is not above 'low_freq_factor'`);
  }
  const rotary = rotaryEmbedding({
    headSize,
    theta,
    scaling,
    factor: values.factor,
    originalPositions: values.original_max_position_embeddings,
    lowFrequencyFactor: values.low_freq_factor,
    highFrequencyFactor: values.high_freq_factor,
    betaFast: values.beta_fast,
    betaSlow: values.beta_slow,
    truncate: values.truncate,
    attentionFactor: values.attention_factor ?? undefined,
    mscale: values.mscale ?? undefined,
    mscaleAllDim: values.mscale_all_dim ?? undefined,
  });
  if (!rotary.inverseFrequencies.every(Number.isFinite)) {
    throw cannotUse(path, `'rope_theta' ${theta} with '${where}' gives no finite rotations`);
  }
  return rotary;
}

function slidingWindow(
  config: RawConfig,
  family: FamilyDescriptor,
  path: string,
): { slidingWindow?: number } {
  const key = family.slidingWindowKey;
  if (key === undefined || config[key] === null || config[key] === undefined) return {};
  return { slidingWindow: check(whole(1_073_741_824), config[key], path, key) };
}

function parseBiases(config: RawConfig, family: FamilyDescriptor, path: string): BlockRole[] {
  return family.biases.flatMap(({ configKey, roles }) => {
    if (configKey === undefined) return roles;
    return check(z.boolean(), config[configKey] ?? false, path, configKey) ? roles : [];
  });
}

function parseLayers(fields: Fields, path: string): LayerShape[] {
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
    };
  });
}

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function cannotUse(path: string, reason: string, cause?: unknown): ModelError {
  return new ModelError(`Cannot use '${path}': ${reason}`, { cause });
}
