/**
 * Tensors made larger with zeros at the end of their axes.
 *
 * Units of zeros change nothing that a model computes: a neuron whose gate, up and down are zero adds zero, and so does
 * a head whose output columns are zero. New units come last, so that those that were there keep their numbers.
 * @module
 */
import { numberCount } from "../model/number_formats.ts";
import { readRows } from "../model/tensor_reader.ts";
import type { Tensor } from "../model/types.ts";

/**
 * Reads rows (slices of the first axis) of a tensor as if it were larger.
 *
 * @param tensor The tensor: one axis or two
 * @param shape The sizes to pretend, none smaller than the tensor's own
 * @param first The first row, from 0
 * @param count How many rows
 * @returns `[count, …]` of the larger shape; what the tensor does not have is zero
 * @throws {ModelError} if the tensor cannot be read
 */
export async function readPaddedRows(
  tensor: Tensor,
  shape: readonly number[],
  first: number,
  count: number,
): Promise<Float32Array> {
  const [rows, ...inner] = tensor.shape;
  const columns = numberCount(inner);
  const wanted = numberCount(shape.slice(1));
  const present = Math.max(0, Math.min(count, rows - first));
  const own = present === 0 ? new Float32Array() : await readRows(tensor, first, present);
  if (present === count && columns === wanted) return own;
  const result = new Float32Array(count * wanted);
  for (let row = 0; row < present; row++) {
    result.set(own.subarray(row * columns, (row + 1) * columns), row * wanted);
  }
  return result;
}

/**
 * The shape without larger axes: whether reading it as padded changes nothing.
 *
 * @param tensor The tensor
 * @param shape The sizes to pretend
 * @returns True if they are its own
 */
export function hasShape(tensor: Tensor, shape: readonly number[]): boolean {
  return tensor.shape.length === shape.length &&
    tensor.shape.every((size, axis) => size === shape[axis]);
}
