/**
 * The tensors of a model under llama.cpp's names, in its order of rows, and each in its kind of number.
 * @module
 */
import { blockTensors, outerTensor } from "../../model/open.ts";
import type { Architecture, BlockRole, LayerShape, Model, Tensor } from "../../model/types.ts";
import { blockTensorShape } from "../../model/units.ts";
import { readPaddedRows } from "../padding.ts";
import { rotaryDivisors } from "./architecture.ts";
import { BLOCK_SIZE, type GgufTensorType } from "./format.ts";
import type { GgufQuantization } from "./names.ts";
import type { GgufTensor } from "./writer.ts";

/** Names of the parts of a block. */
const PART_NAMES: Readonly<Record<string, string>> = {
  attentionNorm: "attn_norm",
  q_proj: "attn_q",
  k_proj: "attn_k",
  v_proj: "attn_v",
  o_proj: "attn_output",
  ffnNorm: "ffn_norm",
  gate_proj: "ffn_gate",
  up_proj: "ffn_up",
  down_proj: "ffn_down",
};

const TYPES: Readonly<Record<GgufQuantization, GgufTensorType>> = {
  f32: "F32",
  f16: "F16",
  q8_0: "Q8_0",
  q4_0: "Q4_0",
};

/**
 * The name of a block's tensor.
 *
 * @param role The part that it plays
 * @param layer The block's number, from 0
 * @returns Its name, such as `blk.0.attn_q.weight`
 */
export function ggufBlockName(role: BlockRole, layer: number): string {
  const [part, kind] = role.split(".");
  return `blk.${layer}.${PART_NAMES[part]}.${kind}`;
}

/** Names of the tensors outside the blocks. */
export const GGUF_OUTER_NAMES = {
  "embedding.weight": "token_embd.weight",
  "finalNorm.weight": "output_norm.weight",
  "outputHead.weight": "output.weight",
} as const;

/**
 * Whether the rows of a tensor go in another order: queries and keys, whose channels llama.cpp rotates in neighbouring
 * pairs.
 *
 * @param role The part that it plays
 * @returns True for weights and biases of q and k
 */
export function isReordered(role: BlockRole): boolean {
  return role.startsWith("q_proj.") || role.startsWith("k_proj.");
}

/**
 * Brings the channels of heads into llama.cpp's order: channel i and channel i + headSize / 2, which rotate together,
 * become neighbours.
 *
 * @param rows Rows of whole heads, `[rows, columns]`
 * @param headSize Channels of a head
 * @param columns Numbers of a row
 * @returns The rows in the new order
 */
export function interleaveHeads(
  rows: Float32Array,
  headSize: number,
  columns: number,
): Float32Array {
  return reorder(rows, columns, (row) => {
    const channel = row % headSize;
    const half = headSize / 2;
    return row - channel + (channel % half) * 2 + Math.floor(channel / half);
  });
}

/**
 * The opposite of {@linkcode interleaveHeads}.
 *
 * @param rows Rows of whole heads, `[rows, columns]`
 * @param headSize Channels of a head
 * @param columns Numbers of a row
 * @returns The rows in the order of the Hugging Face layout
 */
export function separateHeads(
  rows: Float32Array,
  headSize: number,
  columns: number,
): Float32Array {
  return reorder(rows, columns, (row) => {
    const channel = row % headSize;
    return row - channel + (channel % 2) * headSize / 2 + Math.floor(channel / 2);
  });
}

/** Rows in a new order: `place` tells where each one goes. */
function reorder(
  rows: Float32Array,
  columns: number,
  place: (row: number) => number,
): Float32Array {
  const result = new Float32Array(rows.length);
  for (let row = 0; row < rows.length / columns; row++) {
    result.set(rows.subarray(row * columns, (row + 1) * columns), place(row) * columns);
  }
  return result;
}

/**
 * The tensors of a model, ready to be written.
 *
 * Norms, biases and the divisors of the rotary frequencies stay in float32. Rows that are no multiple of 32 stay in
 * float16. In `q4_0` the output head (and so an embedding that it shares) has 8 bits: every logit depends on it.
 *
 * @param model The model
 * @param layers The sizes of its layers as they are stored
 * @param quantization How numbers are stored
 * @returns The tensors in the order of the file
 */
export function ggufTensors(
  model: Model,
  layers: readonly LayerShape[],
  quantization: GgufQuantization,
): readonly GgufTensor[] {
  const { architecture } = model;
  const { vocabularySize, hiddenSize, tiedEmbedding } = architecture;
  const table = [vocabularySize, hiddenSize];
  const embedding = outerTensor(model, "embedding.weight");
  const head = outerTensor(model, "outputHead.weight");
  const names = GGUF_OUTER_NAMES;
  const plain = (name: string, tensor: Tensor, shape: readonly number[], sharp: boolean) =>
    ggufTensor({ name, tensor, shape, type: typeOf(quantization, shape, sharp) });
  const divisors = rotaryDivisors(architecture);
  return [
    plain(names["embedding.weight"], embedding, table, tiedEmbedding),
    ...(divisors === undefined ? [] : [
      plain("rope_freqs.weight", { shape: [divisors.length], data: divisors }, [
        divisors.length,
      ], false),
    ]),
    ...layers.flatMap((shape, layer) => layerTensors(model, layer, shape, quantization)),
    plain(names["finalNorm.weight"], outerTensor(model, "finalNorm.weight"), [hiddenSize], false),
    ...(tiedEmbedding ? [] : [plain(names["outputHead.weight"], head, table, true)]),
  ];
}

function layerTensors(
  model: Model,
  layer: number,
  shape: LayerShape,
  quantization: GgufQuantization,
): GgufTensor[] {
  const { architecture } = model;
  return [...blockTensors(model, layer)].map(([role, tensor]) => {
    const wanted = blockTensorShape(architecture, shape, role);
    return ggufTensor({
      name: ggufBlockName(role, layer),
      tensor,
      shape: wanted,
      type: typeOf(quantization, wanted, false),
      heads: isReordered(role) ? architecture : undefined,
    });
  });
}

function typeOf(
  quantization: GgufQuantization,
  shape: readonly number[],
  sharp: boolean,
): GgufTensorType {
  if (shape.length === 1) return "F32";
  const type = sharp && quantization === "q4_0" ? "Q8_0" : TYPES[quantization];
  const inBlocks = type === "Q8_0" || type === "Q4_0";
  return inBlocks && shape[1] % BLOCK_SIZE !== 0 ? "F16" : type;
}

interface TensorParts {
  readonly name: string;
  readonly tensor: Tensor;
  readonly shape: readonly number[];
  readonly type: GgufTensorType;
  /** Where the rows are channels of heads and go in another order. */
  readonly heads?: Pick<Architecture, "headSize">;
}

function ggufTensor({ name, tensor, shape, type, heads }: TensorParts): GgufTensor {
  // A bias is one row in the file, and a column of channels to whoever reorders them.
  const flat = shape.length === 1;
  const columns = flat ? 1 : shape[1];
  const rows = async (first: number, count: number) => {
    const numbers = await readPaddedRows(tensor, shape, first, flat ? shape[0] : count);
    return heads === undefined ? numbers : interleaveHeads(numbers, heads.headSize, columns);
  };
  return { name, shape, type, rows, rowsTogether: flat ? 1 : heads?.headSize };
}
