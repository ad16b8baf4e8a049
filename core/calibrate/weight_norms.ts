/**
 * What weights alone say about channels.
 * @module
 */
import { blockTensors } from "../model/open.ts";
import { readTensor } from "../model/tensor_reader.ts";
import type { BlockRole, BlockTensors, Model, Structure } from "../model/types.ts";
import type { WeightNorms } from "./types.ts";

/**
 * Norms of the weights around the channels of one layer.
 *
 * @param model The model
 * @param layer Counted from 0
 * @returns Norms for FFN neurons, and for the channels of attention
 */
export async function weightNorms(
  model: Model,
  layer: number,
): Promise<Readonly<Record<Structure, WeightNorms>>> {
  const tensors = blockTensors(model, layer);
  const { headSize, layers } = model.architecture;
  const { queryHeads, keyValueHeads } = layers[layer];
  const gate = await rowNorms(tensors, "gate_proj.weight");
  const up = await rowNorms(tensors, "up_proj.weight");
  const value = await rowNorms(tensors, "v_proj.weight");
  const queriesPerGroup = queryHeads / keyValueHeads;
  const valueOfChannel = Float64Array.from({ length: queryHeads * headSize }, (_, channel) => {
    const group = Math.floor(channel / headSize / queriesPerGroup);
    return value![group * headSize + channel % headSize];
  });
  return {
    ffn: {
      ...await columnNorms(tensors, "down_proj.weight"),
      rowNorm: up!.map((norm, j) => norm * (gate?.[j] ?? 1)),
    },
    heads: { ...await columnNorms(tensors, "o_proj.weight"), rowNorm: valueOfChannel },
  };
}

async function rowNorms(
  tensors: BlockTensors,
  role: BlockRole,
): Promise<Float64Array | undefined> {
  const tensor = tensors.get(role);
  if (tensor === undefined) return undefined;
  const [rows, columns] = tensor.shape;
  const data = await readTensor(tensor);
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let at = row * columns; at < (row + 1) * columns; at++) sum += data[at] * data[at];
    return Math.sqrt(sum);
  });
}

async function columnNorms(
  tensors: BlockTensors,
  role: BlockRole,
): Promise<Pick<WeightNorms, "columnNorm" | "columnMeanAbsolute">> {
  const tensor = tensors.get(role)!;
  const [rows, columns] = tensor.shape;
  const data = await readTensor(tensor);
  const squares = new Float64Array(columns);
  const absolutes = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    for (let column = 0; column < columns; column++) {
      const weight = data[start + column];
      squares[column] += weight * weight;
      absolutes[column] += Math.abs(weight);
    }
  }
  return {
    columnNorm: squares.map(Math.sqrt),
    columnMeanAbsolute: absolutes.map((sum) => sum / rows),
  };
}
