/**
 * What comes before and after the blocks as pieces of a graph: embedding, final norm, output head, losses.
 * @module
 */
import type { Architecture } from "../model/types.ts";
import { addNorm } from "./block.ts";
import type { GraphBuilder, Value, WeightReference } from "./graph.ts";
import { TensorType } from "./proto.ts";

/**
 * Adds the embedding: the rows of the tokens. Rows are widened to float32 after they have been picked, so that the
 * table stays as it is stored.
 *
 * @param graph The graph
 * @param tokens int64, any shape
 * @param weight `[vocabulary, hidden]`
 * @returns float32, the tokens' shape with `hidden` at the end
 */
export function addEmbedding(graph: GraphBuilder, tokens: Value, weight: WeightReference): Value {
  const table = graph.storedWeight("embedding.weight", weight);
  const rows = graph.node("Gather", [table, tokens], { name: "embedding.rows" });
  if (weight.kind !== "external" || weight.dataType === "F32") return rows;
  return graph.node("Cast", [rows], { attributes: { to: TensorType.FLOAT } });
}

/** Final norm and output head. */
export interface HeadPiece {
  /** The model's description. */
  readonly architecture: Architecture;
  /** The residual stream after the last block, float32 `[rows, hidden]`. */
  readonly hidden: Value;
  /** `[hidden]` */
  readonly finalNorm: WeightReference;
  /** `[vocabulary, hidden]` */
  readonly outputHead: WeightReference;
}

/**
 * Adds final norm and output head.
 *
 * @param graph The graph
 * @param head The head
 * @returns Logits, float32 `[rows, vocabulary]`
 */
export function addHead(graph: GraphBuilder, head: HeadPiece): Value {
  const norm = graph.weight("finalNorm.weight", head.finalNorm);
  const normed = addNorm(graph, head.architecture, head.hidden, norm);
  const weight = graph.weight("outputHead.weight", head.outputHead);
  return graph.node("Gemm", [normed, weight], { attributes: { transB: 1 }, name: "head.logits" });
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
