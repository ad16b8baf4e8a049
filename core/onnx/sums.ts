/**
 * Sums over tokens as pieces of a graph: what calibration wants to know about the input of a projection.
 * @module
 */
import type { GraphBuilder, Value } from "./graph.ts";

/**
 * Adds outputs `NAME.sum` (Σ x) and `NAME.sumOfSquares` (Σ x²), float32 `[1, channels]`.
 *
 * Multiplying by a row of ones costs 1 to 2 % of a block; `ReduceSum` and `ReduceSumSquare` over the first axis take
 * ten times as long in ONNX Runtime.
 *
 * @param graph The graph
 * @param name What the outputs' names start with
 * @param input x, float32 `[tokens, channels]`
 * @param ones float32 `[1, tokens]`
 * @param channels Channels of x
 */
export function addSums(
  graph: GraphBuilder,
  name: string,
  input: Value,
  ones: Value,
  channels: number,
): void {
  const squares = graph.node("Mul", [input, input], { name: `${name}.squares` });
  graph.output(`${name}.sum`, graph.node("MatMul", [ones, input]), "F32", [1, channels]);
  graph.output(`${name}.sumOfSquares`, graph.node("MatMul", [ones, squares]), "F32", [1, channels]);
}

/**
 * Adds the output `NAME.gram` (Σ x xᵀ), float32 `[channels, channels]`.
 *
 * @param graph The graph
 * @param name What the output's name starts with
 * @param input x, float32 `[tokens, channels]`
 * @param channels Channels of x
 */
export function addGram(graph: GraphBuilder, name: string, input: Value, channels: number): void {
  const gram = graph.node("Gemm", [input, input], { attributes: { transA: 1 } });
  graph.output(`${name}.gram`, gram, "F32", [channels, channels]);
}

/**
 * Sums what a least-squares fit needs besides the Gram matrix: outputs `NAME.cross`, Σ t xᵀ `[outputs, channels]`, and
 * `NAME.targetEnergy`, Σ ‖t‖² `[1]`.
 *
 * @param graph The graph
 * @param name What the outputs' names start with
 * @param values Targets t `[tokens, outputs]` and inputs x `[tokens, channels]`
 * @param shape Outputs and channels
 */
export function addCross(
  graph: GraphBuilder,
  name: string,
  values: { readonly target: Value; readonly input: Value },
  shape: readonly [outputs: number, channels: number],
): void {
  const { target, input } = values;
  const cross = graph.node("Gemm", [target, input], { attributes: { transA: 1 } });
  graph.output(`${name}.cross`, cross, "F32", shape);
  const squares = graph.node("Mul", [target, target]);
  const energy = graph.node("ReduceSum", [squares], { attributes: { keepdims: 0 } });
  graph.output(`${name}.targetEnergy`, energy, "F32", []);
}
