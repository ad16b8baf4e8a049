/**
 * Checking fields of a config: the first thing wrong becomes a sentence that names file and field.
 * @module
 */
import type { z } from "zod";
import { ModelError } from "../../errors.ts";

const WANTED: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "a string",
  boolean: "true or false",
  object: "an object",
  record: "an object",
  array: "a list",
};

/** Where a value stands. */
export interface Place {
  /** The file's name. */
  readonly path: string;
  /** The field, or what fields inside the value start with. */
  readonly field: string;
  /** The file's own names for fields, where they are others. */
  readonly names?: Readonly<Partial<Record<string, string>>>;
}

/**
 * Checks a value against a schema.
 *
 * @param schema The schema
 * @param value The value
 * @param place Where it stands
 * @returns The value, checked
 * @throws {ModelError} if it does not fit; the message names the field
 */
export function check<T>(schema: z.ZodType<T>, value: unknown, place: Place): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const inner = issue.path.join(".");
  const field = `${place.field}${place.names?.[inner] ?? inner}`;
  let found: unknown = value;
  for (const key of issue.path) found = (found as Record<PropertyKey, unknown> | undefined)?.[key];
  if (found === undefined) throw cannotUse(place.path, `'${field}' is missing`, result.error);
  const wanted = issue.code === "too_small"
    ? `${issue.inclusive ? "at least" : "more than"} ${issue.minimum}`
    : issue.code === "too_big"
    ? `${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`
    : issue.code === "invalid_type"
    ? WANTED[issue.expected] ?? issue.expected
    : issue.message;
  throw cannotUse(
    place.path,
    `'${field}' is ${show(found)}, and ${wanted} is wanted`,
    result.error,
  );
}

/**
 * A value as a message shows it.
 *
 * @param value The value
 * @returns JSON, shortened
 */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/**
 * The error of a config that cannot be used.
 *
 * @param path The file
 * @param reason Why
 * @param cause What was thrown
 * @returns The error
 */
export function cannotUse(path: string, reason: string, cause?: unknown): ModelError {
  return new ModelError(`Cannot use '${path}': ${reason}`, { cause });
}
