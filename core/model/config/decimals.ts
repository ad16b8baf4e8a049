/**
 * Decimal numbers in JSON. Python tells 30.0 from 30, and transformers refuses whole numbers in some fields; JavaScript
 * knows one kind of number and writes both as 30.
 * @module
 */

/** What TypeScript's own types do not know of JSON yet. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

/**
 * The fields of a JSON text that hold whole numbers written as decimals.
 *
 * @param text The text
 * @returns How each is written, by its key
 *
 * @example
 * ```ts
 * import { decimalFields, stringifyWithDecimals } from "./decimals.ts";
 * import { assertEquals } from "@std/assert";
 * const fields = decimalFields('{ "cap": 30.0, "layers": 2 }');
 * assertEquals(stringifyWithDecimals({ cap: 30, layers: 2 }, fields, 0), '{"cap":30.0,"layers":2}');
 * ```
 */
export function decimalFields(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  json.parse(text, (key, value, { source }) => {
    if (Number.isInteger(value) && source !== undefined && /[.eE]/.test(source)) {
      fields.set(key, source);
    }
    return value;
  });
  return fields;
}

/**
 * Writes JSON with whole numbers as decimals where they were so before.
 *
 * @param value What to write
 * @param fields What {@linkcode decimalFields} found
 * @param indent Spaces for each level
 * @returns The text
 */
export function stringifyWithDecimals(
  value: unknown,
  fields: ReadonlyMap<string, string>,
  indent = 2,
): string {
  return JSON.stringify(value, (key, field) => {
    const source = fields.get(key);
    return source !== undefined && Number(source) === field ? json.rawJSON(source) : field;
  }, indent);
}
