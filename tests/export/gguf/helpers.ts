/**
 * What the tests of GGUF share.
 * @module
 */
import { openModel } from "../../../core/model/open.ts";
import type { Model } from "../../../core/model/types.ts";
import { type RandomModelOptions, writeRandomModel } from "../../helpers/random-model.ts";
import type { SmallTokenizer } from "../../helpers/sentencepiece-tokenizer.ts";

/** Sizes that differ from layer to layer. */
export const differingShapes = [
  { ffnWidth: 48, keyValueHeads: 2, queryHeads: 4 },
  { ffnWidth: 40, keyValueHeads: 1, queryHeads: 2 },
  { ffnWidth: 64, keyValueHeads: 3, queryHeads: 6 },
] as const;

/** Writes a random model into a folder and opens it, with another tokenizer if one is given. */
export async function randomModel(
  folder: string,
  options: RandomModelOptions,
  tokenizer?: SmallTokenizer,
): Promise<Model> {
  const vocabulary = tokenizer === undefined ? {} : { vocabulary: tokenizer.size };
  await writeRandomModel({ seed: 3, ...options, ...vocabulary, folder });
  if (tokenizer !== undefined) {
    const settings = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" };
    await replaceJson(`${folder}/tokenizer.json`, () => tokenizer.tokenizer);
    await replaceJson(`${folder}/tokenizer_config.json`, () => settings);
  }
  return await openModel(folder);
}

/** Changes a JSON file. */
export async function replaceJson(
  path: string,
  // deno-lint-ignore no-explicit-any -- whatever the file holds
  change: (value: any) => unknown,
): Promise<void> {
  const value = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify(change(value) ?? value));
}

/** Natural logarithms of probabilities from logits. */
export function logProbabilities(logits: Float32Array): number[] {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
  return Array.from(logits, (logit) => logit - largest - Math.log(total));
}

/** Σ p (log p − log q), in nats. */
export function divergence(p: readonly number[], q: readonly number[]): number {
  return p.reduce((sum, log, token) => sum + Math.exp(log) * (log - q[token]), 0);
}

/** The step that turns characters into bytes, after others have cut words. */
export const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
/** A step that cuts out what a regular expression matches. */
export const split = (Regex: string): Record<string, unknown> & { readonly type: string } => ({
  type: "Split",
  pattern: { Regex },
  behavior: "Isolated",
  invert: false,
});
/** As it stands in the tokenizer.json of Llama 3. */
export const llama3Pattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** As it stands in the tokenizer.json of Qwen 2. */
export const qwen2Pattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** As it stands in the tokenizer.json of Mistral Nemo. */
export const tekkenPattern =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
