/**
 * A decoder block as a piece of a graph: the maths of Llama (RMSNorm, rotary embedding, grouped attention, gated FFN), and
 * of its kin by the architecture's switches and by which weights there are.
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
 * Where the weights have norms after attention and FFN, those go in front of the additions; where they have no gate, the
 * activation is that of up_proj. With a parallel residual, the FFN reads x as attention does.
 *
 * @param graph The graph
 * @param block The block
 * @returns Its output, the inputs of its two cut projections, and its cache
 */
export function addBlock(graph: GraphBuilder, block: BlockPiece): BlockValues {
  const { architecture, name, hidden, sequence, past } = block;
  const normed = blockNorm(graph, block, "attentionNorm", hidden);
  const attention = addAttention(graph, `${name}.attention`, block, {
    query: queriesOrKeys(graph, block, "q", normed),
    key: queriesOrKeys(graph, block, "k", normed),
    value: project(graph, block, "v_proj", normed),
    sequence,
    past,
  });
  const attended = close(graph, block, "o_proj", attention.output, hidden);
  const read = architecture.parallelResidual ? hidden : attended;
  const ffnInput = addFfn(graph, block, blockNorm(graph, block, "ffnNorm", read));
  return {
    hidden: close(graph, block, "down_proj", ffnInput, attended),
    middle: attended,
    headsInput: attention.output,
    ffnInput,
    present: attention.present,
  };
}

/** The input of `down_proj`: act(gate) * up, or act(up). */
function addFfn(graph: GraphBuilder, block: BlockPiece, normed: Value): Value {
  const { architecture: { activation }, name, weights } = block;
  const up = project(graph, block, "up_proj", normed);
  const gated = weights.has("gate_proj.weight");
  if (!gated) return addActivation(graph, activation, up, `${name}.ffnInput`);
  const gate = addActivation(graph, activation, project(graph, block, "gate_proj", normed));
  return graph.node("Mul", [gate, up], { name: `${name}.ffnInput` });
}

/** What a closing projection adds to the stream, normed first where the block norms afterwards. */
function close(
  graph: GraphBuilder,
  block: BlockPiece,
  projection: "o_proj" | "down_proj",
  input: Value,
  stream: Value,
): Value {
  const norm = projection === "o_proj" ? "attentionPostNorm" : "ffnPostNorm";
  if (!block.weights.has(`${norm}.weight`)) return project(graph, block, projection, input, stream);
  const given = project(graph, block, projection, input);
  return graph.node("Add", [blockNorm(graph, block, norm, given), stream], {
    name: `${block.name}.${norm}.added`,
  });
}

/** Queries or keys, normed where the block does so: each head by itself, or all together. */
function queriesOrKeys(
  graph: GraphBuilder,
  block: BlockPiece,
  which: "q" | "k",
  normed: Value,
): Value {
  const { architecture: { queryKeyNorm, headSize }, shape } = block;
  const projected = project(graph, block, `${which}_proj`, normed);
  const norm = `${which}_norm` as const;
  if (!block.weights.has(`${norm}.weight`)) return projected;
  if (queryKeyNorm === "all-heads") return blockNorm(graph, block, norm, projected);
  const heads = which === "q" ? shape.queryHeads : shape.keyValueHeads;
  const byHead = graph.node("Reshape", [projected, graph.integers([-1, heads, headSize])]);
  const result = blockNorm(graph, block, norm, byHead);
  return graph.node("Reshape", [result, graph.integers([-1, heads * headSize])]);
}

/** One of a block's norms, where the block has it. */
function blockNorm(graph: GraphBuilder, block: BlockPiece, part: Norm, input: Value): Value {
  const name = `${block.name}.${part}`;
  const weight = block.weights.get(`${part}.weight`);
  if (weight === undefined) return input;
  const bias = part === "attentionNorm" || part === "ffnNorm"
    ? block.weights.get(`${part}.bias`)
    : undefined;
  return addNorm(graph, block.architecture, input, {
    name: `${name}.normed`,
    weight: graph.weight(`${name}.weight`, plainWeight(`${name}.weight`, weight)),
    bias: bias && graph.weight(`${name}.bias`, plainWeight(`${name}.bias`, bias)),
  });
}

type Norm =
  | "attentionNorm"
  | "attentionPostNorm"
  | "ffnNorm"
  | "ffnPostNorm"
  | "q_norm"
  | "k_norm";

/** What a norm takes besides its input. */
export interface NormPiece {
  /** The node's name. */
  readonly name: string;
  /** float32 `[channels]`; the architecture's `normOffset` is added to it. */
  readonly weight: Value;
  /** float32 `[channels]`; of a LayerNorm. */
  readonly bias?: Value;
}

/**
 * Adds a norm over the last axis: x / √(mean(x²) + ε) * (weight + offset), or as LayerNorm
 * (x - mean(x)) / √(var(x) + ε) * weight + bias.
 *
 * @param graph The graph
 * @param architecture The model's description
 * @param hidden float32 `[…, channels]`
 * @param norm Weight, bias, name
 * @returns float32, as `hidden`
 */
export function addNorm(
  graph: GraphBuilder,
  { normEpsilon, norm: kind, normOffset }: Architecture,
  hidden: Value,
  { name, weight, bias }: NormPiece,
): Value {
  const attributes = { axis: -1, epsilon: { float: normEpsilon }, stash_type: 1 };
  if (kind === "layer") {
    return graph.node("LayerNormalization", [hidden, weight, bias], { attributes, name });
  }
  const scale = normOffset === undefined ? weight : graph.node("Add", [
    weight,
    graph.numbers("norm.offset", [normOffset]),
  ]);
  return graph.node("SimplifiedLayerNormalization", [hidden, scale], { attributes, name });
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

function referenceOf({ name, weights }: BlockPiece, part: Projection): MatrixReference {
  const reference = weights.get(`${part}.weight`);
  if (reference === undefined) {
    throw new RangeError(`Cannot build '${name}' without '${part}.weight'`);
  }
  return reference;
}

function addActivation(
  graph: GraphBuilder,
  activation: Architecture["activation"],
  value: Value,
  name?: string,
): Value {
  switch (activation) {
    case "silu":
      // x * sigmoid(alpha * x)
      return graph.node("QuickGelu", [value], {
        domain: MICROSOFT,
        attributes: { alpha: { float: 1 } },
        name,
      });
    case "gelu":
      return graph.node("Gelu", [value], { attributes: { approximate: "none" }, name });
    case "gelu_tanh":
      return graph.node("Gelu", [value], { attributes: { approximate: "tanh" }, name });
    case "relu":
      return graph.node("Relu", [value], { name });
  }
}
