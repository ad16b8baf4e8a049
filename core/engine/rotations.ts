/**
 * Tables of the cosines and sines that rotary embedding turns channels by.
 * @module
 */
import type { RotaryEmbedding } from "../model/types.ts";
import { type Feed, floats } from "./runtime.ts";

/** Cosines and sines of the positions from 0 on, float32 `[positions, headSize / 2]` each. */
export interface RotationTables {
  /** Cosines times the attention factor. */
  readonly cosine: Feed;
  /** Sines times the attention factor. */
  readonly sine: Feed;
}

/** Makes tables as long as they are needed, and keeps them. */
export class Rotations {
  readonly #rotary: RotaryEmbedding;
  #positions = 0;
  #tables: RotationTables | undefined;

  /**
   * Starts without tables.
   *
   * @param rotary The model's rotary embedding
   */
  constructor(rotary: RotaryEmbedding) {
    this.#rotary = rotary;
  }

  /**
   * Tables of at least so many positions.
   *
   * @param positions How many positions are needed
   * @returns The tables
   */
  upTo(positions: number): RotationTables {
    if (this.#tables === undefined || positions > this.#positions) {
      this.#positions = Math.max(256, 2 ** Math.ceil(Math.log2(positions)));
      this.#tables = rotationTables(this.#rotary, this.#positions);
    }
    return this.#tables;
  }
}

/**
 * Computes the tables. Angles are rounded to float32 before the cosine is taken, as the reference implementation
 * (transformers) does: at position 2,048 an exact angle would differ by up to 1e-4.
 *
 * @param rotary The model's rotary embedding
 * @param positions How many positions, from 0 on
 * @returns The tables
 */
export function rotationTables(rotary: RotaryEmbedding, positions: number): RotationTables {
  const frequencies = Float32Array.from(rotary.inverseFrequencies);
  const pairs = frequencies.length;
  const cosine = new Float32Array(positions * pairs);
  const sine = new Float32Array(positions * pairs);
  for (let position = 0; position < positions; position++) {
    for (let pair = 0; pair < pairs; pair++) {
      const angle = Math.fround(position * frequencies[pair]);
      cosine[position * pairs + pair] = rotary.attentionFactor * Math.cos(angle);
      sine[position * pairs + pair] = rotary.attentionFactor * Math.sin(angle);
    }
  }
  const shape = [positions, pairs];
  return { cosine: floats(cosine, shape), sine: floats(sine, shape) };
}
