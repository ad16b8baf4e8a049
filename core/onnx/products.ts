/**
 * Products of activations with weights as pieces of a graph, one operator for each way in which weights are stored.
 * @module
 */
import {
  type BlockMatrix,
  type GraphBuilder,
  type Int8Matrix,
  type MatrixReference,
  MICROSOFT,
  type Value,
  type WeightReference,
} from "./graph.ts";

/** x Wᵀ + bias + residual. */
export interface ProductPiece {
  /** What the names of its weights start with, such as `layers.0.q_proj`. */
  readonly name: string;
  /** The name of the node; `NAME.output` if absent. */
  readonly outputName?: string;
  /** x, float32 `[rows, in]`. */
  readonly input: Value;
  /** W, `[out, in]`. */
  readonly weight: MatrixReference;
  /** float32 `[out]` */
  readonly bias?: Value;
  /** float32 `[rows, out]` */
  readonly residual?: Value;
}

/**
 * Adds a product.
 *
 * @param graph The graph
 * @param product Its parts
 * @returns float32 `[rows, out]`
 */
export function addProduct(graph: GraphBuilder, product: ProductPiece): Value {
  const { weight } = product;
  switch (weight.kind) {
    case "int8":
      return withRest(graph, product, int8Product(graph, product, weight), "residual");
    case "blocks":
      return withRest(graph, product, blockProduct(graph, product, weight), "bias", "residual");
    default:
      return floatProduct(graph, product, weight);
  }
}

/**
 * A reference that is no quantised matrix.
 *
 * @param name The weight's name, for the error
 * @param reference The reference
 * @returns The same
 * @throws {RangeError} if it is quantised
 */
export function plainWeight(name: string, reference: MatrixReference): WeightReference {
  if (reference.kind !== "int8" && reference.kind !== "blocks") return reference;
  throw new RangeError(`Cannot build with '${name}' in whole numbers: norms and biases are not`);
}

const outputName = ({ name, outputName }: ProductPiece) => outputName ?? `${name}.output`;

/** A residual goes in as the matrix that `Gemm` adds, which saves a pass over it. */
function floatProduct(
  graph: GraphBuilder,
  product: ProductPiece,
  reference: WeightReference,
): Value {
  const { name, input, bias, residual } = product;
  const weight = graph.weight(`${name}.weight`, reference);
  const output = graph.node("Gemm", [input, weight, bias ?? residual], {
    attributes: { transB: 1 },
    name: outputName(product),
  });
  return bias === undefined ? output : withRest(graph, product, output, "residual");
}

function int8Product(graph: GraphBuilder, product: ProductPiece, weight: Int8Matrix): Value {
  const { name, input, bias } = product;
  const matrix = graph.storedWeight(`${name}.weight`, weight.transposed);
  const scales = graph.storedWeight(`${name}.weight.scales`, weight.scales);
  return graph.node("DynamicQuantizeMatMul", [input, matrix, scales, undefined, bias], {
    domain: MICROSOFT,
    name: outputName(product),
  });
}

/** Where the processor has it, activations are rounded to 8 bits block by block: several times faster for prompts. */
const INT8_ACTIVATIONS = 4;

function blockProduct(graph: GraphBuilder, product: ProductPiece, weight: BlockMatrix): Value {
  const { name, input } = product;
  const [outputs, inputs] = weight.shape;
  const packed = graph.storedWeight(`${name}.weight`, weight.packed);
  const scales = graph.storedWeight(`${name}.weight.scales`, weight.scales);
  return graph.node("MatMulNBits", [input, packed, scales], {
    domain: MICROSOFT,
    attributes: {
      K: inputs,
      N: outputs,
      bits: weight.bits,
      block_size: weight.blockSize,
      accuracy_level: INT8_ACTIVATIONS,
    },
    name: outputName(product),
  });
}

function withRest(
  graph: GraphBuilder,
  product: ProductPiece,
  output: Value,
  ...parts: readonly ("bias" | "residual")[]
): Value {
  return parts.reduce((sum, part) => {
    const other = product[part];
    return other === undefined
      ? sum
      : graph.node("Add", [sum, other], { name: `${product.name}.${part}.added` });
  }, output);
}
