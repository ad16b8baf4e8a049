/**
 * Values of options from the words on the command line: each function gives a value or throws one clear sentence.
 * @module
 */
import type { LayerBudget } from "../core/plan/types.ts";
import type { NamedPath } from "../core/session/types.ts";
import { nearest } from "./suggest.ts";

/** The command line is wrong: exit code 2. The message is a whole sentence without a full stop. */
export class UsageError extends Error {
  /** The name that error texts show. */
  override readonly name = "UsageError";
}

/**
 * Refuses a word that is not on a list, and says which one was probably meant.
 *
 * @param option The option, such as `--method`
 * @param word What was written
 * @param choices What can be written
 * @returns The choice
 * @throws {UsageError} if the word is none of the choices
 */
export function choice<Choice extends string>(
  option: string,
  word: string,
  choices: readonly Choice[],
): Choice {
  const found = choices.find((each) => each === word);
  if (found !== undefined) return found;
  const meant = nearest(word, choices);
  const hint = meant === undefined ? "" : `; did you mean '${meant}'?`;
  throw new UsageError(`${option} '${word}' is not one of ${choices.join(", ")}${hint}`);
}

/**
 * A list of choices separated by commas, each of them once.
 *
 * @param option The option
 * @param text What was written
 * @param choices What can be written
 * @returns The choices in the order written
 * @throws {UsageError} if an entry is none of the choices or comes twice
 */
export function choiceList<Choice extends string>(
  option: string,
  text: string,
  choices: readonly Choice[],
): readonly Choice[] {
  return once(option, entries(option, text).map((word) => choice(option, word, choices)));
}

/**
 * A list of names separated by commas, each of them once.
 *
 * @param option The option
 * @param text What was written
 * @returns The names in the order written
 * @throws {UsageError} if the list or an entry is empty, or comes twice
 */
export function nameList(option: string, text: string): readonly string[] {
  return once(option, entries(option, text));
}

/**
 * A sparsity.
 *
 * @param option The option
 * @param text What was written
 * @returns A number with 0 ≤ number < 1
 * @throws {UsageError} if it is not one
 */
export function sparsity(option: string, text: string): number {
  const value = decimal(text);
  if (value >= 0 && value < 1) return value;
  const hint = /^\d+(\.\d+)?\s*%$/.test(text) || (value > 1 && value < 100)
    ? `; write ${Number.parseFloat(text) / 100} for ${Number.parseFloat(text)} %`
    : "";
  throw new UsageError(
    `${option} '${text}' is not a number from 0 to below 1, the share to remove${hint}`,
  );
}

/**
 * A list of sparsities separated by commas, each of them once.
 *
 * @param option The option
 * @param text What was written
 * @returns The sparsities in the order written
 * @throws {UsageError} if an entry is not one or comes twice
 */
export function sparsityList(option: string, text: string): readonly number[] {
  return once(option, entries(option, text).map((entry) => sparsity(option, entry)));
}

/**
 * A whole number.
 *
 * @param option The option
 * @param text What was written
 * @param least The smallest that makes sense
 * @returns The number
 * @throws {UsageError} if it is not a whole number from `least`
 */
export function whole(option: string, text: string, least: number): number {
  const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : NaN;
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageError(`${option} '${text}' is not a whole number from ${least}`);
}

/**
 * One part of several.
 *
 * @param option The option
 * @param text What was written, such as `2/4`
 * @returns Which part, counted from 1, of how many
 * @throws {UsageError} if it is not of that form, or there is no such part
 */
export function shard(
  option: string,
  text: string,
): { readonly index: number; readonly count: number } {
  const [, index, count] = /^(\d{1,6})\/(\d{1,6})$/.exec(text.trim())?.map(Number) ?? [];
  if (index >= 1 && index <= count) return { index, count };
  throw new UsageError(
    `${option} '${text}' is not a part of several such as 2/4: parts count from 1, the last is N/N`,
  );
}

/**
 * Layers as numbers and ranges separated by commas, such as `0,1,28-31`.
 *
 * @param option The option
 * @param text What was written
 * @returns The numbers, ascending, each once
 * @throws {UsageError} if an entry is neither a number nor a range
 */
export function layerList(option: string, text: string): readonly number[] {
  const layers = new Set<number>();
  for (const entry of entries(option, text)) {
    const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(entry) ?? [];
    if (first === undefined || Number(first) > Number(last)) {
      throw new UsageError(
        `${option} '${entry}' is not a layer number from 0 or a range such as 0-2`,
      );
    }
    for (let layer = Number(first); layer <= Number(last); layer++) layers.add(layer);
  }
  return [...layers].sort((a, b) => a - b);
}

