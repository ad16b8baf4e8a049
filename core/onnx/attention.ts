/**
 * Rotary embedding and causal grouped attention as pieces of a graph.
 *
 * Two operators do the same: `GroupQueryAttention` of ONNX Runtime (fastest; head sizes that are multiples of 8), and
 * ONNX's own `Attention` for all others.
 * @module
 */
import type { Architecture, LayerShape, RotaryEmbedding } from "../model/types.ts";
import { type GraphBuilder, MICROSOFT, type Value } from "./graph.ts";
import { TensorType } from "./proto.ts";

/** The operator that attention is made of. */
export type AttentionOperator = "GroupQueryAttention" | "Attention";

/** Cosines and sines by position. */
export interface RotationValues {
  /** float32 `[positions, rotated / 2]`. */
  readonly cosine: Value;
  /** float32 `[positions, rotated / 2]`. */
  readonly sine: Value;
}

/** How one layer attends. */
export interface LayerAttention {
  /** How its queries and keys are rotated; undefined where they are not. */
  readonly rotary?: RotaryEmbedding;
  /** Whether that is the architecture's `localRotary`. */
  readonly isLocalRotary: boolean;
  /** Tokens that it looks back on, itself included; undefined for all. */
  readonly window?: number;
}

/**
 * How a layer attends, from what all layers share and what is its own.
 *
 * @param architecture The model's description
 * @param shape The layer's
 * @returns Rotation and window
 */
export function layerAttention(architecture: Architecture, shape: LayerShape): LayerAttention {
  const { rotary, localRotary, slidingWindow } = architecture;
  const { attention } = shape;
  const isLocal = attention === "local" || attention === "local-unrotated";
  const isRotated = attention !== "unrotated" && attention !== "local-unrotated" &&
    rotary.inverseFrequencies.length > 0;
  const own = isLocal ? localRotary ?? rotary : rotary;
  return {
    ...(isRotated ? { rotary: own } : {}),
    isLocalRotary: isLocal && localRotary !== undefined,
    ...(isLocal || attention === undefined ? { window: slidingWindow } : {}),
  };
}

/** What all layers of a graph know about the texts in the batch. */
export interface SequenceValues {
  /** int64 `[3]`: texts, tokens per text, -1. */
  readonly dimensions: Value;
  /** Tables of the rotary embedding; absent where no layer rotates. */
  readonly rotation?: RotationValues;
  /** Those of `local` layers, where they are others. */
  readonly localRotation?: RotationValues;
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
 * Adds rotary embedding and causal attention: softmax(q kᵀ / √headSize) v within each text; the scale is another, scores
 * are capped, and some channels or all are not rotated, where the model says so.
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
  const { rotary, isLocalRotary } = layerAttention(architecture, shape);
  const tables = isLocalRotary ? sequence.localRotation : sequence.rotation;
  const rotated = (value: Value, part: string, heads: number) => {
    if (rotary === undefined || tables === undefined) return value;
    const channels = 2 * rotary.inverseFrequencies.length;
    const inputs = [value, sequence.positions, tables.cosine, tables.sine];
    return graph.node("RotaryEmbedding", inputs, {
      domain: MICROSOFT,
      attributes: {
        num_heads: heads,
        interleaved: 0,
        ...(channels === architecture.headSize ? {} : { rotary_embedding_dim: channels }),
      },
      name: `${name}.${part}.rotated`,
    });
  };
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
        ...scoreAttributes(architecture),
        local_window_size: layerAttention(architecture, shape).window ?? -1,
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
    [
      query,
      key,
      value,
      causalMask(graph, sequence, layerAttention(architecture, shape)),
      past?.key,
      past?.value,
    ],
    past === undefined ? 1 : 3,
    {
      attributes: {
        q_num_heads: shape.queryHeads,
        kv_num_heads: shape.keyValueHeads,
        ...scoreAttributes(architecture),
      },
      name: `${name}.attend`,
    },
  );
  return { output, present: past && { key: presentKey, value: presentValue } };
};

/** What scores are multiplied by, and what caps them. */
function scoreAttributes({ headSize, attentionScale, attentionSoftCap }: Architecture) {
  return {
    scale: { float: attentionScale ?? 1 / Math.sqrt(headSize) },
    ...(attentionSoftCap === undefined ? {} : { softcap: { float: attentionSoftCap } }),
  };
}

/**
 * Which token may look at which, bool `[tokens, tokens so far]`. Written out rather than left to `is_causal`, which
 * knows neither sliding windows nor, in all runtimes, the tokens in the cache.
 */
function causalMask(
  graph: GraphBuilder,
  sequence: SequenceValues,
  { window }: LayerAttention,
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
  if (window === undefined) return causal;
  const oldest = graph.node("Sub", [column, graph.integers([window], [])]);
  return graph.node("And", [causal, graph.node("Greater", [row, oldest])]);
}
