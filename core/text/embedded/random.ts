/**
 * A small seeded source of random choices for the embedded texts.
 *
 * @module
 */

/** Folds a text into 32 bits, so that streams named differently start at unrelated states. */
function hashText(text: string, salt: number): number {
  let hash = (0x811c9dc5 ^ salt) >>> 0;
  for (let index = 0; index < text.length; index++) {
    hash ^= text.charCodeAt(index);
    hash = Math.imul(hash, 0x01000193) >>> 0;
  }
  // The multiplications spread the last letters over all bits, which the loop alone does not.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) >>> 0;
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Rotates 32 bits to the left. */
function rotateLeft(value: number, by: number): number {
  return ((value << by) | (value >>> (32 - by))) >>> 0;
}

/**
 * A deterministic stream of random choices (the xoshiro128** generator).
 *
 * @example
 * ```ts
 * import { RandomStream } from "./random.ts";
 *
 * const random = new RandomStream("stories/held-out/0");
 * const animal = random.pick(["fox", "owl"]);
 * ```
 */
export class RandomStream {
  readonly #state: Uint32Array;

  /**
   * Starts the stream that belongs to a name.
   *
   * @param name Any text; equal names give equal streams.
   */
  constructor(name: string) {
    this.#state = Uint32Array.from([1, 2, 3, 4], (salt) => hashText(name, salt));
    // The generator must not start at the all-zero state.
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1;
  }

  /** The next 32 random bits. */
  #bits(): number {
    const state = this.#state;
    const result = Math.imul(rotateLeft(Math.imul(state[1], 5) >>> 0, 7), 9) >>> 0;
    const shifted = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotateLeft(state[3], 11);
    return result;
  }

  /**
   * A number from 0 up to, but without, 1.
   *
   * @returns The number.
   * @example
   * ```ts
   * import { RandomStream } from "./random.ts";
   *
   * const share = new RandomStream("an example").unit();
   * ```
   */
  unit(): number {
    return this.#bits() / 0x100000000;
  }

  /**
   * A whole number between two bounds, both included.
   *
   * @param low The smallest possible result.
   * @param high The largest possible result.
   * @returns The number.
   * @example
   * ```ts
   * import { RandomStream } from "./random.ts";
   *
   * const result = new RandomStream("an example").integer(1, 6);
   * ```
   */
  integer(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  /**
   * Says yes with the given probability.
   *
   * @param probability Between 0 and 1.
   * @returns Whether it happened.
   * @example
   * ```ts
   * import { RandomStream } from "./random.ts";
   *
   * const result = new RandomStream("an example").chance(0.5);
   * ```
   */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /**
   * One element of a list, each equally likely.
   *
   * @param list At least one element.
   * @returns The element.
   * @example
   * ```ts
   * import { RandomStream } from "./random.ts";
   *
   * const result = new RandomStream("an example").pick(["fox", "owl"]);
   * ```
   */
  pick<Element>(list: readonly Element[]): Element {
    return list[Math.floor(this.unit() * list.length)];
  }

  /**
   * One element of a list, where early elements are likelier, as frequent words are in real text.
   *
   * @param list At least one element.
   * @returns The element.
   * @example
   * ```ts
   * import { RandomStream } from "./random.ts";
   *
   * const result = new RandomStream("an example").pickSkewed(["often", "seldom"]);
   * ```
   */
  pickSkewed<Element>(list: readonly Element[]): Element {
    const unit = this.unit();
    return list[Math.floor(unit * Math.sqrt(unit) * list.length)];
  }

  /**
   * Several different elements of a list, in random order.
   *
   * @param list At least `count` elements.
   * @param count How many elements.
   * @returns The elements.
   * @example
   * ```ts
   * import { RandomStream } from "./random.ts";
   *
   * const result = new RandomStream("an example").sample(["a", "b", "c"], 2);
   * ```
   */
  sample<Element>(list: readonly Element[], count: number): Element[] {
    const rest = [...list];
    const chosen: Element[] = [];
    for (let index = 0; index < count && rest.length > 0; index++) {
      chosen.push(...rest.splice(this.integer(0, rest.length - 1), 1));
    }
    return chosen;
  }

  /**
   * The result of one of several writers, so that templates that are not chosen cost nothing.
   *
   * @param writers At least one function.
   * @returns What the chosen function returned.
   * @example
   * ```ts
   * import { RandomStream } from "./random.ts";
   *
   * const result = new RandomStream("an example").oneOf([() => "a", () => "b"]);
   * ```
   */
  oneOf<Result>(writers: readonly (() => Result)[]): Result {
    return this.pick(writers)();
  }
}
