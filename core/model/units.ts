/**
 * What a unit is made of, and what everything weighs: the tensors of a block, their shapes, which of them are cut where
 * when a unit goes, and counts of parameters. All of it is derived from the family's descriptor, here and nowhere else.
 * @module
 */
import { familyOf } from "./families.ts";
import { numberCount } from "./number_formats.ts";
import type { Architecture, BlockRole, LayerShape, OuterRole, Structure } from "./types.ts";

/** The two structures, in the order in which they are reported. */
export const STRUCTURES: readonly Structure[] = ["ffn", "heads"];

/** How much of an axis a unit takes: one channel, those of its key/value head, or those of the query heads sharing it. */
type CutSize = "channel" | "keyValueHead" | "queryHeads";

/**
 * What goes with a unit, in every family: the cut is by role, and roles mean the same everywhere. Biases of o and down,
 * and norms of single heads, stay whole.
 */
const CUTS: Readonly<Record<Structure, readonly (readonly [BlockRole, 0 | 1, CutSize])[]>> = {
  ffn: [
    ["gate_proj.weight", 0, "channel"],
    ["gate_proj.bias", 0, "channel"],
    ["up_proj.weight", 0, "channel"],
    ["up_proj.bias", 0, "channel"],
    ["down_proj.weight", 1, "channel"],
  ],
  heads: [
    ["q_proj.weight", 0, "queryHeads"],
    ["q_proj.bias", 0, "queryHeads"],
    ["k_proj.weight", 0, "keyValueHead"],
    ["k_proj.bias", 0, "keyValueHead"],
    ["v_proj.weight", 0, "keyValueHead"],
    ["v_proj.bias", 0, "keyValueHead"],
    ["o_proj.weight", 1, "queryHeads"],
    ["q_norm.weight", 0, "queryHeads"],
    ["k_norm.weight", 0, "keyValueHead"],
  ],
};

/** One tensor that a unit takes slices of: unit u has slices `u * size` to `(u + 1) * size` of the axis. */
export interface UnitCut {
  /** The tensor. */
  readonly role: BlockRole;
  /** The axis that becomes shorter: 0 for rows (outputs), 1 for columns (inputs). */
  readonly axis: 0 | 1;
  /** How many slices of the axis one unit has. */
  readonly size: number;
}

/**
 * The tensors that lose slices when a unit is removed. Biases are among them where the model has them.
 *
 * A norm of queries or keys over all heads together loses the weights of the heads that go and keeps the others as they
 * are. Its mean square is then over the heads that stay, so that what they give changes by √(their mean square / that of
 * all heads), token by token: nothing where heads are alike, and otherwise more than a mask would change. (With the
 * removed heads' queries set to zero and still counted it would be off by √(heads / heads that stay) always.)
 *
 * @param architecture What the model computes
 * @param shape The sizes of the layer
 * @param structure The kind of unit
 * @returns What one unit takes of each tensor
 *
 * @example
 * ```ts
 * import { parseConfig } from "./config.ts";
 * import { unitCuts } from "./units.ts";
 * import { assertEquals } from "@std/assert";
 * const architecture = parseConfig({
 *   model_type: "llama",
 *   hidden_size: 64,
 *   num_hidden_layers: 1,
 *   intermediate_size: 176,
 *   num_attention_heads: 8,
 *   num_key_value_heads: 2,
 *   vocab_size: 512,
 * }, "config.json");
 * // Four query heads of 8 channels share a key/value head.
 * assertEquals(unitCuts(architecture, architecture.layers[0], "heads"), [
 *   { role: "q_proj.weight", axis: 0, size: 32 },
 *   { role: "k_proj.weight", axis: 0, size: 8 },
 *   { role: "v_proj.weight", axis: 0, size: 8 },
 *   { role: "o_proj.weight", axis: 1, size: 32 },
 * ]);
 * ```
 */
export function unitCuts(
  architecture: Architecture,
  shape: LayerShape,
  structure: Structure,
): readonly UnitCut[] {
  const present = new Set(blockRoles(architecture));
  const sizes = {
    channel: 1,
    keyValueHead: architecture.headSize,
    queryHeads: architecture.headSize * (shape.queryHeads / shape.keyValueHeads),
  };
  const whole = architecture.queryKeyNorm === "all-heads" ? [] : ["q_norm.weight", "k_norm.weight"];
  return CUTS[structure]
    .filter(([role]) => present.has(role) && !whole.includes(role))
    .map(([role, axis, size]) => ({ role, axis, size: sizes[size] }));
}

