/**
 * A decoder block as a piece of a graph: the maths of Llama (RMSNorm, rotary embedding, grouped attention, gated FFN).
 * @module
 */
import type { Architecture, BlockRole, LayerShape } from "../model/types.ts";
import { addAttention, type CacheValues, type SequenceValues } from "./attention.ts";
import { type GraphBuilder, type MatrixReference, MICROSOFT, type Value } from "./graph.ts";
import { addProduct, plainWeight } from "./products.ts";

/** Where the weights of a block come from, by their role. */
export type BlockWeights = ReadonlyMap<BlockRole, MatrixReference>;

/** One block of a graph. */
export interface BlockPiece {
  /** What the names of its weights and nodes start with, such as `layers.0`. */
  readonly name: string;
  /** The model's description. */
  readonly architecture: Architecture;
  /** The block's sizes. */
  readonly shape: LayerShape;
  /** Its weights. */
  readonly weights: BlockWeights;
  /** The residual stream before it, float32 `[texts * tokens, hidden]`. */
  readonly hidden: Value;
  /** What is known about the texts. */
  readonly sequence: SequenceValues;
  /** Keys and values of the tokens before; none at the start of a text. */
  readonly past?: CacheValues;
}

/** What a block gives. */
export interface BlockValues {
  /** The residual stream after it, float32 `[texts * tokens, hidden]`. */
  readonly hidden: Value;
  /** The residual stream between attention and FFN, float32 `[texts * tokens, hidden]`. */
  readonly middle: Value;
  /** The input of `o_proj`, float32 `[texts * tokens, queryHeads * headSize]`. */
  readonly headsInput: Value;
  /** The input of `down_proj`, float32 `[texts * tokens, ffnWidth]`. */
  readonly ffnInput: Value;
  /** Keys and values of all tokens so far; where a past was given. */
  readonly present?: CacheValues;
}

/**
 * Adds a decoder block: x + o_proj(attention(norm(x))), then y + down_proj(act(gate_proj(norm(y))) * up_proj(norm(y))).
 *
 * @param graph The graph
 * @param block The block
 * @returns Its output, the inputs of its two cut projections, and its cache
 */
export function addBlock(graph: GraphBuilder, block: BlockPiece): BlockValues {
  const { architecture, name, hidden, sequence, past } = block;
  const normed = addNorm(graph, architecture, hidden, normWeight(graph, block, "attentionNorm"));
  const attention = addAttention(graph, `${name}.attention`, block, {
    query: project(graph, block, "q_proj", normed),
    key: project(graph, block, "k_proj", normed),
    value: project(graph, block, "v_proj", normed),
    sequence,
    past,
  });
  const attended = project(graph, block, "o_proj", attention.output, hidden);
  const ffnNormed = addNorm(graph, architecture, attended, normWeight(graph, block, "ffnNorm"));
  const gate = project(graph, block, "gate_proj", ffnNormed);
  const ffnInput = graph.node("Mul", [
    addActivation(graph, architecture.activation, gate),
    project(graph, block, "up_proj", ffnNormed),
  ], { name: `${name}.ffnInput` });
  return {
    hidden: project(graph, block, "down_proj", ffnInput, attended),
    middle: attended,
    headsInput: attention.output,
    ffnInput,
    present: attention.present,
  };
}

/**
 * Adds an RMSNorm: x / √(mean(x²) + ε) * weight.
 *
 * @param graph The graph
 * @param architecture The model's description
 * @param hidden float32 `[rows, hidden]`
 * @param weight float32 `[hidden]`
 * @returns float32 `[rows, hidden]`
 */
export function addNorm(
  graph: GraphBuilder,
  architecture: Architecture,
  hidden: Value,
  weight: Value,
  name = weight.replace(/\.weight(\.float)?$/, ".normed"),
): Value {
  return graph.node("SimplifiedLayerNormalization", [hidden, weight], {
    attributes: { axis: -1, epsilon: { float: architecture.normEpsilon }, stash_type: 1 },
    name,
  });
}

type Projection = "q_proj" | "k_proj" | "v_proj" | "o_proj" | "gate_proj" | "up_proj" | "down_proj";

/** x Wᵀ + bias + residual. */
function project(
  graph: GraphBuilder,
  block: BlockPiece,
  projection: Projection,
  input: Value,
  residual?: Value,
): Value {
  const name = `${block.name}.${projection}`;
  const bias = block.weights.get(`${projection}.bias`);
  return addProduct(graph, {
    name,
    input,
    weight: referenceOf(block, projection),
    bias: bias && graph.weight(`${name}.bias`, plainWeight(`${name}.bias`, bias)),
    residual,
  });
}

type Part = Projection | "attentionNorm" | "ffnNorm";

function referenceOf({ name, weights }: BlockPiece, part: Part): MatrixReference {
  const reference = weights.get(`${part}.weight`);
  if (reference === undefined) {
    throw new RangeError(`Cannot build '${name}' without '${part}.weight'`);
  }
  return reference;
}

function normWeight(
  graph: GraphBuilder,
  block: BlockPiece,
  part: "attentionNorm" | "ffnNorm",
): Value {
  const name = `${block.name}.${part}.weight`;
  return graph.weight(name, plainWeight(name, referenceOf(block, part)));
}

function addActivation(
  graph: GraphBuilder,
  activation: Architecture["activation"],
  value: Value,
): Value {
  switch (activation) {
    case "silu":
      // x * sigmoid(alpha * x)
      return graph.node("QuickGelu", [value], {
        domain: MICROSOFT,
        attributes: { alpha: { float: 1 } },
      });
    case "gelu":
      return graph.node("Gelu", [value], { attributes: { approximate: "none" } });
    case "gelu_tanh":
      return graph.node("Gelu", [value], { attributes: { approximate: "tanh" } });
    case "relu":
      return graph.node("Relu", [value]);
  }
}
