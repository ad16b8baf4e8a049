/**
 * Word lists and small language helpers that several kinds of embedded text share.
 *
 * @module
 */

import type { RandomStream } from "./random.ts";

/** Splits a list written as one text, which keeps long lists readable. */
function list(words: string): readonly string[] {
  return words.trim().split(/\s+/);
}

/** Given names used with "she". */
export const womenNames: readonly string[] = list(`
  Mara Ida Nell Tessa Olive Ruth Wanda Clara Hazel Ingrid Petra Sonja Luz Amara Bea Daphne Esme
  Freya Greta Hana Iris Juno Kira Lotte Mina Nora Odile Pia Quinn Rosa Selma Thea Una Vera Willa
  Xenia Yara Zelda Anouk Birgit Celia Dina Elin Fatima Gwen Helga Imani Jola Katja Leila
`);

/** Given names used with "he". */
export const menNames: readonly string[] = list(`
  Tom Otto Ben Felix Hugo Milo Jonas Karl Emil Arlo Basil Caspar Dario Edgar Finn Gus Henrik Ivo
  Jasper Kofi Leon Mateo Nils Oskar Pavel Rafi Samir Theo Ulf Victor Walter Yusuf Zeno Anton Boris
  Cyril Dmitri Elias Franz Goran Harun Isak Joel Kemal Luca Magnus Noam Omar Piet Ruben
`);

/** Family names. */
export const familyNames: readonly string[] = list(`
  Alder Birch Castell Dunmore Eastwick Farrow Gadd Holloway Iverson Jarrow Kestrel Lindqvist Marlow
  Norwood Oakes Pemberton Quill Rowntree Sandoval Thorne Underhill Vance Whitlock Yarrow Zimmer
  Ashby Brandt Corrigan Delacroix Ellery Fontaine Grieve Hartmann Inglis Janssen Kowalski Lamont
  Moreau Nakata Okafor Petrov Rahman Silva Tanaka Ueda Varga Weiss Xu Yilmaz Zubair
`);

/** Colours. */
export const colours: readonly string[] = list(`
  red blue green yellow white black brown grey orange purple pink silver golden violet crimson
  turquoise amber ivory scarlet teal
`);

/** Countable foods, singular and plural. */
export const foods: readonly (readonly [string, string])[] = [
  ["apple", "apples"],
  ["pear", "pears"],
  ["plum", "plums"],
  ["bun", "buns"],
  ["cake", "cakes"],
  ["carrot", "carrots"],
  ["onion", "onions"],
  ["peach", "peaches"],
  ["cherry", "cherries"],
  ["egg", "eggs"],
  ["lemon", "lemons"],
  ["melon", "melons"],
  ["walnut", "walnuts"],
  ["potato", "potatoes"],
  ["biscuit", "biscuits"],
  ["pancake", "pancakes"],
];

/** Countable things, singular and plural. */
export const things: readonly (readonly [string, string])[] = [
  ["button", "buttons"],
  ["marble", "marbles"],
  ["book", "books"],
  ["pencil", "pencils"],
  ["candle", "candles"],
  ["ribbon", "ribbons"],
  ["stamp", "stamps"],
  ["shell", "shells"],
  ["brick", "bricks"],
  ["coin", "coins"],
  ["card", "cards"],
  ["bottle", "bottles"],
  ["chair", "chairs"],
  ["flag", "flags"],
  ["kite", "kites"],
  ["lamp", "lamps"],
  ["rope", "ropes"],
  ["tile", "tiles"],
  ["ticket", "tickets"],
  ["basket", "baskets"],
  ["feather", "feathers"],
  ["pebble", "pebbles"],
  ["balloon", "balloons"],
  ["whistle", "whistles"],
];

/** Towns that dialogues, records and word problems share. */
export const towns: readonly string[] = list(`
  Ashford Brookhaven Calder Dunwick Elmsport Farley Glenholm Harrow Inverdale Juniper Kingsmere
  Larkfield Millbrook Northgate Oakham Pinewood Quarry Ridgeway Stonebridge Thornbury Upton Valemont
  Westbay Yewtree Zellmark
`);

/** Months. */
export const months: readonly string[] = list(`
  January February March April May June July August September October November December
`);

/** Days of the week. */
export const days: readonly string[] = list(
  "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
);

const smallNumbers = list(`
  zero one two three four five six seven eight nine ten eleven twelve
`);

/**
 * Writes a whole number as prose does: small ones as words.
 *
 * @param value A whole number from 0.
 * @returns For example `"seven"` or `"31"`.
 * @example
 * ```ts
 * import { numberWord } from "./words.ts";
 *
 * numberWord(7); // "seven"
 * ```
 */
export function numberWord(value: number): string {
  return value < smallNumbers.length ? smallNumbers[value] : String(value);
}

/**
 * Puts the fitting indefinite article before a noun.
 *
 * @param noun A noun or a phrase that ends with one.
 * @returns For example `"an owl"`.
 * @example
 * ```ts
 * import { withArticle } from "./words.ts";
 *
 * withArticle("owl"); // "an owl"
 * ```
 */
export function withArticle(noun: string): string {
  return /^[aeio]|^umb/i.test(noun) ? `an ${noun}` : `a ${noun}`;
}

/**
 * Gives the first letter its capital form.
 *
 * @param text Any text.
 * @returns The text, capitalised.
 * @example
 * ```ts
 * import { capitalise } from "./words.ts";
 *
 * capitalise("owl"); // "Owl"
 * ```
 */
export function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/**
 * Joins parts as an enumeration.
 *
 * @param parts At least one part.
 * @returns For example `"a, b and c"`.
 * @example
 * ```ts
 * import { enumerate } from "./words.ts";
 *
 * enumerate(["a", "b", "c"]); // "a, b and c"
 * ```
 */
export function enumerate(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join("");
  return `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}

/** A person with the words that refer to her or him. */
export interface Person {
  /** The given name. */
  readonly name: string;
  /** "she" or "he". */
  readonly subject: string;
  /** "her" or "him". */
  readonly object: string;
  /** "her" or "his". */
  readonly possessive: string;
}

/**
 * Makes up several people with different names.
 *
 * @param random The stream that chooses.
 * @param count How many people.
 * @returns The people.
 * @example
 * ```ts
 * import { RandomStream } from "./random.ts";
 * import { inventPeople } from "./words.ts";
 *
 * const [first, second] = inventPeople(new RandomStream("an example"), 2);
 * ```
 */
export function inventPeople(random: RandomStream, count: number): Person[] {
  const people: Person[] = [];
  while (people.length < count) {
    const person: Person = random.chance(0.5)
      ? {
        name: random.pickSkewed(womenNames),
        subject: "she",
        object: "her",
        possessive: "her",
      }
      : {
        name: random.pickSkewed(menNames),
        subject: "he",
        object: "him",
        possessive: "his",
      };
    if (people.every((other) => other.name !== person.name)) people.push(person);
  }
  return people;
}