/**
 * How many units a layer has.
 *
 * @param shape The sizes of the layer
 * @param structure The kind of unit
 * @returns FFN neurons, or KV groups
 */
export function unitCount(shape: LayerShape, structure: Structure): number {
  return structure === "ffn" ? shape.ffnWidth : shape.keyValueHeads;
}

/**
 * The sizes of a layer when it keeps so many units. Queries per KV group stay as they are.
 *
 * @param shape The sizes of the layer before
 * @param structure The kind of unit
 * @param kept How many units stay
 * @returns The sizes after
 */
export function withUnits(shape: LayerShape, structure: Structure, kept: number): LayerShape {
  if (structure === "ffn") return { ...shape, ffnWidth: kept };
  return {
    ...shape,
    keyValueHeads: kept,
    queryHeads: kept * (shape.queryHeads / shape.keyValueHeads),
  };
}

/**
 * Whether stock classes of transformers load a model whose layers all keep so many KV groups. (LlamaConfig and those of
 * Gemma refuse query heads that do not divide the stream's width; classes older than Llama know no size of heads.)
 *
 * @param architecture What the model computes
 * @param shape The sizes of a layer before
 * @param kept KV groups that stay
 * @returns True if they do
 */
export function loadsInStockClass(
  { family, hiddenSize, headSize }: Architecture,
  shape: LayerShape,
  kept: number,
): boolean {
  const heads = kept * (shape.queryHeads / shape.keyValueHeads);
  switch (familyOf(family).headsInStream) {
    case "fill":
      return heads * headSize === hiddenSize;
    case "divide":
      return hiddenSize % heads === 0;
    default:
      return true;
  }
}

/**
 * How many parameters go with one unit, biases included where the model has them.
 *
 * @param architecture What the model computes
 * @param shape The sizes of the layer
 * @param structure The kind of unit
 * @returns `3 × hidden` for a neuron of a gated FFN, `hidden × headSize × (2 × queries per group + 2)` for a KV group
 */
export function unitParameters(
  architecture: Architecture,
  shape: LayerShape,
  structure: Structure,
): number {
  return unitCuts(architecture, shape, structure).reduce((sum, { role, axis, size }) => {
    const others = blockTensorShape(architecture, shape, role).filter((_, index) => index !== axis);
    return sum + size * numberCount(others);
  }, 0);
}

/**
 * How many parameters the units of each kind have, over all layers.
 *
 * @param architecture What the model computes
 * @param layers Sizes of the layers, where they are not the architecture's own
 * @returns Parameters of all FFN neurons, and of all KV groups
 */
export function prunableParameters(
  architecture: Architecture,
  layers: readonly LayerShape[] = architecture.layers,
): Readonly<Record<Structure, number>> {
  const total = (structure: Structure) =>
    layers.reduce(
      (sum, shape) =>
        sum + unitCount(shape, structure) * unitParameters(architecture, shape, structure),
      0,
    );
  return { ffn: total("ffn"), heads: total("heads") };
}

/**
 * How many parameters one block has.
 *
 * @param architecture What the model computes
 * @param shape The sizes of the block
 * @returns Numbers in all its tensors
 */
export function blockParameters(architecture: Architecture, shape: LayerShape): number {
  return blockRoles(architecture).reduce(
    (sum, role) => sum + numberCount(blockTensorShape(architecture, shape, role)),
    0,
  );
}

/**
 * How many parameters a model has; a tied embedding counts once.
 *
 * @param architecture What the model computes
 * @param layers Sizes of the layers, where they are not the architecture's own
 * @returns Numbers in all its tensors
 */
export function parameterCount(
  architecture: Architecture,
  layers: readonly LayerShape[] = architecture.layers,
): number {
  const outside = outerRoles(architecture).reduce(
    (sum, role) => sum + numberCount(outerTensorShape(architecture, role)),
    0,
  );
  return layers.reduce((sum, shape) => sum + blockParameters(architecture, shape), outside);
}

/**
 * The tensors that every block of a model has.
 *
 * @param architecture What the model computes
 * @returns Their roles, in the order of the family's descriptor
 */
export function blockRoles(architecture: Architecture): readonly BlockRole[] {
  const roles = Object.keys(familyOf(architecture.family).blockTensors) as BlockRole[];
  return roles.filter((role) => role.endsWith(".weight") || architecture.biases?.includes(role));
}

/**
 * The tensors that a model has outside its blocks.
 *
 * @param architecture What the model computes
 * @returns Their roles; without the output head where it is the embedding
 */
