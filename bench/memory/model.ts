/**
 * Large Llama-like models of random weights, written piece by piece: for measuring memory, which does not ask what
 * the numbers are.
 * @module
 */
import { encode, numberCount } from "../../core/model/number_formats.ts";
import { type TensorEntry, writeSafetensors } from "../../core/model/safetensors_writer.ts";
import { Random } from "../../core/random.ts";
import { llamaConfig, type LlamaSizes, type LlamaTensor, llamaTensors } from "../llama_layout.ts";

/** The sizes of a random model. */
export interface RandomLlama {
  /** Blocks. */
  readonly layers: number;
  /** Width of the residual stream. */
  readonly hidden: number;
  /** FFN neurons of each block. */
  readonly ffnWidth: number;
  /** Channels of a head. */
  readonly headSize: number;
  /** Query heads of each block. */
  readonly queryHeads: number;
  /** Key/value heads of each block. */
  readonly keyValueHeads: number;
  /** Rows of the embedding, and of an output head of its own. */
  readonly vocabulary: number;
}

/** Bytes of a weight file, above which the next one begins. */
const SHARD_BYTES = 1_000_000_000;

/** Numbers that are made once, and those that are taken from them at a time. */
const POOL = 1 << 22;
const PIECE = 1 << 20;

/**
 * Parameters of a random model.
 *
 * @param shape Its sizes
 * @returns All of its numbers
 */
export function parametersOf(shape: RandomLlama): number {
  return tensorsOf(shape).reduce((sum, { shape }) => sum + numberCount(shape), 0);
}

/**
 * Writes a random model in bf16 with an index and several files. It is never whole in memory.
 *
 * @param folder The folder; made if it is missing
 * @param shape Its sizes
 */
export async function writeRandomLlama(folder: string, shape: RandomLlama): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const json = (name: string, value: unknown) =>
    Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(value, null, 2));
  await json("config.json", llamaConfig(sizesOf(shape), false));
  const tokenizer = new URL("../../models/tiny/", import.meta.url);
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(new URL(name, tokenizer), `${folder}/${name}`);
  }
  const normal = normalPool();
  const shards = intoShards(tensorsOf(shape));
  const weightMap: Record<string, string> = {};
  for (const [index, tensors] of shards.entries()) {
    const [number, total] = [index + 1, shards.length].map((n) => String(n).padStart(5, "0"));
    const file = `model-${number}-of-${total}.safetensors`;
    const entries = tensors.map((tensor): TensorEntry => ({
      name: tensor.name,
      dataType: "BF16",
      shape: tensor.shape,
      bytes: () => tensor.shape.length === 1 ? ones(tensor.shape[0]) : drawn(normal, tensor),
    }));
    await writeSafetensors(`${folder}/${file}`, entries);
    for (const { name } of tensors) weightMap[name] = file;
  }
  await json("model.safetensors.index.json", {
    metadata: { total_size: 2 * parametersOf(shape) },
    weight_map: weightMap,
  });
}

function sizesOf(shape: RandomLlama): LlamaSizes {
  return { ...shape, hiddenSize: shape.hidden, vocabularySize: shape.vocabulary };
}

function tensorsOf(shape: RandomLlama): readonly LlamaTensor[] {
  return llamaTensors(sizesOf(shape), false);
}

function intoShards(tensors: readonly LlamaTensor[]): readonly LlamaTensor[][] {
  const shards: LlamaTensor[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    const own = 2 * numberCount(tensor.shape);
    if (bytes > 0 && bytes + own > SHARD_BYTES) {
      shards.push([]);
      bytes = 0;
    }
    shards[shards.length - 1].push(tensor);
    bytes += own;
  }
  return shards;
}

/** Numbers with a mean of 0 and a deviation of 0.02 in bf16, by Box and Muller. */
function normalPool(): Uint8Array {
  const random = Random.of("large random model");
  const numbers = Float32Array.from({ length: POOL }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
    return 0.02 * radius * Math.cos(2 * Math.PI * random.next());
  });
  return encode(numbers, "BF16");
}

/** Making a new number for each weight would take longer than all else: pieces of the pool from random places do. */
function* drawn(pool: Uint8Array, { name, shape }: LlamaTensor): Generator<Uint8Array> {
  const random = Random.of(name);
  const count = numberCount(shape);
  for (let done = 0; done < count; done += PIECE) {
    const start = random.below(POOL - PIECE);
    yield pool.subarray(2 * start, 2 * (start + Math.min(PIECE, count - done)));
  }
}

function ones(count: number): Uint8Array {
  return encode(new Float32Array(count).fill(1), "BF16");
}
