/**
 * The tensors of a model under llama.cpp's names, in its order of rows, and each in its kind of number.
 * @module
 */
import { blockTensors, outerTensor } from "../../model/open.ts";
import type {
  Architecture,
  BlockRole,
  LayerShape,
  Model,
  OuterRole,
  Tensor,
} from "../../model/types.ts";
import { blockTensorShape, outerRoles, outerTensorShape } from "../../model/units.ts";
import type { GgufArchitecture } from "./kinds.ts";
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
  q_norm: "attn_q_norm",
  k_norm: "attn_k_norm",
  attentionPostNorm: "post_attention_norm",
  ffnPostNorm: "post_ffw_norm",
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
  "positions.weight": "position_embd.weight",
  "finalNorm.weight": "output_norm.weight",
  "finalNorm.bias": "output_norm.bias",
  "outputHead.weight": "output.weight",
} as const;

/** Parts that llama.cpp has in one tensor, in architectures that fuse queries, keys and values. */
const FUSED: readonly string[] = ["q_proj", "k_proj", "v_proj"];

/** Where a part of a block lies in a file. */
export interface GgufPlace {
  /** The tensor's name. */
  readonly name: string;
  /** The parts that share the tensor, its rows one after the other; the part alone if it has its own. */
  readonly roles: readonly BlockRole[];
}

/**
 * Where the parts of a block lie.
 *
 * @param kind llama.cpp's architecture
 * @param roles The parts that there are
 * @param layer The block's number, from 0
 * @returns Tensors, in the order of their first parts
 */
export function ggufPlaces(
  kind: GgufArchitecture,
  roles: readonly BlockRole[],
  layer: number,
): readonly GgufPlace[] {
  const places = new Map<string, BlockRole[]>();
  for (const role of roles) {
    const [part, suffix] = role.split(".");
    const fused = (kind === "gptneox" || kind === "gpt2") && FUSED.includes(part);
    const name = fused ? `blk.${layer}.attn_qkv.${suffix}` : ggufBlockName(role, layer);
    places.set(name, [...places.get(name) ?? [], role]);
  }
  return [...places].map(([name, own]) => ({ name, roles: own }));
}

/**
 * Whether the rows of a tensor go in another order: queries and keys, whose channels llama.cpp rotates in neighbouring
 * pairs in architectures that follow Llama's first code.
 *
 * @param kind llama.cpp's architecture
 * @param role The part that it plays
 * @returns True for weights and biases of q and k
 */
export function isReordered(kind: GgufArchitecture, role: BlockRole): boolean {
  const neighbours = kind === "llama" || kind === "deci" || kind === "smollm3";
  return neighbours && (role.startsWith("q_proj.") || role.startsWith("k_proj."));
}

/**
 * What is added to a tensor's numbers: llama.cpp wants norms whole that some families count from 1.
 *
 * @param architecture What the model computes
 * @param role The part that it plays
 * @returns 0 for all but weights of norms
 */
export function addedToNorm(
  { normOffset = 0 }: Architecture,
  role: BlockRole | OuterRole,
): number {
  return /norm\.weight$/i.test(role) ? normOffset : 0;
}

/** What decides the order of a head's channels. */
export interface HeadOrder {
  /** Channels of a head. */
  readonly headSize: number;
  /** How many of them, from the first, are rotated. */
  readonly rotated: number;
  /**
   * What the others are multiplied by; 1 if absent. llama.cpp multiplies all channels by the rotary embedding's factor,
   * where only those that are rotated should be.
   */
  readonly scaleOfOthers?: number;
}

/**
 * What decides the order of a model's heads.
 *
 * @param architecture What the model computes
 * @returns Channels of a head, and those rotated
 */
export function headOrder({ headSize, rotary }: Architecture): HeadOrder {
  const rotated = 2 * rotary.inverseFrequencies.length;
  return { headSize, rotated, scaleOfOthers: 1 / rotary.attentionFactor };
}

/**
 * Brings the channels of heads into llama.cpp's order: channel i and channel i + headSize / 2, which rotate together,
 * become neighbours. Where fewer are rotated, the same holds among those, and the others stay where they are.
 *
 * @param rows Rows of whole heads, `[rows, columns]`
 * @param heads Channels of a head, and how many of them are rotated
 * @param columns Numbers of a row
 * @returns The rows in the new order
 */
export function interleaveHeads(
  rows: Float32Array,
  { headSize, rotated, scaleOfOthers = 1 }: HeadOrder,
  columns: number,
): Float32Array {
  const scaled = scaleOthers(rows, { headSize, rotated, scaleOfOthers }, columns);
  return reorder(scaled, columns, (row) => {
    const channel = row % headSize;
    const half = rotated / 2;
    if (channel >= rotated) return row;
    return row - channel + (channel % half) * 2 + Math.floor(channel / half);
  });
}

/**
 * The opposite of {@linkcode interleaveHeads}.
 *
 * @param rows Rows of whole heads, `[rows, columns]`
 * @param heads Channels of a head, and how many of them are rotated
 * @param columns Numbers of a row
 * @returns The rows in the order of the Hugging Face layout
 */
