/**
 * Adding products to parts of matrices, where something else than this program's own code makes the products.
 * @module
 */
import { type AddProduct, addProduct, type Block, type Multiply, part, whole } from "./product.ts";
import { LARGEST_COPY } from "./triangle.ts";

/** Columns of a product that are made at a time, at least: fewer do not keep a processor's threads busy. */
const LEAST_COLUMNS = 128;
/** Pieces that the columns of a large product are cut into. */
const PIECES = 8;
/** Numbers from which a call that copies them is faster than a loop. */
const WORTH_A_CALL = 128;

/**
 * What adds products to matrices with what makes products. Products are made a stripe of columns at a time: memory for
 * a whole one is not needed, of symmetric ones hardly more than the lower half is made, and the right operand, which
 * libraries rearrange, is the small one. Nor are large operands copied whole where their rows have gaps.
 *
 * @param multiply Makes products; {@linkcode addProduct} itself does it all if absent
 * @param largestCopy Numbers of an operand or of a product that are in memory at a time, at most, unless those of the
 * fewest columns are more
 * @returns target += factor · left · rightᵀ; of the target's part above the diagonal nothing is changed where only the
 * lower half is asked for
 */
export function addingWith(multiply?: Multiply, largestCopy: number = LARGEST_COPY): AddProduct {
  if (multiply === undefined) return addProduct;
  // New arrays cost about as much as the copies and additions: their pages are cleared first.
  const [lendProduct, lendLeft, lendRight] = [lender(), lender(), lender()];
  return async (target, left, right, { factor = 1, lowerOnly = false, pace } = {}) => {
    const rowsAtOnce = left.stride === left.columns
      ? left.rows
      : Math.max(LEAST_COLUMNS, Math.floor(largestCopy / left.columns));
    const perRow = Math.floor(largestCopy / Math.min(rowsAtOnce, left.rows));
    const atOnce = Math.max(LEAST_COLUMNS, Math.min(perRow, Math.ceil(right.rows / PIECES)));
    for (let top = 0; top < left.rows; top += rowsAtOnce) {
      const bottom = Math.min(top + rowsAtOnce, left.rows);
      const tightLeft = tight(rowsOf(left, top, bottom), lendLeft);
      const isShared = left === right && bottom - top === left.rows;
      const columnsEnd = lowerOnly ? Math.min(right.rows, bottom) : right.rows;
      for (let column = 0; column < columnsEnd; column += atOnce) {
        const end = Math.min(column + atOnce, columnsEnd);
        const columns = end - column;
        const first = lowerOnly ? Math.max(top, column) : top;
        const rows = bottom - first;
        const product = await multiply(
          rowsOf(tightLeft, first - top, bottom - top),
          isShared ? rowsOf(tightLeft, column, end) : tight(rowsOf(right, column, end), lendRight),
          pace,
          lendProduct(rows * columns),
        );
        for (let row = 0; row < rows; row++) {
          const count = lowerOnly ? Math.min(columns, first + row - column + 1) : columns;
          const to = target.offset + (first + row) * target.stride + column;
          addRow(target.data, to, product, row * columns, count, factor);
        }
      }
    }
  };
}

/**
 * A rectangle without gaps between its rows.
 *
 * @param block The rectangle
 * @param lend Lends an array of a length; its first numbers are overwritten
 * @returns The same where it has no gaps; a copy otherwise
 */
export function tight(
  block: Block,
  lend: (length: number) => Float64Array = (length) => new Float64Array(length),
): Block {
  const { data, offset, stride, rows, columns } = block;
  if (stride === columns) return block;
  const copy = lend(rows * columns);
  for (let row = 0, to = 0; row < rows; row++) {
    const start = offset + row * stride;
    if (columns < WORTH_A_CALL) {
      for (let column = 0; column < columns; column++) copy[to++] = data[start + column];
    } else {
      copy.set(data.subarray(start, start + columns), row * columns);
    }
  }
  return whole(copy, rows, columns);
}

/** Lends the same memory again and again, as much as was ever needed. */
function lender(): (length: number) => Float64Array {
  let kept = new Float64Array(0);
  return (length) => {
    if (kept.length < length) kept = new Float64Array(length);
    return kept.subarray(0, length);
  };
}

function rowsOf({ data, offset, stride, columns }: Block, first: number, end: number): Block {
  const rows = part(data, stride, [first, end], [0, columns]);
  return { ...rows, offset: rows.offset + offset };
}

/** A function of its own, and four numbers at a time: V8 then takes a third of the time. */
function addRow(
  target: Float64Array,
  to: number,
  source: Float64Array,
  from: number,
  count: number,
  factor: number,
): void {
  let index = 0;
  for (; index + 4 <= count; index += 4) {
    const [at, own] = [to + index, from + index];
    target[at] += factor * source[own];
    target[at + 1] += factor * source[own + 1];
    target[at + 2] += factor * source[own + 2];
    target[at + 3] += factor * source[own + 3];
  }
  for (; index < count; index++) target[to + index] += factor * source[from + index];
}
