/**
 * Rotary embedding in a config: its base, its scaling, and how much of a head it turns.
 * @module
 */
import { z } from "zod";
import type { FamilyDescriptor } from "../families/descriptor.ts";
import { ROTARY_SCALINGS, rotaryEmbedding } from "../rotary.ts";
import type { RotaryEmbedding } from "../types.ts";
import { cannotUse, check, show } from "./check.ts";

const positive = z.number().positive();
const whole = z.int().min(1).max(1_073_741_824);

const ROTARY = z.looseObject({
  factor: positive,
  original_max_position_embeddings: whole,
  low_freq_factor: positive,
  high_freq_factor: positive,
  beta_fast: positive,
  beta_slow: positive,
  truncate: z.boolean(),
  attention_factor: positive.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  short_factor: z.array(positive).nullish(),
});

/** What a scaling cannot do without; everything else has a stand-in. */
const REQUIRED_FOR_SCALING: Readonly<Record<string, readonly string[]>> = {
  linear: ["factor"],
  yarn: ["factor"],
  llama3: ["factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"],
  longrope: ["short_factor"],
};

/** What parsing a rotary embedding takes. */
export interface RotaryConfig {
  /** The fields of the config under Llama's names, with stand-ins. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The model's family. */
  readonly family: FamilyDescriptor;
  /** Channels of a head. */
  readonly headSize: number;
  /** The longest text, in tokens. */
  readonly maxPositions: number;
  /** The file's name, for messages. */
  readonly path: string;
}

/** The rotary embeddings of a model, and how long its texts may be with them. */
export interface ParsedRotary {
  /** That of all layers, or of those that see everything. */
  readonly rotary: RotaryEmbedding;
  /** That of layers with a window, where it is another. */
  readonly localRotary?: RotaryEmbedding;
  /** The longest text that is rotated so, in tokens. */
  readonly maxPositions: number;
}

const NO_ROTATION: RotaryEmbedding = {
  theta: 10_000,
  scaling: "default",
  inverseFrequencies: [],
  attentionFactor: 1,
};

type Settings = Readonly<Record<string, unknown>>;

/**
 * Reads the rotary embeddings of a config.
 *
 * @param config The config
 * @returns The embeddings; of no channels where positions are learned
 * @throws {ModelError} if a field is missing or makes no sense
 */
export function parseRotary(config: RotaryConfig): ParsedRotary {
  const { family, fields, maxPositions } = config;
  if (family.positions !== "rotary") return { rotary: NO_ROTATION, maxPositions };
  // Newer configs keep everything in `rope_parameters`, older ones the base at the top and the rest in `rope_scaling`;
  // models with two bases nest once more.
  const where = fields.rope_parameters ? "rope_parameters" : "rope_scaling";
  const given = (fields.rope_parameters ?? fields.rope_scaling ?? {}) as Settings;
  const theta = given.rope_theta ?? fields.rope_theta;
  const local = family.attention?.localTheta;
  if (local === undefined) return oneRotary(config, { where, given, theta });
  const nested = given.full_attention as Settings | undefined;
  const ofWindows = given.sliding_attention as Settings | undefined;
  const everywhere = nested === undefined
    ? { where, given, theta }
    : { where: `${where}.full_attention`, given: nested, theta: nested.rope_theta ?? theta };
  return {
    ...oneRotary(config, everywhere),
    localRotary: oneRotary(config, {
      where: `${where}.sliding_attention`,
      given: ofWindows ?? {},
      theta: ofWindows?.rope_theta ?? fields[local.configKey] ?? local.standIn,
    }).rotary,
  };
}

interface RotaryPlace {
  /** The field's name. */
  readonly where: string;
  readonly given: Settings;
  readonly theta: unknown;
}