export function separateHeads(
  rows: Float32Array,
  { headSize, rotated, scaleOfOthers = 1 }: HeadOrder,
  columns: number,
): Float32Array {
  const scaled = scaleOthers(
    rows,
    { headSize, rotated, scaleOfOthers: 1 / scaleOfOthers },
    columns,
  );
  return reorder(scaled, columns, (row) => {
    const channel = row % headSize;
    if (channel >= rotated) return row;
    return row - channel + (channel % 2) * rotated / 2 + Math.floor(channel / 2);
  });
}

function scaleOthers(
  rows: Float32Array,
  { headSize, rotated, scaleOfOthers = 1 }: HeadOrder,
  columns: number,
): Float32Array {
  if (scaleOfOthers === 1 || rotated === headSize) return rows;
  return rows.map((value, at) =>
    Math.floor(at / columns) % headSize < rotated ? value : value * scaleOfOthers
  );
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
 * @param kind llama.cpp's architecture
 * @param layers The sizes of its layers as they are stored
 * @param quantization How numbers are stored
 * @returns The tensors in the order of the file
 */
export function ggufTensors(
  model: Model,
  kind: GgufArchitecture,
  layers: readonly LayerShape[],
  quantization: GgufQuantization,
): readonly GgufTensor[] {
  const { architecture } = model;
  const divisors = rotaryDivisors(architecture, kind);
  const outer = (role: OuterRole) => {
    const shape = outerTensorShape(architecture, role);
    const sharp = role === "outputHead.weight" ||
      (role === "embedding.weight" && architecture.tiedEmbedding);
    return ggufTensor({
      name: GGUF_OUTER_NAMES[role],
      parts: [{ tensor: outerTensor(model, role), shape }],
      // Positions are added one by one, which llama.cpp does in float32.
      type: role === "positions.weight" ? "F32" : typeOf(quantization, shape, sharp),
      added: addedToNorm(architecture, role),
    });
  };
  const roles = outerRoles(architecture);
  const isFirst = (role: OuterRole) => role === "embedding.weight" || role === "positions.weight";
  return [
    ...roles.filter(isFirst).map(outer),
    ...(divisors === undefined ? [] : [
      ggufTensor({
        name: "rope_freqs.weight",
        parts: [{
          tensor: { shape: [divisors.length], data: divisors },
          shape: [divisors.length],
        }],
        type: "F32",
      }),
    ]),
    ...layers.flatMap((shape, layer) => layerTensors(model, kind, layer, shape, quantization)),
    ...roles.filter((role) => !isFirst(role)).map(outer),
  ];
}

function layerTensors(
  model: Model,
  kind: GgufArchitecture,
  layer: number,
  shape: LayerShape,
  quantization: GgufQuantization,
): GgufTensor[] {
  const { architecture } = model;
  const tensors = blockTensors(model, layer);
  return ggufPlaces(kind, [...tensors.keys()], layer).map(({ name, roles }) => {
    const parts = roles.map((role) => ({
      tensor: tensors.get(role)!,
      shape: blockTensorShape(architecture, shape, role),
    }));
    const [first] = roles;
    return ggufTensor({
      name,
      parts,
      type: typeOf(quantization, parts[0].shape, false),
      heads: isReordered(kind, first) ? headOrder(architecture) : undefined,
      added: addedToNorm(architecture, first),
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

interface TensorPart {
  readonly tensor: Tensor;
  /** Its sizes as they are stored: its own, or larger ones. */
  readonly shape: readonly number[];
}

interface TensorParts {
  readonly name: string;
  /** What it is made of, rows after rows. */
  readonly parts: readonly TensorPart[];
  readonly type: GgufTensorType;
  /** Where the rows are channels of heads and go in another order. */
  readonly heads?: HeadOrder;
  /** What is added to every number. */
  readonly added?: number;
}

function ggufTensor({ name, parts, type, heads, added = 0 }: TensorParts): GgufTensor {
  const [{ shape: [, ...inner] }] = parts;
  const shape = [parts.reduce((sum, part) => sum + part.shape[0], 0), ...inner];
  // A bias is one row in the file, and a column of channels to whoever reorders them.
  const flat = shape.length === 1;
  const columns = flat ? 1 : shape[1];
  const rows = async (first: number, count: number) => {
    const numbers = await partRows(parts, first, flat ? shape[0] : count, columns);
    if (added !== 0) return numbers.map((value) => value + added);
    return heads === undefined ? numbers : interleaveHeads(numbers, heads, columns);
  };
  return { name, shape, type, rows, rowsTogether: flat ? 1 : heads?.headSize };
}

async function partRows(
  parts: readonly TensorPart[],
  first: number,
  count: number,
  columns: number,
): Promise<Float32Array> {
  if (parts.length === 1) {
    return await readPaddedRows(parts[0].tensor, parts[0].shape, first, count);
  }
  const result = new Float32Array(count * columns);
  let start = 0;
  for (const { tensor, shape } of parts) {
    const from = Math.max(first, start);
    const to = Math.min(first + count, start + shape[0]);
    if (to > from) {
      const rows = await readPaddedRows(tensor, shape, from - start, to - from);
      result.set(rows, (from - first) * columns);
    }
    start += shape[0];
  }
  return result;
}
