/**
 * A made-up block with made-up inputs, to try an engine on before a model runs on it.
 * @module
 */
import { memoryTensor } from "../model/tensor_reader.ts";
import { DEFAULT_ROTARY, rotaryEmbedding } from "../model/rotary.ts";
import type { Architecture, BlockRole, LayerShape, MemoryTensor } from "../model/types.ts";
import { blockTensorShape } from "../model/units.ts";
import { Random } from "../random.ts";
import type { BlockSpecification, Capture } from "./types.ts";

/** The sizes of a made-up block. */
export interface SyntheticSizes extends LayerShape {
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Channels of a head. */
  readonly headSize: number;
}

const ROLES: readonly BlockRole[] = [
  "attentionNorm.weight",
  "q_proj.weight",
  "k_proj.weight",
  "v_proj.weight",
  "o_proj.weight",
  "ffnNorm.weight",
  "gate_proj.weight",
  "up_proj.weight",
  "down_proj.weight",
];

/**
 * Makes a block up.
 *
 * @param sizes Its sizes
 * @param capture What it reports
 * @returns The block; the same for the same sizes
 */
export function syntheticBlock(sizes: SyntheticSizes, capture: Capture): BlockSpecification {
  const { hiddenSize, headSize, ffnWidth, keyValueHeads, queryHeads } = sizes;
  const shape = { ffnWidth, keyValueHeads, queryHeads };
  const architecture: Architecture = {
    family: "llama",
    hiddenSize,
    headSize,
    vocabularySize: 1,
    maxPositions: 2048,
    normEpsilon: 1e-5,
    activation: "silu",
    rotary: rotaryEmbedding({ ...DEFAULT_ROTARY, headSize }),
    tiedEmbedding: true,
    layers: [shape],
  };
  const random = Random.of("synthetic block");
  const tensors = new Map<BlockRole, MemoryTensor>();
  for (const role of ROLES) {
    const tensorShape = blockTensorShape(architecture, shape, role);
    const tensor = memoryTensor(tensorShape);
    // A deviation of 1 / √inputs keeps the size of what goes through; a uniform number has one of 1 / √12.
    const scale = tensorShape.length === 1 ? 1 : Math.sqrt(12 / tensorShape[1]);
    const mean = tensorShape.length === 1 ? 1 : 0;
    fill(tensor.data, random, scale, mean);
    tensors.set(role, tensor);
  }
  return { architecture, shape, tensors, capture };
}

/**
 * Makes a residual stream up.
 *
 * @param tokens Tokens
 * @param hiddenSize Width
 * @returns `[tokens, hiddenSize]`; the same for the same sizes
 */
export function syntheticStream(tokens: number, hiddenSize: number): Float32Array {
  const stream = new Float32Array(tokens * hiddenSize);
  fill(stream, Random.of("synthetic stream"), 2, 0);
  return stream;
}

/** A few thousand random numbers over and over: random enough for sizes, and millions come at once. */
function fill(target: Float32Array, random: Random, scale: number, mean: number): void {
  const period = 4099;
  const numbers = Float32Array.from(
    { length: Math.min(period, target.length) },
    () => mean + scale * (random.next() - 0.5),
  );
  for (let at = 0; at < target.length; at += period) {
    target.set(numbers.subarray(0, Math.min(period, target.length - at)), at);
  }
}
