/**
 * The tokens of a model by number, as a GGUF file lists them.
 * @module
 */
import { ExportError } from "../../errors.ts";
import type { Model } from "../../model/types.ts";
import type { PairTokenizer } from "./tokenizer_files.ts";

/** What a token is to llama.cpp. */
export const TOKEN_TYPES = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** The tokens of a file: text and type by number. */
export interface TokenTable {
  /** Their texts. */
  readonly texts: readonly string[];
  /** What each is; see {@linkcode TOKEN_TYPES}. */
  readonly types: readonly number[];
}

/**
 * The tokens of a model by number. Every row of the embedding has one, since llama.cpp counts them.
 *
 * @param model The model
 * @param tokenizer Its tokenizer
 * @returns Text and type of each
 * @throws {ExportError} if the tokenizer has tokens that the embedding has not
 */
export function tokenTable(model: Model, tokenizer: PairTokenizer): TokenTable {
  const { vocabularySize } = model.architecture;
  const texts = Array.from({ length: vocabularySize }, (_, id) => `[PAD${id}]`);
  const types = texts.map((): number => TOKEN_TYPES.unused);
  const put = (id: number, text: string, type: number) => {
    if (id >= vocabularySize) {
      throw new ExportError(
        `Cannot write '${model.name}' as GGUF: its tokenizer has token ${id} ('${text}') and its embedding ${vocabularySize} rows; use --format hf or onnx`,
      );
    }
    texts[id] = text;
    types[id] = type;
  };
  for (const [text, id] of tokenizer.vocabulary) {
    const isByte = tokenizer.byteFallback && /^<0x[0-9A-F]{2}>$/.test(text);
    put(id, text, isByte ? TOKEN_TYPES.byte : TOKEN_TYPES.normal);
  }
  for (const { id, content, special } of tokenizer.added) {
    put(id, content, special ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined);
  }
  const unknown = tokenizer.vocabulary.get(tokenizer.unknownToken ?? "");
  if (unknown !== undefined) types[unknown] = TOKEN_TYPES.unknown;
  return { texts, types };
}
