/**
 * What the embedded functions are about: themes, their types and the numbers they compare with.
 *
 * @module
 */

import type { RandomStream } from "./random.ts";
import { capitalise } from "./words.ts";

/** What the functions of one theme are about. */
export interface Theme {
  /** The name of the record type. */
  readonly type: string;
  /** The name of one element. */
  readonly element: string;
  /** The name of several elements. */
  readonly list: string;
  /** The properties that hold numbers. */
  readonly numbers: readonly string[];
  /** The properties that hold text. */
  readonly texts: readonly string[];
  /** The properties that are true or false. */
  readonly flags: readonly string[];
}

function theme(
  element: string,
  list: string,
  numbers: string,
  texts: string,
  flags: string,
): Theme {
  return {
    type: capitalise(element),
    element,
    list,
    numbers: numbers.split(" "),
    texts: texts.split(" "),
    flags: flags.split(" "),
  };
}

/** Every theme. */
export const themes: readonly Theme[] = [
  theme("product", "products", "price stock weight discount", "name category brand", "sold fresh"),
  theme("student", "students", "age score grade absences", "name school city", "enrolled late"),
  theme("planet", "planets", "radius mass distance moons", "name star", "habitable visited"),
  theme("account", "accounts", "balance limit interest fee", "owner bank currency", "open frozen"),
  theme("task", "tasks", "priority hours progress", "title assignee project", "done blocked"),
  theme("message", "messages", "length votes replies", "author subject channel", "read deleted"),
  theme("animal", "animals", "age height speed legs", "species name habitat", "tame wild"),
  theme("station", "stations", "platforms passengers delay", "name line zone", "open crowded"),
  theme("song", "songs", "seconds plays rating year", "title artist genre", "liked explicit"),
  theme("packet", "packets", "size offset retries", "source target protocol", "lost encrypted"),
  theme("plant", "plants", "height leaves water", "name colour soil", "flowering edible"),
  theme("player", "players", "score lives level coins", "name team role", "alive ready"),
];
const roundLimits = [
  0,
  1,
  2,
  3,
  5,
  8,
  10,
  12,
  16,
  20,
  25,
  32,
  50,
  64,
  100,
  128,
  200,
  255,
  500,
  1000,
];

/**
 * A number to compare with: usually a round one, as programs prefer.
 *
 * @param random The stream that chooses.
 * @returns A whole number from 0 to 1000.
 * @example
 * ```ts
 * import { pickLimit } from "./function-themes.ts";
 * import { RandomStream } from "./random.ts";
 *
 * const limit = pickLimit(new RandomStream("an example"));
 * ```
 */
export function pickLimit(random: RandomStream): number {
  return random.chance(0.6) ? random.pick(roundLimits) : random.integer(1, 999);
}
