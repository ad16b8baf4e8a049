/**
 * A small tokenizer that works as sentencepiece does, in the Hugging Face layout, for tests.
 * @module
 */

const SPACE = "▁";
const WORDS = ["the", "there", "then", "other", "time", "once", "upon", "a", "an", "and", "in"];
const CHARACTERS = [SPACE, ..."abcdefghijklmnopqrstuvwxyzO.,é☃\n"];

/** A tokenizer and how many tokens it has. */
export interface SmallTokenizer {
  /** The fields of `tokenizer.json`. */
  readonly tokenizer: Record<string, unknown>;
  /** Tokens in all. */
  readonly size: number;
}

/**
 * Makes the tokenizer: unknown, start and end token, the bytes, characters, and the beginnings of some words with a
 * space before them, which every pair of tokens that makes them is merged to.
 *
 * @param prepares How a space gets in front: by a normalizer, as Llama 2 has it, by a pre-tokenizer, or not at all
 * @returns The tokenizer
 */
export function sentencepieceTokenizer(
  prepares: "normalizer" | "pretokenizer" | "never" = "normalizer",
): SmallTokenizer {
  const specials = ["<unk>", "<s>", "</s>"];
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  );
  const beginnings = WORDS.flatMap((word) => [`${SPACE}${word}`, word])
    .flatMap((word) => Array.from(word, (_, index) => [...word].slice(0, index + 1).join("")))
    .filter((text) => text.length > 1);
  const merged = [...new Set(beginnings)].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const texts = [...specials, ...bytes, ...CHARACTERS, ...merged];
  const vocabulary = new Map(texts.map((text, id) => [text, id]));
  const merges = merged.flatMap((text) => {
    const characters = [...text];
    return characters.slice(1).map((_, index) => [
      characters.slice(0, index + 1).join(""),
      characters.slice(index + 1).join(""),
    ]).filter((pair) => pair.every((part) => vocabulary.has(part)));
  });
  const replace = { type: "Replace", pattern: { String: " " }, content: SPACE };
  return {
    size: texts.length,
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: specials.map((content, id) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: prepares === "normalizer"
        ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: SPACE }, replace] }
        : prepares === "never"
        ? replace
        : null,
      pre_tokenizer: prepares === "pretokenizer"
        ? { type: "Metaspace", replacement: SPACE, prepend_scheme: "first", split: false }
        : null,
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, {
          Sequence: { id: "A", type_id: 0 },
        }],
        pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
        special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
      },
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: SPACE }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          { type: "Strip", content: " ", start: prepares === "never" ? 0 : 1, stop: 0 },
        ],
      },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: "<unk>",
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: true,
        byte_fallback: true,
        ignore_merges: false,
        vocab: Object.fromEntries(vocabulary),
        merges,
      },
    },
  };
}
