/**
 * Multiple choice from any text: does the model know the true continuation from other passages of the same text?
 * @module
 */
import { Random } from "../random.ts";
import type { Choice, ChoiceItem, ChoiceTask } from "./tasks.ts";

/** Questions that are made from one text, at most. */
export const choiceItems = 200;
/** Tokens before the place, where the model can take that many. */
export const choiceContext = 64;
/** Tokens of each choice. */
export const choiceLength = 16;
/** Choices of a question: the true one and other passages. */
export const choiceCount = 4;

/** Passages that are drawn for one choice before its place is given up: text that repeats itself has few others. */
const attempts = 200;

/** A text to make questions from. */
export interface ChoiceSource {
  /** The text's name. */
  readonly name: string;
  /** The tokens of the whole text. */
  readonly tokens: Int32Array;
}

/** Options of {@linkcode makeChoiceTask}. */
export interface ChoiceTaskOptions {
  /** Token numbers to text, to count bytes. */
  readonly decode: (tokens: readonly number[]) => string;
  /** Longest text that the model can take, in tokens. */
  readonly maxPositions: number;
  /** Seed of places and passages. Default 0. */
  readonly seed?: number;
  /** Questions at most. Default {@linkcode choiceItems}. */
  readonly items?: number;
}

/**
 * Makes the task `NAME-choice` of a text: at seeded places, the true next 16 tokens against three other passages of
 * the text, which share no token position with the context or the true ones and differ from each other. Token
 * numbers are used as they are; bytes are those of the decoded passages.
 *
 * @param source The text
 * @param options How bytes are counted, how long a text can be, seed and number
 * @returns The task; without questions where text or model is too short, and with fewer where the text has not
 * enough places or different passages
 * @example
 * ```ts
 * import { makeChoiceTask } from "./choice_tasks.ts";
 * const tokens = Int32Array.from({ length: 500 }, (_, index) => index);
 * const options = { decode: (tokens: readonly number[]) => tokens.join(" "), maxPositions: 256 };
 * const task = makeChoiceTask({ name: "numbers", tokens }, options);
 * console.log(task.name, task.items.length); // numbers-choice 200
 * ```
 */
export function makeChoiceTask(source: ChoiceSource, options: ChoiceTaskOptions): ChoiceTask {
  const { tokens } = source;
  const name = `${source.name}-choice`;
  const context = Math.min(choiceContext, options.maxPositions - choiceLength);
  const places = tokens.length - context - choiceLength + 1;
  if (context < 1 || places < 1) return { name, items: [] };
  const wanted = Math.min(choiceItems, options.items ?? choiceItems);
  const random = Random.of(`${options.seed ?? 0} choice ${source.name}`);
  const items: ChoiceItem[] = [];
  // Text that repeats itself all through would otherwise be searched for passages at every place.
  const order = random.permutation(places).subarray(0, 4 * wanted);
  for (const place of order) {
    if (items.length === wanted) break;
    const item = itemAt(tokens, place, context, random, options.decode);
    if (item !== undefined) items.push(item);
  }
  return { name, items };
}

/** The question whose context starts at a place; undefined where the text has not enough other passages. */
function itemAt(
  tokens: Int32Array,
  place: number,
  context: number,
  random: Random,
  decode: ChoiceTaskOptions["decode"],
): ChoiceItem | undefined {
  const end = place + context + choiceLength;
  const passages = [tokens.subarray(end - choiceLength, end)];
  for (let attempt = 0; attempt < attempts && passages.length < choiceCount; attempt++) {
    const start = random.below(tokens.length - choiceLength + 1);
    if (start < end && start + choiceLength > place) continue;
    const passage = tokens.subarray(start, start + choiceLength);
    if (!passages.some((other) => sameTokens(other, passage))) passages.push(passage);
  }
  if (passages.length < choiceCount) return undefined;
  const answer = random.below(choiceCount);
  const [right, ...wrong] = passages;
  const before = tokens.subarray(place, place + context);
  const choices = wrong.toSpliced(answer, 0, right)
    .map((passage) => choiceOf(before, passage, decode));
  return { choices, answer };
}

function choiceOf(
  context: Int32Array,
  passage: Int32Array,
  decode: ChoiceTaskOptions["decode"],
): Choice {
  const tokens = new Int32Array(context.length + passage.length);
  tokens.set(context);
  tokens.set(passage, context.length);
  const text = decode([...passage]);
  // A tokenizer can decode control tokens to nothing; a byte is the least that a sum can be divided by.
  const bytes = Math.max(1, new TextEncoder().encode(text).length);
  return { tokens, scored: passage.length, bytes };
}

function sameTokens(a: Int32Array, b: Int32Array): boolean {
  return a.every((token, index) => token === b[index]);
}
