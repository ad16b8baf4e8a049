/**
 * Tokenizers that work on characters as sentencepiece does: spaces become `▁`, pairs of characters are merged, and
 * characters without a token become bytes. Where the Hugging Face layout lists merges in order, llama.cpp merges
 * whichever neighbours make the token with the highest score.
 * @module
 */
import type { Model } from "../../model/types.ts";
import type { GgufValue } from "./format.ts";
import { TOKEN_TYPES, type TokenTable } from "./token_table.ts";
import { type Merge, type PairTokenizer, unsupported } from "./tokenizer_files.ts";

/** The character that stands for a space. */
const SPACE = "▁";

/**
 * The keys of a tokenizer that works as sentencepiece does.
 *
 * @param model The model
 * @param tokenizer Its tokenizer
 * @param table Its tokens by number
 * @returns Keys and values
 * @throws {ExportError} if llama.cpp would cut texts into other tokens
 */
export function sentencepieceKeys(
  model: Model,
  tokenizer: PairTokenizer,
  table: TokenTable,
): ReadonlyMap<string, GgufValue> {
  if (!tokenizer.byteFallback || !hasAllBytes(tokenizer)) {
    throw unsupported(model, "its tokenizer has no tokens for single bytes");
  }
  const startsWithSpace = spacePrefix(tokenizer);
  if (startsWithSpace === undefined) {
    throw unsupported(model, "its tokenizer prepares texts by a rule of its own");
  }
  const scores = mergeScores(tokenizer);
  if (scores === undefined || !mergesEverything(tokenizer)) {
    throw unsupported(model, "its tokenizer merges in an order that scores of tokens cannot say");
  }
  const value = table.texts.map((text, id) =>
    table.types[id] === TOKEN_TYPES.normal ? scores.get(text) ?? -tokenizer.merges.length : 0
  );
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "llama" }],
    ["tokenizer.ggml.pre", { type: "string", value: "default" }],
    ["tokenizer.ggml.scores", { type: "float32", value }],
    ["tokenizer.ggml.add_space_prefix", { type: "bool", value: startsWithSpace }],
  ]);
}

function hasAllBytes({ vocabulary }: PairTokenizer): boolean {
  return Array.from({ length: 256 }, (_, byte) => byte).every((byte) =>
    vocabulary.has(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)
  );
}

/** Whether a text gets a space in front; undefined where something else is done to it. */
function spacePrefix(
  { normalizers, preTokenizers, vocabulary }: PairTokenizer,
): boolean | undefined {
  if (preTokenizers.length === 0) {
    const [first, ...others] = normalizers;
    const prepends = first?.type === "Prepend" && first.prepend === SPACE;
    const rest = prepends ? others : normalizers;
    return rest.length === 1 && replacesSpaces(rest[0]) ? prepends : undefined;
  }
  const [step] = preTokenizers;
  if (preTokenizers.length > 1 || normalizers.length > 0 || step.type !== "Metaspace") {
    return undefined;
  }
  if (step.replacement !== SPACE) return undefined;
  // Cutting at spaces shows where a token goes on after one.
  const cuts = step.split !== false;
  if (cuts && [...vocabulary.keys()].some((text) => text.lastIndexOf(SPACE) > 0)) return undefined;
  return (step.prepend_scheme ?? (step.add_prefix_space === false ? "never" : "always")) !==
    "never";
}

function replacesSpaces(step: Readonly<Record<string, unknown>>): boolean {
  const pattern = step.pattern as { readonly String?: unknown } | undefined;
  return step.type === "Replace" && pattern?.String === " " && step.content === SPACE;
}

/** Scores that put tokens in the order in which merges make them; undefined if merges of tokens are mixed. */
function mergeScores({ merges }: PairTokenizer): ReadonlyMap<string, number> | undefined {
  const scores = new Map<string, number>();
  let latest: string | undefined;
  for (const [rank, [left, right]] of merges.entries()) {
    const token = left + right;
    if (token === latest) continue;
    if (scores.has(token)) return undefined;
    scores.set(token, -rank);
    latest = token;
  }
  return scores;
}

/** Whether every two tokens that make a third are merged: llama.cpp looks for tokens alone. */
function mergesEverything({ vocabulary, merges, added }: PairTokenizer): boolean {
  const key = (left: string, right: string) => `${left} ${right}`;
  const known = new Set(merges.map(([left, right]: Merge) => key(left, right)));
  const apart = new Set(added.map(({ content }) => content));
  for (const text of vocabulary.keys()) {
    if (apart.has(text) || /^<0x[0-9A-F]{2}>$/.test(text)) continue;
    const characters = [...text];
    for (let cut = 1; cut < characters.length; cut++) {
      const left = characters.slice(0, cut).join("");
      const right = characters.slice(cut).join("");
      const pair = vocabulary.has(left) && vocabulary.has(right);
      if (pair && !known.has(key(left, right))) return false;
    }
  }
  return true;
}
