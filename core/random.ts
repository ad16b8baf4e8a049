/**
 * Seeded random numbers: the same on every machine.
 * @module
 */
import { createHash } from "node:crypto";

/**
 * A stream of random numbers by the generator xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators", 2018), seeded from a text.
 *
 * @example
 * ```ts
 * import { Random } from "./random.ts";
 * console.log(Random.of("7 a").next() === Random.of("7 a").next()); // true
 * ```
 */
export class Random {
  readonly #state: Uint32Array;

  private constructor(state: Uint32Array) {
    this.#state = state;
  }

  /**
   * A stream of its own for every text.
   *
   * @param seed Any text; streams of different texts have nothing to do with each other
   * @returns The stream
   */
  static of(seed: string): Random {
    const digest = createHash("sha256").update(seed).digest();
    const state = Uint32Array.from(
      { length: 4 },
      (_, index) => digest.readUInt32LE(4 * index),
    );
    // The generator stays at zero if it starts there.
    if (state.every((word) => word === 0)) state[0] = 1;
    return new Random(state);
  }

  /**
   * The next number.
   *
   * @returns A number in [0, 1) with 32 random bits
   */
  next(): number {
    const s = this.#state;
    const mixed = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotateLeft(s[3], 11);
    return mixed / 0x1_0000_0000;
  }

  /**
   * The next whole number below a bound.
   *
   * @param bound At least 1
   * @returns A whole number in [0, bound)
   */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  /**
   * The numbers below a bound in random order (Fisher and Yates).
   *
   * @param count How many numbers
   * @returns 0 to count - 1, each once
   */
  permutation(count: number): Int32Array {
    const order = Int32Array.from({ length: count }, (_, index) => index);
    for (let last = count - 1; last > 0; last--) {
      const other = this.below(last + 1);
      [order[last], order[other]] = [order[other], order[last]];
    }
    return order;
  }
}

function rotateLeft(word: number, bits: number): number {
  return ((word << bits) | (word >>> (32 - bits))) >>> 0;
}
