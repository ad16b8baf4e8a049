/**
 * Sums over tokens as pieces of a graph: what calibration wants to know about the input of a projection.
 * @module
 */
import type { GraphBuilder, Value } from "./graph.ts";

/**
 * Adds the output `NAME.sum` (Σ x), float32 `[1, channels]`.
 *
 * Multiplying by a row of ones costs 1 to 2 % of a block; `ReduceSum` and `ReduceSumSquare` over the first axis take
 * ten times as long in ONNX Runtime.
 *
 * @param graph The graph
 * @param name What the output's name starts with
 * @param input x, float32 `[tokens, channels]`
 * @param ones float32 `[1, tokens]`
 * @param channels Channels of x
 */
export function addSum(
  graph: GraphBuilder,
  name: string,
  input: Value,
  ones: Value,
  channels: number,
): void {
  graph.output(`${name}.sum`, graph.node("MatMul", [ones, input]), "F32", [1, channels]);
}

/**
 * Adds the output `NAME.sumOfSquares` (Σ x²), float32 `[1, channels]`; a Gram matrix has it on its diagonal.
 *
 * @param graph The graph
 * @param name What the output's name starts with
 * @param input x, float32 `[tokens, channels]`
 * @param ones float32 `[1, tokens]`
 * @param channels Channels of x
 */
export function addSumOfSquares(
  graph: GraphBuilder,
  name: string,
  input: Value,
  ones: Value,
  channels: number,
): void {
  const squares = graph.node("Mul", [input, input], { name: `${name}.squares` });
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

/** A square or rectangle of a Gram matrix, on or below its diagonal. */
export interface GramTile {
  /** The name of the output that holds it, after `NAME.`. */
  readonly output: string;
  /** The tile's first row, and the row after its last. */
  readonly rows: readonly [first: number, end: number];
  /** The tile's first column, and the column after its last. */
  readonly columns: readonly [first: number, end: number];
}

/** Below this a product is too small to be cut; above it, the copies of x that cutting takes cost too much memory. */
const TILED_CHANNELS = [256, 4096] as const;
/** Strips that the channels are cut into, at most: more save little more and make the products small. */
const STRIPS = 6;
/** Processors take channels in groups of this. */
const STRIP_MULTIPLE = 16;

/**
 * The tiles that a Gram matrix is made of. It is symmetric: 21 of the 36 tiles of six strips are enough, at little more
 * than half the time of the whole.
 *
 * @param channels Channels of x
 * @returns The tiles on and below the diagonal
 */
export function gramTiles(channels: number): readonly GramTile[] {
  const strips = stripsOf(channels);
  return strips.flatMap((rows, i) =>
    strips.slice(0, i + 1).map((columns, j) => ({ output: `gram.${i}.${j}`, rows, columns }))
  );
}

function stripsOf(channels: number): readonly (readonly [number, number])[] {
  const [least, most] = TILED_CHANNELS;
  if (channels < least || channels > most) return [[0, channels]];
  const width = Math.ceil(channels / STRIPS / STRIP_MULTIPLE) * STRIP_MULTIPLE;
  // Widths are rounded up: five strips may be enough.
  return Array.from(
    { length: Math.ceil(channels / width) },
    (_, strip) => [strip * width, Math.min(channels, (strip + 1) * width)],
  );
}

/**
 * Adds the tiles of Σ x xᵀ as outputs `NAME.gram.I.J`, float32.
 *
 * @param graph The graph
 * @param name What the outputs' names start with
 * @param input x, float32 `[tokens, channels]`
 * @param channels Channels of x
 */
export function addGramTiles(
  graph: GraphBuilder,
  name: string,
  input: Value,
  channels: number,
): void {
  const strips = stripsOf(channels);
  const widths = strips.map(([first, end]) => end - first);
  const parts = strips.length === 1 ? [] : transposedStrips(graph, input, widths);
  for (const [i, height] of widths.entries()) {
    for (let j = 0; j <= i; j++) {
      const tile = strips.length === 1
        ? graph.node("Gemm", [input, input], { attributes: { transA: 1 } })
        : graph.node("Gemm", [parts[i], parts[j]], { attributes: { transB: 1 } });
      graph.output(`${name}.gram.${i}.${j}`, tile, "F32", [height, widths[j]]);
    }
  }
}

/** Turned once, strips lie together, and products read both of their factors along their rows. */
function transposedStrips(
  graph: GraphBuilder,
  input: Value,
  widths: readonly number[],
): readonly Value[] {
  const turned = graph.node("Transpose", [input], { attributes: { perm: [1, 0] } });
  return graph.nodes("Split", [turned, graph.integers(widths)], widths.length, {
    attributes: { axis: 0 },
  });
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
