/**
 * The files of a model folder: which hold weights, which belong in every copy, and their fingerprint.
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { ModelError } from "../errors.ts";
import { parseJson, readTextFile, unusableReason } from "../json.ts";
import { breathe, type WorkOptions } from "../progress.ts";
import { readSafetensorsHeader } from "./safetensors.ts";
import type { TensorIndex, TensorView } from "./types.ts";

/** The files beside config and weights that belong in every copy of a model. */
export const COMPANION_FILES: readonly string[] = [
  "tokenizer.json",
  "tokenizer_config.json",
  "tokenizer.model",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "generation_config.json",
  "chat_template.jinja",
  "chat_template.json",
];

/** The weights of a folder. */
export interface WeightFiles {
  /** Every tensor by name. */
  readonly tensors: TensorIndex;
  /** Real paths of the files, in the order of their names. */
  readonly paths: readonly string[];
  /** Their sizes together. */
  readonly bytes: number;
}

/**
 * Finds the weights of a folder and reads their headers.
 *
 * @param folder The folder
 * @returns Its tensors and files
 * @throws {ModelError} if there are none, one is missing or broken, or an index says what is not so
 */
export async function readWeights(folder: string): Promise<WeightFiles> {
  const names = await fileNames(folder);
  const weights = names.filter((name) => name.endsWith(".safetensors"));
  const indexes = names.filter((name) => name.endsWith(".safetensors.index.json"));
  if (weights.includes("model.safetensors")) return await readShards(folder, ["model.safetensors"]);
  if (indexes.length > 0) return await readIndexed(folder, indexes[0]);
  if (weights.length === 1) return await readShards(folder, weights);
  throw new ModelError(`Cannot open model '${folder}': ${noWeights(names, weights)}`);
}

/**
 * Names of the files of a folder, sorted.
 *
 * @param folder The folder
 * @returns Files and links to files, without folders
 */
export async function fileNames(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(folder)) if (!entry.isDirectory) names.push(entry.name);
  return names.sort();
}

/** Weights up to this size are hashed whole, in bytes. */
const WHOLE = 64 << 20;
/** How much is taken of each of two places of a tensor of larger models, in bytes. */
const SAMPLE = 32 << 10;

/**
 * A SHA-256 that tells models apart: over config and weights; of weights past 64 MiB, over the headers and two samples
 * of 32 KiB of every tensor.
 *
 * @param configPath The model's config
 * @param weights Its weights
 * @param options Cancellation
 * @returns 64 hexadecimal digits; the same for every copy of the model, wherever it lies
 */
export async function fingerprintOf(
  configPath: string,
  weights: WeightFiles,
  options: WorkOptions = {},
): Promise<string> {
  const hash = createHash("sha256").update(await Deno.readFile(configPath));
  const views = [...weights.tensors.values()];
  for (const path of weights.paths) {
    const file = await Deno.open(path);
    try {
      if (weights.bytes <= WHOLE) {
        hashRange(hash, file, 0, (await file.stat()).size);
        continue;
      }
      const own = views.filter((view) => view.path === path).sort((a, b) => a.offset - b.offset);
      hashRange(hash, file, 0, own[0]?.offset ?? 0);
      for (const view of own) {
        for (const [offset, length] of samples(view)) hashRange(hash, file, offset, length);
      }
      await breathe(options.signal);
    } finally {
      file.close();
    }
  }
  return hash.digest("hex");
}

function samples({ offset, byteLength }: TensorView): [offset: number, length: number][] {
  if (byteLength <= 2 * SAMPLE) return [[offset, byteLength]];
  const middle = offset + Math.floor(byteLength / 2);
  return [[offset, SAMPLE], [middle, SAMPLE]];
}

function hashRange(hash: Hash, file: Deno.FsFile, offset: number, length: number): void {
  const buffer = new Uint8Array(Math.min(length, 4 << 20));
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < length;) {
    const count = file.readSync(buffer.subarray(0, Math.min(buffer.length, length - done)));
    if (count === null) break;
    hash.update(buffer.subarray(0, count));
    done += count;
  }
}

async function readShards(folder: string, names: readonly string[]): Promise<WeightFiles> {
  const tensors = new Map<string, TensorView>();
  const owners = new Map<string, string>();
  const paths: string[] = [];
  let bytes = 0;
  for (const name of names) {
    const path = `${folder}/${name}`;
    const header = await readSafetensorsHeader(path);
    bytes += header.fileBytes;
    paths.push(await Deno.realPath(path));
    for (const view of header.tensors) {
      const owner = owners.get(view.name);
      if (owner !== undefined) {
        throw new ModelError(
          `Cannot open model '${folder}': tensor '${view.name}' is in '${owner}' and in '${name}'`,
        );
      }
      owners.set(view.name, name);
      tensors.set(view.name, view);
    }
  }
  return { tensors, paths, bytes };
}

async function readIndexed(folder: string, indexName: string): Promise<WeightFiles> {
  const path = `${folder}/${indexName}`;
  const map = await readWeightMap(path);
  const names = [...new Set(map.values())].sort();
  const present = new Set(await fileNames(folder));
  for (const name of names) {
    if (!present.has(name)) {
      throw new ModelError(
        `Cannot open model '${folder}': weight file '${name}', which '${indexName}' names, is missing`,
      );
    }
  }
  const weights = await readShards(folder, names);
  const realPaths = new Map(names.map((name, index) => [name, weights.paths[index]]));
  for (const [tensor, name] of map) {
    if (weights.tensors.get(tensor)?.path !== realPaths.get(name)) {
      throw new ModelError(`Cannot use '${path}': tensor '${tensor}' is not in '${name}'`);
    }
  }
  for (const tensor of weights.tensors.keys()) {
    if (!map.has(tensor)) {
      throw new ModelError(`Cannot use '${path}': it leaves out tensor '${tensor}'`);
    }
  }
  return weights;
}

async function readWeightMap(path: string): Promise<Map<string, string>> {
  let index: unknown;
  try {
    index = parseJson(await readTextFile(path), { repeatedKeys: "refuse" });
  } catch (error) {
    throw new ModelError(`Cannot use '${path}': ${unusableReason(error)}`, { cause: error });
  }
  const map = typeof index === "object" && index !== null && "weight_map" in index
    ? index.weight_map
    : undefined;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new ModelError(`Cannot use '${path}': 'weight_map' is missing`);
  }
  const entries = Object.entries(map);
  for (const [tensor, name] of entries) {
    // A name with a path in it could lead out of the folder.
    if (typeof name !== "string" || !/^[^/\\]+\.safetensors$/.test(name)) {
      const shown = JSON.stringify(name);
      throw new ModelError(
        `Cannot use '${path}': the file of tensor '${tensor}' is ${shown}, and a name that ends in .safetensors is wanted`,
      );
    }
  }
  if (entries.length === 0) throw new ModelError(`Cannot use '${path}': 'weight_map' is empty`);
  return new Map(entries as [string, string][]);
}

function noWeights(names: readonly string[], weights: readonly string[]): string {
  if (weights.length > 1) {
    return `it has ${weights.length} .safetensors files and no model.safetensors.index.json`;
  }
  const other = names.find((name) => /\.(bin|pth?|ckpt|gguf|onnx|h5|msgpack)$/.test(name));
  return other === undefined
    ? "it has no .safetensors file"
    : `its weights are in '${other}', and gprune reads .safetensors alone; convert it first`;
}
