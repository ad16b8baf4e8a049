import { readTokenizer } from "../../../core/model/tokenizer.ts";
import { sentencepieceTokenizer } from "../../helpers/sentencepiece-tokenizer.ts";
import { hostileJsonFiles } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { readJson, writeSmallModel } from "./small_model.ts";

/** Texts that tokenizers stumble over. */
const texts = ["A text, 1.", "", " \n\t ", "\ud800", "\u0000", "🦙 naïve ﬁ", "x".repeat(300)];

/**
 * Tokenizers of three kinds, small enough to be read by the thousands.
 *
 * @param folder Where one of them is written
 * @returns What `tokenizer.json` holds
 */
export async function realTokenizers(folder: string): Promise<readonly Record<string, unknown>[]> {
  await writeSmallModel(folder);
  const tiny = await readJson(new URL("../../../models/tiny/tokenizer.json", import.meta.url));
  const model = tiny.model as Record<string, unknown>;
  const vocab = Object.entries(model.vocab as Record<string, number>).filter(([, id]) => id < 300);
  const known = new Set(vocab.map(([token]) => token));
  const merges = (model.merges as (string | [string, string])[]).filter((merge) => {
    const parts = typeof merge === "string" ? merge.split(" ") : merge;
    return [...parts, parts.join("")].every((part) => known.has(part));
  });
  return [
    await readJson(`${folder}/tokenizer.json`),
    sentencepieceTokenizer("normalizer").tokenizer,
    sentencepieceTokenizer("pretokenizer").tokenizer,
    { ...tiny, model: { ...model, vocab: Object.fromEntries(vocab), merges } },
  ];
}

/** A tokenizer, and then texts through it and back. */
export async function tokenizer(folder: string): Promise<OpenReader> {
  const real = await realTokenizers(folder);
  return {
    files: hostileJsonFiles(real),
    read: async (file) => {
      await Deno.writeFile(`${folder}/tokenizer.json`, file);
      const { encode, decode } = await readTokenizer(folder);
      for (const text of texts) decode(encode(text));
    },
  };
}