export function outerRoles(architecture: Architecture): readonly OuterRole[] {
  const { positionOffset, norm, tiedEmbedding } = architecture;
  return [
    "embedding.weight",
    ...(positionOffset === undefined ? [] : ["positions.weight" as const]),
    "finalNorm.weight",
    ...(norm === "layer" ? ["finalNorm.bias" as const] : []),
    ...(tiedEmbedding ? [] : ["outputHead.weight" as const]),
  ];
}

/**
 * The shape of a block's tensor.
 *
 * @param architecture What the model computes
 * @param shape The sizes of the block
 * @param role The part that the tensor plays
 * @returns `[out, in]` for a projection, `[out]` for a bias, `[hidden]` for a norm
 */
export function blockTensorShape(
  architecture: Architecture,
  shape: LayerShape,
  role: BlockRole,
): readonly number[] {
  const { hiddenSize, headSize } = architecture;
  const queries = shape.queryHeads * headSize;
  const keys = shape.keyValueHeads * headSize;
  switch (role) {
    case "attentionNorm.weight":
    case "attentionNorm.bias":
    case "attentionPostNorm.weight":
    case "ffnNorm.weight":
    case "ffnNorm.bias":
    case "ffnPostNorm.weight":
    case "o_proj.bias":
    case "down_proj.bias":
      return [hiddenSize];
    case "q_proj.weight":
      return [queries, hiddenSize];
    case "q_proj.bias":
      return [queries];
    case "k_proj.weight":
    case "v_proj.weight":
      return [keys, hiddenSize];
    case "k_proj.bias":
    case "v_proj.bias":
      return [keys];
    case "q_norm.weight":
      return [architecture.queryKeyNorm === "all-heads" ? queries : headSize];
    case "k_norm.weight":
      return [architecture.queryKeyNorm === "all-heads" ? keys : headSize];
    case "o_proj.weight":
      return [hiddenSize, queries];
    case "gate_proj.weight":
    case "up_proj.weight":
      return [shape.ffnWidth, hiddenSize];
    case "gate_proj.bias":
    case "up_proj.bias":
      return [shape.ffnWidth];
    case "down_proj.weight":
      return [hiddenSize, shape.ffnWidth];
  }
}

/**
 * The shape of a tensor outside the blocks.
 *
 * @param architecture What the model computes
 * @param role The part that the tensor plays
 * @returns `[vocabulary, hidden]`, `[positions, hidden]`, or `[hidden]` for the norm
 */
export function outerTensorShape(architecture: Architecture, role: OuterRole): readonly number[] {
  const { vocabularySize, hiddenSize, maxPositions, positionOffset = 0 } = architecture;
  if (role === "finalNorm.weight" || role === "finalNorm.bias") return [hiddenSize];
  return [role === "positions.weight" ? maxPositions + positionOffset : vocabularySize, hiddenSize];
}

/**
 * What a model computes otherwise than Llama, in words: for people, and for formats that know Llama's blocks alone.
 *
 * @param architecture What the model computes
 * @returns The switches that are set; none where the model is Llama, Mistral or computes the same
 */
export function switchesOf(architecture: Architecture): readonly string[] {
  const roles = new Set(blockRoles(architecture));
  const { rotary, layers } = architecture;
  const rotated = 2 * rotary.inverseFrequencies.length;
  const switches: readonly (readonly [boolean, string])[] = [
    [architecture.norm === "layer", "LayerNorm"],
    [architecture.normOffset !== undefined, "norm weights counted from 1"],
    [!roles.has("attentionNorm.weight"), "no norm before attention"],
    [roles.has("attentionPostNorm.weight"), "norms after attention and FFN"],
    [roles.has("q_norm.weight"), "norms of queries and keys"],
    [!roles.has("gate_proj.weight"), "an FFN without a gate"],
    [architecture.parallelResidual === true, "a parallel residual"],
    [architecture.positionOffset !== undefined, "learned positions"],
    [rotated > 0 && rotated < architecture.headSize, "partly rotated heads"],
    [layers.some(({ attention }) => attention !== undefined), "layers that attend differently"],
    [architecture.attentionScale !== undefined, "a scale of attention of its own"],
    [architecture.attentionSoftCap !== undefined, "capped attention scores"],
    [architecture.logitSoftCap !== undefined, "capped logits"],
    [architecture.embeddingScale !== undefined, "a scaled embedding"],
    [storedApart(architecture), "fused or turned projections"],
  ];
  return switches.flatMap(([isSet, words]) => isSet ? [words] : []);
}

function storedApart({ family }: Architecture): boolean {
  const { fusedRows, transposedMatrices } = familyOf(family);
  return fusedRows !== undefined || transposedMatrices === true;
}
