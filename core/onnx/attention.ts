/**
 * Rotary embedding and causal grouped attention as pieces of a graph.
 *
 * Two operators do the same: `GroupQueryAttention` of ONNX Runtime (fastest; head sizes that are multiples of 8), and
 * ONNX's own `Attention` for all others.
 * @module
 */
import type { Architecture, LayerShape } from "../model/types.ts";
import { type GraphBuilder, MICROSOFT, type Value } from "./graph.ts";
import { TensorType } from "./proto.ts";

/** The operator that attention is made of. */
export type AttentionOperator = "GroupQueryAttention" | "Attention";

/** What all layers of a graph know about the texts in the batch. */
export interface SequenceValues {
  /** int64 `[3]`: texts, tokens per text, -1. */
  readonly dimensions: Value;
  /** float32 `[positions, headSize / 2]`. */
  readonly cosine: Value;
  /** float32 `[positions, headSize / 2]`. */
  readonly sine: Value;
  /** int64 `[1]`: the position of each text's first token; or `[texts, tokens]`: that of each token. */
  readonly positions: Value;
  /** int32 `[texts]`: the index of each text's last token, those in the cache counted. */
  readonly lastIndices: Value;
  /** int32 `[]`: tokens per text, those in the cache counted. */
  readonly totalLength: Value;
}

/** Keys and values of the tokens before, float32 `[texts, keyValueHeads, tokens, headSize]`. */
export interface CacheValues {
  /** Rotated keys. */
  readonly key: Value;
  /** Values. */
  readonly value: Value;
}

/** What attention takes. */
export interface AttentionInputs {
  /** float32 `[texts * tokens, queryHeads * headSize]`. */
  readonly query: Value;
  /** float32 `[texts * tokens, keyValueHeads * headSize]`. */
  readonly key: Value;
  /** float32 `[texts * tokens, keyValueHeads * headSize]`. */
  readonly value: Value;
  /** What is known about the texts. */
  readonly sequence: SequenceValues;
  /** Keys and values of the tokens before; none at the start of a text. */
  readonly past?: CacheValues;
}

/** What attention gives. */
export interface AttentionOutputs {
  /** float32 `[texts * tokens, queryHeads * headSize]`: the input of `o_proj`. */
  readonly output: Value;
  /** Keys and values of all tokens so far; where a past was given. */
  readonly present?: CacheValues;
}

/**
 * Chooses the operator for attention.
 *
 * @param headSize Channels of a head
 * @returns The fastest operator that can do it
 */
export function attentionOperator(headSize: number): AttentionOperator {
  return headSize % 8 === 0 ? "GroupQueryAttention" : "Attention";
}

/**
 * Adds rotary embedding and causal attention: softmax(q kᵀ / √headSize) v within each text.
 *
 * @param graph The graph
 * @param name What the nodes' names start with
 * @param model The model's description and the layer's sizes
 * @param inputs Projected queries, keys and values
 * @returns What goes to `o_proj`, and the new cache
 */
export function addAttention(
  graph: GraphBuilder,
  name: string,
  model: { readonly architecture: Architecture; readonly shape: LayerShape },
  inputs: AttentionInputs,
): AttentionOutputs {
  const { architecture, shape } = model;
  const { sequence } = inputs;
  const perText = (value: Value, part: string) =>
    graph.node("Reshape", [value, sequence.dimensions], { name: `${name}.${part}` });
  const rotated = (value: Value, part: string, heads: number) =>
    graph.node("RotaryEmbedding", [value, sequence.positions, sequence.cosine, sequence.sine], {
      domain: MICROSOFT,
      attributes: { num_heads: heads, interleaved: 0 },
      name: `${name}.${part}.rotated`,
    });
  const heads = {
    query: rotated(perText(inputs.query, "query"), "query", shape.queryHeads),
    key: rotated(perText(inputs.key, "key"), "key", shape.keyValueHeads),
    value: perText(inputs.value, "value"),
  };
  const attend = attentionOperator(architecture.headSize) === "Attention"
    ? plainAttention
    : groupQueryAttention;
  const { output, present } = attend(graph, name, model, { ...inputs, ...heads });
  const width = shape.queryHeads * architecture.headSize;
  return {
    output: graph.node("Reshape", [output, graph.integers([-1, width])], {
      name: `${name}.output`,
    }),
    present,
  };
}

type Attend = typeof groupQueryAttention;

function groupQueryAttention(
  graph: GraphBuilder,
  name: string,
  { architecture, shape }: { readonly architecture: Architecture; readonly shape: LayerShape },
  { query, key, value, past, sequence }: AttentionInputs,
): AttentionOutputs {
  // All three outputs are named even where nobody reads the cache: without them, ONNX Runtime takes a slower way that
  // holds all scores in memory (twice the time at 2,048 tokens).
  const [output, presentKey, presentValue] = graph.nodes(
    "GroupQueryAttention",
    [query, key, value, past?.key, past?.value, sequence.lastIndices, sequence.totalLength],
    3,
    {
      domain: MICROSOFT,
      attributes: {
        num_heads: shape.queryHeads,
        kv_num_heads: shape.keyValueHeads,
        scale: { float: 1 / Math.sqrt(architecture.headSize) },
        local_window_size: architecture.slidingWindow ?? -1,
      },
      name: `${name}.attend`,
    },
  );
  return { output, present: past && { key: presentKey, value: presentValue } };
}

const plainAttention: Attend = (graph, name, { architecture, shape }, inputs) => {
  const { query, key, value, past, sequence } = inputs;
  const [output, presentKey, presentValue] = graph.nodes(
    "Attention",
    [query, key, value, causalMask(graph, sequence, architecture), past?.key, past?.value],
    past === undefined ? 1 : 3,
    {
      attributes: {
        q_num_heads: shape.queryHeads,
        kv_num_heads: shape.keyValueHeads,
        scale: { float: 1 / Math.sqrt(architecture.headSize) },
      },
      name: `${name}.attend`,
    },
  );
  return { output, present: past && { key: presentKey, value: presentValue } };
};

/**
 * Which token may look at which, bool `[tokens, tokens so far]`. Written out rather than left to `is_causal`, which
 * knows neither sliding windows nor, in all runtimes, the tokens in the cache.
 */
function causalMask(
  graph: GraphBuilder,
  sequence: SequenceValues,
  { slidingWindow }: Architecture,
): Value {
  const zero = graph.integers([0], []);
  const one = graph.integers([1], []);
  const total = graph.node("Cast", [sequence.totalLength], {
    attributes: { to: TensorType.INT64 },
  });
  const length = graph.node("Gather", [sequence.dimensions, one]);
  const first = graph.node("Sub", [total, length]);
  const column = graph.node("Unsqueeze", [graph.node("Range", [first, total, one]), one]);
  const row = graph.node("Unsqueeze", [graph.node("Range", [zero, total, one]), zero]);
  const causal = graph.node("LessOrEqual", [row, column]);
  if (slidingWindow === undefined) return causal;
  const oldest = graph.node("Sub", [column, graph.integers([slidingWindow], [])]);
  return graph.node("And", [causal, graph.node("Greater", [row, oldest])]);
}
