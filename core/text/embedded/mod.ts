/**
 * Text that is generated on the spot: calibration and held-out text that needs no download.
 *
 * The embedded default model was trained on the `"train"` part of these kinds.
 *
 * @module
 */

import { writeArithmetic } from "./arithmetic.ts";
import { writeArticle } from "./articles.ts";
import { writeBooking } from "./bookings.ts";
import { writeFunctions } from "./functions.ts";
import { RandomStream } from "./random.ts";
import { writeRecord } from "./records.ts";
import { writeStory } from "./stories.ts";

/** A kind of embedded text. */
export type EmbeddedKind =
  | "stories"
  | "arithmetic"
  | "records"
  | "functions"
  | "bookings"
  | "articles";

/**
 * A part of the embedded text. Parts of one kind never share a random stream, so a document occurs
 * in two parts only where a very short one is drawn twice by chance.
 */
export type EmbeddedPart = "train" | "calibration" | "held-out";

const writers: Readonly<Record<EmbeddedKind, (random: RandomStream) => string>> = {
  stories: writeStory,
  arithmetic: writeArithmetic,
  records: writeRecord,
  functions: writeFunctions,
  bookings: writeBooking,
  articles: writeArticle,
};

/**
 * Every kind of embedded text.
 *
 * @example
 * ```ts
 * import { embeddedKinds } from "./mod.ts";
 *
 * console.log(embeddedKinds.join(", "));
 * ```
 */
export const embeddedKinds: readonly EmbeddedKind[] = [
  "stories",
  "arithmetic",
  "records",
  "functions",
  "bookings",
  "articles",
];

/**
 * The kinds that calibrate by default.
 *
 * The others are left out on purpose: they show how text fares that no calibration covered.
 *
 * @example
 * ```ts
 * import { embeddedCalibrationKinds, embeddedKinds } from "./mod.ts";
 *
 * const uncovered = embeddedKinds.filter((kind) => !embeddedCalibrationKinds.includes(kind));
 * ```
 */
export const embeddedCalibrationKinds: readonly EmbeddedKind[] = [
  "stories",
  "arithmetic",
  "records",
  "functions",
];

/** Whether a text names a kind; own keys only, so that "constructor" is none. */
function isEmbeddedKind(kind: string): kind is EmbeddedKind {
  return Object.hasOwn(writers, kind);
}

/**
 * Generates text of one kind.
 *
 * The text consists of ASCII documents that are separated by one blank line and contain none. It
 * has exactly the length asked for, so the last document is usually cut.
 *
 * @param kind One of {@linkcode embeddedKinds}.
 * @param part Which part to generate; different parts come from unrelated random streams.
 * @param characters The length of the text, a whole number from 0.
 * @param seed A whole number; different seeds give different text.
 * @returns The text, the same on every machine for the same arguments.
 * @throws {RangeError} If the kind is unknown or the length is not a whole number from 0.
 * @example
 * ```ts
 * import { generateEmbeddedText } from "./mod.ts";
 *
 * const text = generateEmbeddedText("stories", "calibration", 10_000);
 * ```
 */
export function generateEmbeddedText(
  kind: string,
  part: EmbeddedPart,
  characters: number,
  seed: number = 0,
): string {
  if (!isEmbeddedKind(kind)) {
    throw new RangeError(
      `There is no embedded text of the kind "${kind}". The kinds are: ${
        embeddedKinds.join(", ")
      }.`,
    );
  }
  if (!Number.isSafeInteger(characters) || characters < 0) {
    throw new RangeError(
      `The number of characters must be a whole number from 0, but it is ${characters}.`,
    );
  }
  const random = new RandomStream(`${kind}/${part}/${seed}`);
  const write = writers[kind];
  const documents: string[] = [];
  let length = 0;
  while (length < characters) {
    const text = `${write(random)}\n\n`;
    documents.push(text);
    length += text.length;
  }
  return documents.join("").slice(0, characters);
}
