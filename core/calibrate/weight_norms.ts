/**
 * What weights alone say about channels.
 * @module
 */
import { discard } from "../linear/discard.ts";
import { isView, readTensorSync } from "../model/tensor_reader.ts";
import type { Architecture, BlockTensors, LayerShape, Structure, Tensor } from "../model/types.ts";
import type { WeightNorms } from "./types.ts";

/**
 * Norms of the weights around the channels of one layer.
 *
 * @param architecture The model's description
 * @param shape The layer's sizes
 * @param tensors The layer's tensors
 * @returns Norms for FFN neurons, and for the channels of attention
 * @throws {ModelError} if a weight cannot be read
 */
export function weightNorms(
  { headSize }: Architecture,
  { queryHeads, keyValueHeads }: LayerShape,
  tensors: BlockTensors,
): Readonly<Record<Structure, WeightNorms>> {
  // One matrix at a time is in memory, where they come from files.
  const measure = <Norms>(tensor: Tensor, norms: (matrix: Matrix) => Norms): Norms => {
    const [rows, columns] = tensor.shape;
    const data = readTensorSync(tensor);
    const result = norms({ rows, columns, data });
    if (isView(tensor)) discard(data);
    return result;
  };
  const gateTensor = tensors.get("gate_proj.weight");
  const gate = gateTensor && measure(gateTensor, rowNorms);
  const up = measure(tensors.get("up_proj.weight")!, rowNorms);
  const value = measure(tensors.get("v_proj.weight")!, rowNorms);
  const queriesPerGroup = queryHeads / keyValueHeads;
  const valueOfChannel = Float64Array.from({ length: queryHeads * headSize }, (_, channel) => {
    const group = Math.floor(channel / headSize / queriesPerGroup);
    return value[group * headSize + channel % headSize];
  });
  return {
    ffn: {
      ...measure(tensors.get("down_proj.weight")!, columnNorms),
      rowNorm: up.map((norm, j) => norm * (gate?.[j] ?? 1)),
    },
    heads: {
      ...measure(tensors.get("o_proj.weight")!, columnNorms),
      rowNorm: valueOfChannel,
    },
  };
}

interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** Row-major. */
  readonly data: Float32Array;
}

/** Four sums go on side by side: one alone waits for itself at every number. */
function rowNorms({ rows, columns, data }: Matrix): Float64Array {
  const norms = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const end = (row + 1) * columns;
    let a = 0, b = 0, c = 0, d = 0;
    let at = row * columns;
    for (; at + 4 <= end; at += 4) {
      a += data[at] * data[at];
      b += data[at + 1] * data[at + 1];
      c += data[at + 2] * data[at + 2];
      d += data[at + 3] * data[at + 3];
    }
    for (; at < end; at++) a += data[at] * data[at];
    norms[row] = Math.sqrt(a + b + (c + d));
  }
  return norms;
}

/** Rows go in fours, so that sums are fetched and put back a quarter as often. */
function columnNorms(
  { rows, columns, data }: Matrix,
): Pick<WeightNorms, "columnNorm" | "columnMeanAbsolute"> {
  const squares = new Float64Array(columns);
  const absolutes = new Float64Array(columns);
  const rowOf = (row: number) => data.subarray(row * columns, (row + 1) * columns);
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const [first, second, third, fourth] = [0, 1, 2, 3].map((more) => rowOf(row + more));
    for (let column = 0; column < columns; column++) {
      const a = first[column], b = second[column], c = third[column], d = fourth[column];
      squares[column] += a * a + b * b + (c * c + d * d);
      absolutes[column] += Math.abs(a) + Math.abs(b) + (Math.abs(c) + Math.abs(d));
    }
  }
  for (; row < rows; row++) {
    const weights = rowOf(row);
    for (let column = 0; column < columns; column++) {
      squares[column] += weights[column] * weights[column];
      absolutes[column] += Math.abs(weights[column]);
    }
  }
  return {
    columnNorm: squares.map(Math.sqrt),
    columnMeanAbsolute: absolutes.map((sum) => sum / rows),
  };
}
