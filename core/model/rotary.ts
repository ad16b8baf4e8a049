/**
 * Rotary position embeddings: the frequencies of a config, with its scaling applied, as transformers computes them.
 * @module
 */
import type { RotaryEmbedding } from "./types.ts";

/** The numbers of a config that decide the rotations. */
export interface RotarySettings {
  /** Channels of one head. */
  readonly headSize: number;
  /** How many of them, from the first, are rotated; even. All if absent. */
  readonly rotated?: number;
  /** The base of the frequencies. */
  readonly theta: number;
  /** The scaling's name; `default` for none. */
  readonly scaling: string;
  /** By how much texts may be longer than `originalPositions`. */
  readonly factor: number;
  /** Tokens that the model was first trained on. */
  readonly originalPositions: number;
  /** llama3: wavelengths over `originalPositions / lowFrequencyFactor` are stretched whole. */
  readonly lowFrequencyFactor: number;
  /** llama3: wavelengths under `originalPositions / highFrequencyFactor` are left alone. */
  readonly highFrequencyFactor: number;
  /** yarn: rotations over which a channel is left alone. */
  readonly betaFast: number;
  /** yarn: rotations under which a channel is stretched whole. */
  readonly betaSlow: number;
  /** yarn: whether the ramp's ends are whole numbers. */
  readonly truncate: boolean;
  /** yarn: the factor on sine and cosine, if the config gives one. */
  readonly attentionFactor?: number;
  /** yarn: DeepSeek's way to give it, together with `mscaleAllDim`. */
  readonly mscale?: number;
  /** yarn: the divisor for `mscale`. */
  readonly mscaleAllDim?: number;
  /** longrope: what the frequencies are divided by for texts up to `originalPositions`, `[rotated / 2]`. */
  readonly shortFactors?: readonly number[];
}

/** The names of `rope_scaling` that gprune computes. */
export const ROTARY_SCALINGS = [
  "default",
  "linear",
  "dynamic",
  "llama3",
  "yarn",
  "longrope",
] as const;

/**
 * Computes the rotations of a model.
 *
 * @param settings The config's numbers
 * @returns The frequencies with all scaling applied; `dynamic` and `longrope` are as within
 * the length that the model was first trained on
 *
 * @example
 * ```ts
 * import { DEFAULT_ROTARY, rotaryEmbedding } from "./rotary.ts";
 * import { assertEquals } from "@std/assert";
 * const rotary = rotaryEmbedding({ ...DEFAULT_ROTARY, headSize: 4, theta: 100 });
 * assertEquals(rotary.inverseFrequencies, [1, 0.1]);
 * ```
 */
export function rotaryEmbedding(settings: RotarySettings): RotaryEmbedding {
  const { theta, scaling, factor, shortFactors, rotated = settings.headSize } = settings;
  const plain = Array.from(
    { length: rotated / 2 },
    (_, pair) => 1 / theta ** (2 * pair / rotated),
  );
  const scaled = scaling === "linear"
    ? plain.map((frequency) => frequency / factor)
    : scaling === "llama3"
    ? plain.map((frequency) => llama3Frequency(frequency, settings))
    : scaling === "yarn"
    ? yarnFrequencies(plain, settings)
    : scaling === "longrope"
    ? plain.map((frequency, pair) => frequency / (shortFactors?.[pair] ?? 1))
    : plain;
  const attentionFactor = scaling === "yarn"
    ? yarnAttentionFactor(settings)
    : scaling === "longrope"
    ? longropeAttentionFactor(settings)
    : 1;
  return { theta, scaling, inverseFrequencies: scaled, attentionFactor };
}

/** Settings without scaling; `headSize` and `theta` are examples to be replaced. */
export const DEFAULT_ROTARY: RotarySettings = {
  headSize: 64,
  theta: 10_000,
  scaling: "default",
  factor: 1,
  originalPositions: 2048,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  betaFast: 32,
  betaSlow: 1,
  truncate: true,
};

function llama3Frequency(frequency: number, settings: RotarySettings): number {
  const { factor, originalPositions, lowFrequencyFactor, highFrequencyFactor } = settings;
  const rotations = originalPositions * frequency / (2 * Math.PI);
  if (rotations < lowFrequencyFactor) return frequency / factor;
  if (rotations > highFrequencyFactor) return frequency;
  const smooth = (rotations - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

function yarnFrequencies(plain: readonly number[], settings: RotarySettings): number[] {
  const { theta, factor, originalPositions, betaFast, betaSlow, truncate } = settings;
  const { rotated = settings.headSize } = settings;
  /** The channel pair that rotates so many times over the original length. */
  const pairOf = (rotations: number) =>
    rotated * Math.log(originalPositions / (rotations * 2 * Math.PI)) / (2 * Math.log(theta));
  const low = truncate ? Math.floor(pairOf(betaFast)) : pairOf(betaFast);
  const high = truncate ? Math.ceil(pairOf(betaSlow)) : pairOf(betaSlow);
  const first = Math.max(low, 0);
  const last = Math.min(high, rotated - 1);
  const width = last === first ? 0.001 : last - first;
  return plain.map((frequency, pair) => {
    const stretched = Math.min(1, Math.max(0, (pair - first) / width));
    return frequency / factor * stretched + frequency * (1 - stretched);
  });
}

function yarnAttentionFactor(settings: RotarySettings): number {
  const { factor, attentionFactor, mscale, mscaleAllDim } = settings;
  if (attentionFactor !== undefined) return attentionFactor;
  const scale = (weight: number) => factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
  return mscale && mscaleAllDim ? scale(mscale) / scale(mscaleAllDim) : scale(1);
}

function longropeAttentionFactor(settings: RotarySettings): number {
  const { factor, attentionFactor, originalPositions } = settings;
  if (attentionFactor !== undefined) return attentionFactor;
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalPositions));
}
