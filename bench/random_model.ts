/**
 * A model of random weights on the disk, for benches of speed and memory: neither depends on what the weights are.
 * @module
 */
import { encode } from "../core/model/number_formats.ts";
import { type TensorEntry, writeSafetensors } from "../core/model/safetensors_writer.ts";
import { llamaConfig, type LlamaSizes, llamaTensors } from "./llama_layout.ts";

/** The shape of the popular models of 135 M parameters. */
export const shape135M: LlamaSizes = {
  hiddenSize: 576,
  headSize: 64,
  layers: 30,
  vocabularySize: 49_152,
  ffnWidth: 1536,
  keyValueHeads: 3,
  queryHeads: 9,
};

/** Numbers that are made and written at a time. */
const PIECE = 1 << 18;

/**
 * Writes a model in bf16 with tied embeddings, in the Hugging Face layout, with the embedded model's tokenizer (whose
 * tokens are the first of the vocabulary).
 *
 * @param folder Where to; made if missing
 * @param sizes Its sizes
 * @param seed Another seed gives other weights
 */
export async function writeRandomModel(
  folder: string,
  sizes: LlamaSizes,
  seed = 1,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(llamaConfig(sizes, true)));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(new URL(`../models/tiny/${name}`, import.meta.url), `${folder}/${name}`);
  }
  const random = randomBits(seed);
  const entries = llamaTensors(sizes, true).map(({ name, shape }): TensorEntry => ({
    name,
    dataType: "BF16",
    shape,
    // A deviation of 1 / √inputs keeps the size of what goes through.
    bytes: () =>
      shape.length === 1
        ? encode(new Float32Array(shape[0]).fill(1), "BF16")
        : uniform(random, shape[0] * shape[1], 1 / Math.sqrt(shape[1])),
  }));
  await writeSafetensors(`${folder}/model.safetensors`, entries);
}

/** 32 random bits at every call (Marsaglia, "Xorshift RNGs", 2003). */
function randomBits(seed: number): () => number {
  let state = (seed * 0x9e3779b9) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** Numbers of a mean of 0, all equally likely. */
function* uniform(random: () => number, count: number, deviation: number): Generator<Uint8Array> {
  const scale = deviation * Math.sqrt(12) / 2 ** 32;
  const piece = new Float32Array(PIECE);
  for (let done = 0; done < count; done += PIECE) {
    const size = Math.min(PIECE, count - done);
    for (let at = 0; at < size; at++) piece[at] = scale * random();
    yield encode(piece.subarray(0, size), "BF16");
  }
}
