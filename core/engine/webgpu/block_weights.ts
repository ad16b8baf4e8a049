/**
 * The weights of a decoder block on the card.
 * @module
 */
import { EngineError } from "../../errors.ts";
import type { Architecture, BlockRole, BlockTensors, LayerShape } from "../../model/types.ts";
import { type LayerAttention, layerAttention } from "../../onnx/attention.ts";
import type { BlockSpecification } from "../types.ts";
import type { PooledBuffer } from "./buffers.ts";
import type { CardMatrix, CardNorm, Weights } from "./weights.ts";

/** A projection's weight, and its bias where it has one. */
export interface CardProjection {
  /** The weight. */
  readonly weight: CardMatrix;
  /** The bias. */
  readonly bias?: PooledBuffer;
}

/** The norms that a block can have. */
export interface CardNorms {
  /** Before attention. */
  readonly attentionNorm?: CardNorm;
  /** Of what attention gives, before it is added to the stream. */
  readonly attentionPostNorm?: CardNorm;
  /** Before the FFN. */
  readonly ffnNorm?: CardNorm;
  /** Of what the FFN gives, before it is added to the stream. */
  readonly ffnPostNorm?: CardNorm;
  /** Of queries. */
  readonly q_norm?: CardNorm;
  /** Of keys. */
  readonly k_norm?: CardNorm;
}

/** A block whose weights are on the card. */
export interface CardBlock extends CardNorms {
  /** The model's description. */
  readonly architecture: Architecture;
  /** The block's sizes. */
  readonly shape: LayerShape;
  /** Its rotation and window. */
  readonly attention: LayerAttention;
  /** Queries, keys and values as one projection. */
  readonly heads: CardProjection;
  /** What closes attention. */
  readonly output: CardProjection;
  /** The gate; absent where the activation is that of `up`. */
  readonly gate?: CardProjection;
  /** What the gate opens. */
  readonly up: CardProjection;
  /** What closes the FFN. */
  readonly down: CardProjection;
  /** Frees the weights. */
  close(): void;
}

/** Channels of a block's heads. */
export interface HeadWidths {
  /** Of all query heads. */
  readonly queries: number;
  /** Of all key heads; as many as of all value heads. */
  readonly keys: number;
  /** Of both and the values. */
  readonly all: number;
}

/**
 * Channels of a block's heads.
 *
 * @param block The block
 * @returns Widths
 */
export function headWidths(
  { architecture: { headSize }, shape }: Pick<BlockSpecification, "architecture" | "shape">,
): HeadWidths {
  const queries = shape.queryHeads * headSize;
  const keys = shape.keyValueHeads * headSize;
  return { queries, keys, all: queries + 2 * keys };
}

/** What a block is made of. */
export type BlockParts = Pick<BlockSpecification, "architecture" | "shape" | "tensors">;

/**
 * Sends a block's weights to the card.
 *
 * @param weights Where they go; closed with the block, and where this throws
 * @param parts The block
 * @returns The block; close it after use
 * @throws {EngineError} if a tensor is missing or holds no floating-point numbers
 * @throws {GraphicsError} if the card has no room for it
 */
export async function sendBlock(weights: Weights, parts: BlockParts): Promise<CardBlock> {
  const { architecture, shape, tensors } = parts;
  try {
    return {
      architecture,
      shape,
      attention: layerAttention(architecture, shape),
      ...await sendNorms(weights, parts),
      heads: await sendProjection(weights, tensors, "q_proj", "k_proj", "v_proj"),
      output: await sendProjection(weights, tensors, "o_proj"),
      gate: tensors.has("gate_proj.weight")
        ? await sendProjection(weights, tensors, "gate_proj")
        : undefined,
      up: await sendProjection(weights, tensors, "up_proj"),
      down: await sendProjection(weights, tensors, "down_proj"),
      close: () => weights.close(),
    };
  } catch (error) {
    weights.close();
    throw error;
  }
}

/** The norms that the block has. */
async function sendNorms(
  weights: Weights,
  { architecture, tensors }: BlockParts,
): Promise<CardNorms> {
  const norm = async (part: keyof CardNorms) => {
    const weight = tensors.get(`${part}.weight`);
    const bias = part === "attentionNorm" || part === "ffnNorm"
      ? tensors.get(`${part}.bias`)
      : undefined;
    return weight && await weights.norm(architecture, weight, bias);
  };
  return {
    attentionNorm: await norm("attentionNorm"),
    attentionPostNorm: await norm("attentionPostNorm"),
    ffnNorm: await norm("ffnNorm"),
    ffnPostNorm: await norm("ffnPostNorm"),
    q_norm: await norm("q_norm"),
    k_norm: await norm("k_norm"),
  };
}

/** Projections of the same input, one below the other. */
async function sendProjection(
  weights: Weights,
  tensors: BlockTensors,
  ...names:
    readonly ("q_proj" | "k_proj" | "v_proj" | "o_proj" | "gate_proj" | "up_proj" | "down_proj")[]
): Promise<CardProjection> {
  const tensor = (role: BlockRole) => {
    const found = tensors.get(role);
    if (found === undefined) throw new EngineError(`Cannot run a block without '${role}'`);
    return found;
  };
  const weight = await weights.matrix(names.map((name) => tensor(`${name}.weight`)));
  const biases = names.map((name) =>
    tensors.get(`${name}.bias`) ?? tensor(`${name}.weight`).shape[0]
  );
  const hasBias = biases.some((bias) => typeof bias !== "number");
  return { weight, bias: hasBias ? await weights.vector(...biases) : undefined };
}
