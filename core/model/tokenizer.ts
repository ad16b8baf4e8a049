/**
 * The tokenizer of a model folder: `tokenizer.json` and `tokenizer_config.json`.
 * @module
 */
import { Tokenizer } from "@huggingface/tokenizers";
import { ModelError } from "../errors.ts";
import { parseJson, readTextFile, unusableReason } from "../json.ts";
import { repeatsRepetition } from "./tokenizer_patterns.ts";
import type { TextTokenizer } from "./types.ts";

/**
 * Reads the tokenizer of a folder.
 *
 * @param folder The model's folder
 * @param config The fields of its `config.json`, whose `bos_token_id` and `eos_token_id` stand in for missing names
 * @returns Text to token numbers and back, without special tokens
 * @throws {ModelError} if `tokenizer.json` is missing or broken
 *
 * @example
 * ```ts
 * import { readTokenizer } from "./tokenizer.ts";
 * import { assertEquals } from "@std/assert";
 * const tokenizer = await readTokenizer("models/tiny");
 * assertEquals(tokenizer.decode(tokenizer.encode("once upon a time")), "once upon a time");
 * ```
 */
export async function readTokenizer(
  folder: string,
  config: Readonly<Record<string, unknown>> = {},
): Promise<TextTokenizer> {
  const path = `${folder}/tokenizer.json`;
  const rules = await readObject(path);
  if (rules === undefined) {
    throw new ModelError(`Cannot read tokenizer '${path}': no such file`);
  }
  const settings = await readObject(`${folder}/tokenizer_config.json`) ?? {};
  const tokenizer = makeTokenizer(path, rules, settings);
  const startToken = settings.add_bos_token === true
    ? specialToken(tokenizer, settings.bos_token, config.bos_token_id)
    : undefined;
  const endToken = specialToken(tokenizer, settings.eos_token, config.eos_token_id);
  return {
    encode: (text) => tokenizer.encode(text, { add_special_tokens: false }).ids,
    decode: (tokens) =>
      tokens.length === 0 ? "" : tokenizer.decode([...tokens], {
        skip_special_tokens: false,
        clean_up_tokenization_spaces: false,
      }),
    ...(startToken === undefined ? {} : { startToken }),
    ...(endToken === undefined ? {} : { endToken }),
  };
}

/** Reads a JSON object; undefined if the file is not there. */
async function readObject(path: string): Promise<Record<string, unknown> | undefined> {
  let value: unknown;
  try {
    value = parseJson(await readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new ModelError(`Cannot read tokenizer '${path}': ${unusableReason(error)}`, {
      cause: error,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ModelError(`Cannot read tokenizer '${path}': it is not a JSON object`);
  }
  return value as Record<string, unknown>;
}

/** Steps put texts of a character or a few in place of others; patterns take some hundred. */
const LONGEST_PART = 4096;

/** Whether a step holds something so long that it would make every text long and slow. */
function isInflated(step: unknown): boolean {
  if (typeof step === "string") return step.length > LONGEST_PART;
  if (typeof step !== "object" || step === null) return false;
  const parts = Object.entries(step);
  return parts.length > LONGEST_PART ||
    // A table of characters in base64, which is long by nature.
    parts.some(([key, part]) => key !== "precompiled_charsmap" && isInflated(part));
}

/** The regular expressions of the steps. */
function patternsIn(rules: Readonly<Record<string, unknown>>): readonly string[] {
  const within = (value: unknown): string[] =>
    typeof value !== "object" || value === null
      ? []
      : Object.entries(value).flatMap(([key, part]) =>
        key === "Regex" && typeof part === "string" ? [part] : within(part)
      );
  return ["normalizer", "pre_tokenizer", "decoder"].flatMap((part) => within(rules[part]));
}

function makeTokenizer(
  path: string,
  rules: Record<string, unknown>,
  settings: Record<string, unknown>,
): Tokenizer {
  for (const part of ["normalizer", "pre_tokenizer", "decoder"]) {
    if (!isInflated(rules[part])) continue;
    throw new ModelError(
      `Cannot read tokenizer '${path}': its '${part}' holds a text or list of more than ${LONGEST_PART}, which would blow every text up`,
    );
  }
  const endless = patternsIn(rules).find(repeatsRepetition);
  if (endless !== undefined) {
    throw new ModelError(
      `Cannot read tokenizer '${path}': its pattern '${endless}' repeats a repetition, which may never be done with a text`,
    );
  }
  try {
    const tokenizer = new Tokenizer(rules, settings);
    // What is broken often shows only when it is used.
    tokenizer.decode(tokenizer.encode("A text, 1.", { add_special_tokens: false }).ids);
    return tokenizer;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // The library reads fields without looking at their types first, and then speaks of itself.
    const reason = error instanceof TypeError || /undefined|\[object /.test(message)
      ? "a field is missing or of another type than a tokenizer has"
      : message;
    throw new ModelError(`Cannot read tokenizer '${path}': ${reason}`, { cause: error });
  }
}

/** The number of a special token: by its name (a string, or an object with `content`), else as the config says. */
function specialToken(tokenizer: Tokenizer, name: unknown, number: unknown): number | undefined {
  const content = typeof name === "object" && name !== null && "content" in name
    ? name.content
    : name;
  const named = typeof content === "string" ? tokenizer.token_to_id(content) : undefined;
  if (named !== undefined) return named;
  const first = Array.isArray(number) ? number[0] : number;
  return typeof first === "number" ? first : undefined;
}
