/**
 * Products of matrices that lie in the computer's memory, made on the card.
 * @module
 */
import type { Block } from "../../linear/product.ts";
import { memoryTensor } from "../../model/tensor_reader.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import { project, regionOf, sendRows, temporaryRows, tightRows } from "./operations.ts";
import { fours, Weights } from "./weights.ts";

/** Bytes of a stripe of an operand: it is turned into float32 and sent piece by piece. */
const STRIPE = 64 * 1024 * 1024;

/**
 * left · rightᵀ, with numbers and sums in float32.
 *
 * @param context What the engine's parts share
 * @param left `[rows, depth]`
 * @param right `[columns, depth]`
 * @param lent An array that is filled and returned, `[rows, columns]`; a new one if absent
 * @returns `[rows, columns]`
 * @throws {GraphicsError} if the card was lost or has no room
 */
export async function multiplyOnCard(
  context: GraphicsContext,
  left: Block,
  right: Block,
  lent?: Float64Array,
): Promise<Float64Array> {
  const result = lent ?? new Float64Array(left.rows * right.rows);
  const { maxStorageBufferBindingSize } = context.graphics.limits;
  const stripe = (columns: number, bytes: number) =>
    64 * Math.max(1, Math.floor(Math.min(STRIPE, bytes) / (16 * fours(columns)) / 64));
  const rightRows = stripe(right.columns, maxStorageBufferBindingSize);
  // What comes of a stripe of the left operand must fit a binding too.
  const leftRows = stripe(Math.max(left.columns, rightRows), maxStorageBufferBindingSize);
  for (let column = 0; column < right.rows; column += rightRows) {
    const columns = Math.min(rightRows, right.rows - column);
    const weights = new Weights(context);
    try {
      const numbers = rowsOf(right, column, columns);
      const matrix = await weights.matrix([memoryTensor([columns, right.columns], numbers)]);
      for (let row = 0; row < left.rows; row += leftRows) {
        const rows = Math.min(leftRows, left.rows - row);
        const commands = new Commands(context);
        const operations = { context, commands };
        try {
          const input = sendRows(operations, rowsOf(left, row, rows), left.columns);
          const output = temporaryRows(operations, rows, columns);
          project(operations, input, matrix, output);
          commands.read(regionOf(output));
          const [product] = await commands.submit();
          const tight = tightRows(product, columns);
          for (let at = 0; at < rows; at++) {
            const own = tight.subarray(at * columns, (at + 1) * columns);
            result.set(own, (row + at) * right.rows + column);
          }
        } finally {
          commands.abandon();
        }
      }
    } finally {
      weights.close();
    }
  }
  return result;
}

/** Some rows of a matrix in float32. */
function rowsOf({ data, offset, stride, columns }: Block, first: number, rows: number) {
  const result = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const start = offset + (first + row) * stride;
    result.set(data.subarray(start, start + columns), row * columns);
  }
  return result;
}