function oneRotary(config: RotaryConfig, { where, given, theta: base }: RotaryPlace): ParsedRotary {
  const { path, maxPositions } = config;
  const scaling = scalingOf(config, where, given);
  const field = config.family.configKeys?.rope_theta ?? "rope_theta";
  const theta = check(positive, base, { path, field });
  const original = given.original_max_position_embeddings ??
    config.fields.original_max_position_embeddings ?? maxPositions;
  const standIns = Object.entries({
    factor: 1,
    original_max_position_embeddings: original,
    low_freq_factor: 1,
    high_freq_factor: 4,
    beta_fast: 32,
    beta_slow: 1,
    truncate: true,
  }).filter(([key]) => !REQUIRED_FOR_SCALING[scaling]?.includes(key));
  const present = Object.entries(given).filter(([, value]) => value !== null);
  const values = check(ROTARY, Object.fromEntries([...standIns, ...present]), {
    path,
    field: `${where}.`,
  });
  if (scaling === "llama3" && values.high_freq_factor <= values.low_freq_factor) {
    throw cannotUse(path, `'${where}.high_freq_factor' is not above 'low_freq_factor'`);
  }
  const rotated = rotatedChannels(config, given);
  const { short_factor: shortFactors } = values;
  if (scaling === "longrope" && shortFactors?.length !== rotated / 2) {
    throw cannotUse(
      path,
      `'${where}.short_factor' has ${shortFactors?.length ?? 0} numbers, and ${
        rotated / 2
      } pairs of channels are rotated`,
    );
  }
  const rotary = rotaryEmbedding({
    headSize: config.headSize,
    rotated,
    theta,
    scaling,
    factor: scaling === "longrope"
      ? Number(given.factor ?? maxPositions / values.original_max_position_embeddings)
      : values.factor,
    originalPositions: values.original_max_position_embeddings,
    lowFrequencyFactor: values.low_freq_factor,
    highFrequencyFactor: values.high_freq_factor,
    betaFast: values.beta_fast,
    betaSlow: values.beta_slow,
    truncate: values.truncate,
    attentionFactor: values.attention_factor ?? undefined,
    mscale: values.mscale ?? undefined,
    mscaleAllDim: values.mscale_all_dim ?? undefined,
    shortFactors: shortFactors ?? undefined,
  });
  if (!rotary.inverseFrequencies.every(Number.isFinite)) {
    throw cannotUse(path, `'rope_theta' ${theta} with '${where}' gives no finite rotations`);
  }
  const within = scaling === "longrope" ? values.original_max_position_embeddings : maxPositions;
  return { rotary, maxPositions: Math.min(maxPositions, within) };
}

function scalingOf({ family, path }: RotaryConfig, where: string, given: Settings): string {
  const scaling = given.rope_type ?? given.type ?? "default";
  // Phi-3 was first published with other names for what it does now.
  if (family.name === "phi3" && (scaling === "su" || scaling === "yarn")) return "longrope";
  if (typeof scaling === "string" && (ROTARY_SCALINGS as readonly string[]).includes(scaling)) {
    return scaling;
  }
  const known = ROTARY_SCALINGS.join(", ");
  throw cannotUse(path, `'${where}.rope_type' is ${show(scaling)}, and gprune knows ${known}`);
}

/** Channels of a head that are rotated: an even number, rounded down as the reference implementation does. */
function rotatedChannels(
  { family, fields, headSize, path }: RotaryConfig,
  given: Settings,
): number {
  const share = check(
    positive.max(1),
    given.partial_rotary_factor ?? fields.partial_rotary_factor ?? family.partialRotary ?? 1,
    { path, field: family.configKeys?.partial_rotary_factor ?? "partial_rotary_factor" },
  );
  if (family.partialRotary === undefined && share !== 1) {
    throw cannotUse(path, `'partial_rotary_factor' is ${share}, and gprune rotates whole heads`);
  }
  const rotated = Math.floor(headSize * share);
  if (rotated % 2 !== 0 || rotated === 0) {
    const size = share === 1 ? `the head size ${headSize}` : `${rotated} of ${headSize} channels`;
    throw cannotUse(
      path,
      share === 1
        ? `${size} is odd, and rotary embedding needs pairs`
        : `${size} are rotated, and rotary embedding needs pairs`,
    );
  }
  return rotated;
}
