/**
 * What comes before and after the blocks as pieces of a graph: embedding, final norm, output head, losses.
 * @module
 */
import type { Architecture } from "../model/types.ts";
import { addNorm } from "./block.ts";
import {
  type BlockMatrix,
  type GraphBuilder,
  type Int8Matrix,
  isNarrow,
  type MatrixReference,
  MICROSOFT,
  type Value,
  type WeightReference,
} from "./graph.ts";
import { addProduct } from "./products.ts";
import { TensorType } from "./proto.ts";

/** Learned positions of a decoder. */
export interface PositionPiece {
  /** int64, any shape. */
  readonly positions: Value;
  /** `[positions, hidden]` */
  readonly weight: WeightReference;
}

/**
 * Adds what turns tokens into the stream before the first block: rows of the embedding, scaled where the model says so,
 * and rows of the learned positions where it has them.
 *
 * @param graph The graph
 * @param architecture The model's description
 * @param tokens int64, any shape
 * @param weight `[vocabulary, hidden]`
 * @param learned The learned positions
 * @returns float32, the tokens' shape with `hidden` at the end
 */
export function addStreamStart(
  graph: GraphBuilder,
  { embeddingScale, positionOffset = 0 }: Architecture,
  tokens: Value,
  weight: MatrixReference,
  learned?: PositionPiece,
): Value {
  const rows = embeddingRows(graph, tokens, weight);
  const scaled = embeddingScale === undefined
    ? rows
    : graph.node("Mul", [rows, graph.numbers("embedding.scale", [embeddingScale])]);
  if (learned === undefined) return scaled;
  const table = graph.storedWeight("positions.weight", learned.weight);
  const row = positionOffset === 0
    ? learned.positions
    : graph.node("Add", [learned.positions, graph.integers([positionOffset], [])]);
  const picked = graph.node("Gather", [table, row], { name: "positions.rows" });
  const added = isNarrow(learned.weight)
    ? graph.node("Cast", [picked], { attributes: { to: TensorType.FLOAT } })
    : picked;
  return graph.node("Add", [scaled, added]);
}

/** Rows are widened to float32 after they have been picked, so that the table stays as it is stored. */
function embeddingRows(graph: GraphBuilder, tokens: Value, weight: MatrixReference): Value {
  if (weight.kind === "int8") return int8Rows(graph, tokens, weight);
  if (weight.kind === "blocks") return blockRows(graph, tokens, weight);
  const table = graph.storedWeight("embedding.weight", weight);
  const rows = graph.node("Gather", [table, tokens], { name: "embedding.rows" });
  if (!isNarrow(weight)) return rows;
  return graph.node("Cast", [rows], { attributes: { to: TensorType.FLOAT } });
}

/** The table lies as products want it, `[hidden, vocabulary]`, so that it can be the output head's as well. */
function int8Rows(graph: GraphBuilder, tokens: Value, weight: Int8Matrix): Value {
  const table = graph.storedWeight("embedding.weight", weight.transposed);
  const scales = graph.storedWeight("embedding.weight.scales", weight.scales);
  const columns = graph.node("Gather", [table, tokens], { attributes: { axis: 1 } });
  const rows = graph.node("Transpose", [columns], { attributes: { perm: [1, 2, 0] } });
  const last = graph.integers([-1]);
  return graph.node("Mul", [
    graph.node("Cast", [rows], { attributes: { to: TensorType.FLOAT } }),
    graph.node("Unsqueeze", [graph.node("Gather", [scales, tokens]), last]),
  ], { name: "embedding.rows" });
}

/** The table lies as `MatMulNBits` wants it; its rows may be longer than the stream, to end with a whole block. */
function blockRows(graph: GraphBuilder, tokens: Value, weight: BlockMatrix): Value {
  const [rows, columns] = weight.shape;
  const blocks = Math.ceil(columns / weight.blockSize);
  const matrix = (value: Value) => graph.node("Reshape", [value, graph.integers([rows, -1])]);
  const table = matrix(graph.storedWeight("embedding.weight", weight.packed));
  const scales = matrix(graph.storedWeight("embedding.weight.scales", weight.scales));
  const picked = graph.node("GatherBlockQuantized", [table, tokens, scales], {
    domain: MICROSOFT,
    attributes: {
      bits: weight.bits,
      block_size: weight.blockSize,
      gather_axis: 0,
      quantize_axis: 1,
    },
    name: "embedding.rows",
  });
  if (blocks * weight.blockSize === columns) return picked;
  const cut = [[0], [columns], [-1]].map((each) => graph.integers(each));
  return graph.node("Slice", [picked, ...cut]);
}

/** Final norm and output head. */
export interface HeadPiece {
  /** The model's description. */
  readonly architecture: Architecture;
  /** The residual stream after the last block, float32 `[rows, hidden]`. */
  readonly hidden: Value;
  /** `[hidden]` */
  readonly finalNorm: WeightReference;
  /** `[hidden]`; of a LayerNorm. */
  readonly finalNormBias?: WeightReference;
  /** `[vocabulary, hidden]` */
  readonly outputHead: MatrixReference;
}

/**
 * Adds final norm and output head.
 *
 * @param graph The graph
 * @param head The head
 * @returns Logits, float32 `[rows, vocabulary]`
 */
export function addHead(graph: GraphBuilder, head: HeadPiece): Value {
  const { architecture, finalNormBias, outputHead: weight } = head;
  const normed = addNorm(graph, architecture, head.hidden, {
    name: "finalNorm.normed",
    weight: graph.weight("finalNorm.weight", head.finalNorm),
    bias: finalNormBias && graph.weight("finalNorm.bias", finalNormBias),
  });
  const logits = addProduct(graph, {
    name: "outputHead",
    input: normed,
    weight,
    outputName: "head.logits",
  });
  const { logitSoftCap } = architecture;
  if (logitSoftCap === undefined) return logits;
  const cap = graph.numbers("head.cap", [logitSoftCap]);
  return graph.node("Mul", [graph.node("Tanh", [graph.node("Div", [logits, cap])]), cap], {
    name: "head.capped",
  });
}

/**
 * Adds negative log-likelihoods: log Σ exp(logits) - logits[target].
 *
 * `LogSoftmax` over all logits takes a twelfth of the time of `ReduceLogSumExp` (0.5 and 6.1 ms for 256 × 4,096).
 *
 * @param graph The graph
 * @param logits float32 `[rows, vocabulary]`
 * @param targets int64 `[rows, 1]`
 * @returns Nats, float32 `[rows, 1]`
 */
export function addLosses(graph: GraphBuilder, logits: Value, targets: Value): Value {
  const logLikelihoods = graph.node("LogSoftmax", [logits], { attributes: { axis: -1 } });
  const attributes = { axis: 1 };
  return graph.node("Neg", [
    graph.node("GatherElements", [logLikelihoods, targets], { attributes }),
  ]);
}
