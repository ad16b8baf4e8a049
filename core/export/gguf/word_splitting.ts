/**
 * How byte-level tokenizers cut a text into words, and what llama.cpp calls each way (`tokenizer.ggml.pre`). A name
 * stands for a fixed regular expression there, so only those that are the same are taken.
 * @module
 */
import type { PairTokenizer, Step } from "./tokenizer_files.ts";

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const ENDINGS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const CASED_ENDINGS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const cased = (after: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${after}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${after}`;

interface Splitting {
  readonly pattern: string;
  /** The name where merges decide, if llama.cpp has one. */
  readonly byMerges?: string;
  /** The name where a word that is a token stays whole, if llama.cpp has one. */
  readonly wholeWords?: string;
}

/** One regular expression, and then bytes. */
const SPLITTINGS: readonly Splitting[] = [
  {
    pattern: `${CONTRACTIONS}|${REST}|\\p{N}{1,3}|${ENDINGS}`,
    byMerges: "smaug-bpe",
    wholeWords: "llama-bpe",
  },
  { pattern: `${CONTRACTIONS}|${REST}|\\p{N}|${ENDINGS}`, byMerges: "qwen2" },
  { pattern: `${cased("")}|\\p{N}|${CASED_ENDINGS}`, wholeWords: "tekken" },
  {
    pattern: `${cased(`${CONTRACTIONS}?`)}|\\p{N}{1,3}|${CASED_ENDINGS}`,
    byMerges: "gpt-4o",
  },
];

/**
 * llama.cpp's name for the way in which a byte-level tokenizer cuts words.
 *
 * @param tokenizer The tokenizer
 * @returns The name; undefined if llama.cpp has none for it
 */
export function wordSplittingName(
  { preTokenizers, ignoreMerges }: PairTokenizer,
): string | undefined {
  const [last, ...others] = preTokenizers.toReversed();
  if (last?.type !== "ByteLevel" || last.add_prefix_space === true) return undefined;
  const ownPattern = last.use_regex !== false;
  if (others.length === 0) return ownPattern && !ignoreMerges ? "gpt-2" : undefined;
  if (others.length > 1) return undefined;
  const [first] = others;
  if (ownPattern) return isSingleDigits(first) && !ignoreMerges ? "smollm" : undefined;
  const splitting = SPLITTINGS.find(({ pattern }) => pattern === isolatedPattern(first));
  return ignoreMerges ? splitting?.wholeWords : splitting?.byMerges;
}

function isSingleDigits(step: Step): boolean {
  return step.type === "Digits" && step.individual_digits === true;
}

/** The regular expression of a step that cuts out what it matches. */
function isolatedPattern({ type, pattern, behavior, invert }: Step): string | undefined {
  if (type !== "Split" || behavior !== "Isolated" || invert === true) return undefined;
  const regex = (pattern as { readonly Regex?: unknown } | undefined)?.Regex;
  return typeof regex === "string" ? regex : undefined;
}