/**
 * Adds a shift of budget given as `LAYER=FACTOR` to those before it.
 *
 * @param option The option
 * @param text What was written
 * @param before The shifts of the same option before this one
 * @returns All shifts, by layer
 * @throws {UsageError} if it has not that form, or the layer has a factor already
 */
export function layerBudget(
  option: string,
  text: string,
  before: readonly LayerBudget[] = [],
): readonly LayerBudget[] {
  const [, digits, number] = /^\s*(\d{1,4})\s*=\s*(\S+)\s*$/.exec(text) ?? [];
  const layer = Number(digits);
  const factor = decimal(number ?? "");
  if (digits === undefined || !(factor > 0)) {
    throw new UsageError(
      `${option} '${text}' is not of the form LAYER=FACTOR with a factor above 0; write for instance ${option} 3=1.5`,
    );
  }
  if (before.some((each) => each.layer === layer)) {
    throw new UsageError(`${option} '${text}' names a layer that has a factor already`);
  }
  return [...before, { layer, factor }].sort((a, b) => a.layer - b.layer);
}

/**
 * Adds a text given as `NAME=PATH` to those before it.
 *
 * @param option The option
 * @param text What was written
 * @param before The texts of the same option before this one
 * @param reserved Names that cannot be given, with the reason
 * @returns All texts
 * @throws {UsageError} if it has not that form, or the name is taken or reserved
 */
export function namedPath(
  option: string,
  text: string,
  before: readonly NamedPath[] = [],
  reserved: Readonly<Record<string, string>> = {},
): readonly NamedPath[] {
  const at = text.indexOf("=");
  const name = text.slice(0, Math.max(0, at)).trim();
  const path = text.slice(at + 1).trim();
  if (at < 0) {
    throw new UsageError(
      `${option} '${text}' is not of the form NAME=PATH; write for instance ${option} wiki=${
        text.trim() === "" ? "wiki.txt" : text
      }`,
    );
  }
  if (name === "") {
    throw new UsageError(`${option} '${text}' has no name before the '='; write NAME=PATH`);
  }
  if (path === "") {
    throw new UsageError(`${option} '${text}' has no path after the '='; write NAME=PATH`);
  }
  if (/[\s,/\\]/.test(name)) {
    throw new UsageError(
      `${option} '${text}' has a name with a space, comma or slash; name it with letters, digits, '-' and '_'`,
    );
  }
  if (Object.hasOwn(reserved, name)) {
    throw new UsageError(`${option} '${text}' cannot be named '${name}', ${reserved[name]}`);
  }
  if (before.some((each) => each.name === name)) {
    throw new UsageError(`${option} '${text}' has a name that is taken; name every text once`);
  }
  return [...before, { name, path }];
}

const decimalUnits = ["", "k", "m", "g", "t"];

/**
 * A number of bytes with a unit: `3GB` is 3·10⁹ bytes, `3GiB` 3·2³⁰; the B may be left out.
 *
 * @param option The option
 * @param text What was written
 * @returns Bytes
 * @throws {UsageError} if it has not that form, or is less than a megabyte
 */
export function byteSize(option: string, text: string): number {
  const [, number, unit, binary] = /^\s*([0-9.]+)\s*([kmgt])(i?)b?\s*$/i.exec(text) ?? [];
  const value = decimal(number ?? "");
  if (unit === undefined || !(value > 0)) {
    throw new UsageError(
      `${option} '${text}' is no size; write for instance ${option} 3GB, ${option} 800MB or ${option} 2.5GiB`,
    );
  }
  const step = binary === "" ? 1000 : 1024;
  const bytes = Math.floor(value * step ** decimalUnits.indexOf(unit.toLowerCase()));
  if (bytes >= 1e6) return bytes;
  throw new UsageError(`${option} '${text}' is less than a megabyte; give more`);
}

function decimal(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : NaN;
}

function entries(option: string, text: string): readonly string[] {
  const words = text.split(",").map((word) => word.trim());
  if (words.includes("")) {
    throw new UsageError(`${option} '${text}' has an empty entry; separate entries by one comma`);
  }
  return words;
}

function once<Value>(option: string, values: readonly Value[]): readonly Value[] {
  const twice = values.find((value, at) => values.indexOf(value) !== at);
  if (twice === undefined) return values;
  throw new UsageError(`${option} has '${twice}' twice; name every entry once`);
}
