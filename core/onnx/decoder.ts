/**
 * A whole decoder with a key/value cache as one graph, made of the same pieces that the engine runs block by block. Its
 * inputs and outputs have the names that transformers.js and onnxruntime-genai look for.
 * @module
 */
import type { Architecture, RotaryEmbedding } from "../model/types.ts";
import type { RotationValues, SequenceValues } from "./attention.ts";
import { addBlock, type BlockWeights } from "./block.ts";
import { GraphBuilder, type MatrixReference, type Value, type WeightReference } from "./graph.ts";
import { addHead, addStreamStart } from "./outer.ts";
import { TensorType } from "./proto.ts";

/** What a decoder is made of. */
export interface DecoderPiece {
  /** The model's description; each layer has its own sizes. */
  readonly architecture: Architecture;
  /** `[vocabulary, hidden]` */
  readonly embedding: MatrixReference;
  /** `[positions, hidden]`; where positions are learned. */
  readonly positions?: WeightReference;
  /** The weights of each block, first to last. */
  readonly blocks: readonly BlockWeights[];
  /** `[hidden]` */
  readonly finalNorm: WeightReference;
  /** `[hidden]`; of a LayerNorm. */
  readonly finalNormBias?: WeightReference;
  /** `[vocabulary, hidden]`; the same reference as the embedding where both are one. */
  readonly outputHead: MatrixReference;
}

/**
 * Builds the graph of a decoder.
 *
 * Inputs: `input_ids` int64 `[batch_size, sequence_length]`, `attention_mask` int64
 * `[batch_size, total_sequence_length]`, `position_ids` int64 as `input_ids`, and for each layer N
 * `past_key_values.N.key` and `.value` float32 `[batch_size, keyValueHeads, past_sequence_length, headSize]`. Outputs:
 * `logits` float32 `[batch_size, sequence_length, vocabulary]`, `present.N.key` and `.value`.
 *
 * @param decoder What it is made of
 * @returns The graph; its streamed weights are made when it is written
 */
export function decoderGraph(decoder: DecoderPiece): GraphBuilder {
  const { architecture } = decoder;
  const { hiddenSize, headSize, vocabularySize, layers } = architecture;
  const graph = new GraphBuilder();
  const tokens = graph.input("input_ids", "I64", ["batch_size", "sequence_length"]);
  const { sequence, positions } = addSequence(graph, architecture, tokens);
  const learned = decoder.positions && { positions, weight: decoder.positions };
  const embedded = addStreamStart(graph, architecture, tokens, decoder.embedding, learned);
  let hidden = graph.node("Reshape", [embedded, graph.integers([-1, hiddenSize])]);
  const pasts = layers.map(({ keyValueHeads }, layer) => {
    const shape = ["batch_size", keyValueHeads, "past_sequence_length", headSize];
    return {
      key: graph.input(`past_key_values.${layer}.key`, "F32", shape),
      value: graph.input(`past_key_values.${layer}.value`, "F32", shape),
    };
  });
  const presents = layers.map((shape, layer) => {
    const block = addBlock(graph, {
      name: `layers.${layer}`,
      architecture,
      shape,
      weights: decoder.blocks[layer],
      hidden,
      sequence,
      past: pasts[layer],
    });
    hidden = block.hidden;
    return block.present!;
  });
  const { finalNorm, finalNormBias, outputHead } = decoder;
  const logits = addHead(graph, { architecture, hidden, finalNorm, finalNormBias, outputHead });
  const perText = graph.node("Reshape", [logits, sequence.dimensions]);
  graph.output("logits", perText, "F32", ["batch_size", "sequence_length", vocabularySize]);
  for (const [layer, { key, value }] of presents.entries()) {
    const heads = layers[layer].keyValueHeads;
    const shape = ["batch_size", heads, "total_sequence_length", headSize];
    graph.output(`present.${layer}.key`, key, "F32", shape);
    graph.output(`present.${layer}.value`, value, "F32", shape);
  }
  return graph;
}

function addSequence(
  graph: GraphBuilder,
  architecture: Architecture,
  tokens: Value,
): { readonly sequence: SequenceValues; readonly positions: Value } {
  const mask = graph.input("attention_mask", "I64", ["batch_size", "total_sequence_length"]);
  const positions = graph.input("position_ids", "I64", ["batch_size", "sequence_length"]);
  const short = { attributes: { to: TensorType.INT32 } };
  const shape = graph.node("Shape", [tokens]);
  const one = graph.integers([1], []);
  const real = graph.node("ReduceSum", [mask, graph.integers([1])], {
    attributes: { keepdims: 0 },
  });
  const total = graph.node("Gather", [graph.node("Shape", [mask]), one]);
  const sequence = {
    dimensions: graph.node("Concat", [shape, graph.integers([-1])], { attributes: { axis: 0 } }),
    ...addRotations(graph, architecture, positions, shape),
    lastIndices: graph.node("Cast", [graph.node("Sub", [real, one])], short),
    totalLength: graph.node("Cast", [total], short),
  };
  return { sequence, positions };
}

/**
 * Cosines and sines of the tokens at hand alone: no table to store, and no end to the positions. A token's row in the
 * tables is its place in the batch.
 */
function addRotations(
  graph: GraphBuilder,
  { rotary, localRotary }: Architecture,
  positions: Value,
  shape: Value,
): Pick<SequenceValues, "rotation" | "localRotation" | "positions"> {
  const [zero, one] = [graph.integers([0], []), graph.integers([1], [])];
  const count = graph.node("ReduceProd", [shape], { attributes: { keepdims: 0 } });
  const tables = (name: string, each?: RotaryEmbedding) =>
    each === undefined || each.inverseFrequencies.length === 0
      ? undefined
      : addTables(graph, name, each, positions);
  return {
    rotation: tables("rotary", rotary),
    localRotation: tables("localRotary", localRotary),
    positions: graph.node("Reshape", [graph.node("Range", [zero, count, one]), shape], {
      name: "rotary.rows",
    }),
  };
}

function addTables(
  graph: GraphBuilder,
  name: string,
  { inverseFrequencies, attentionFactor }: RotaryEmbedding,
  positions: Value,
): RotationValues {
  const data = Float32Array.from(inverseFrequencies);
  const frequencies = graph.weight(`${name}.frequencies`, {
    kind: "inline",
    shape: [1, data.length],
    data,
  });
  const column = graph.node("Reshape", [positions, graph.integers([-1, 1])]);
  const angles = graph.node("Mul", [
    graph.node("Cast", [column], { attributes: { to: TensorType.FLOAT } }),
    frequencies,
  ], { name: `${name}.angles` });
  const scaled = (value: Value) =>
    attentionFactor === 1
      ? value
      : graph.node("Mul", [value, graph.numbers(`${name}.attentionFactor`, [attentionFactor])]);
  return {
    cosine: scaled(graph.node("Cos", [angles], { name: `${name}.cosine` })),
    sine: scaled(graph.node("Sin", [angles], { name: `${name}.sine` })),
  };
}
