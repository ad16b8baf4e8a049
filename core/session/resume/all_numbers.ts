/**
 * JSON that keeps every number: `JSON.stringify` turns infinities and NaN into `null`, and -0 into 0.
 * @module
 */

const key = "$number";

/**
 * Writes a value as JSON.
 *
 * @param value Anything that JSON can hold, and any number
 * @returns The text
 * @example
 * ```ts
 * import { parseWithAllNumbers, stringifyWithAllNumbers } from "./all_numbers.ts";
 * console.log(parseWithAllNumbers(stringifyWithAllNumbers([1, Infinity, NaN])));
 * ```
 */
export function stringifyWithAllNumbers(value: unknown): string {
  return JSON.stringify(value, (_, each) => {
    if (typeof each !== "number" || (Number.isFinite(each) && !Object.is(each, -0))) return each;
    return { [key]: Object.is(each, -0) ? "-0" : String(each) };
  });
}

/**
 * Reads what {@linkcode stringifyWithAllNumbers} wrote.
 *
 * @param text The text
 * @returns The value
 * @throws {SyntaxError} if it is no JSON
 */
export function parseWithAllNumbers(text: string): unknown {
  return JSON.parse(
    text,
    (_, each) =>
      typeof each === "object" && each !== null && typeof each[key] === "string"
        ? Number(each[key])
        : each,
  );
}
