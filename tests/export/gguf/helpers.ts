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
