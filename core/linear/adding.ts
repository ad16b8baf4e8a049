/**
 * Adding products to parts of matrices, where something else than this program's own code makes the products.
 * @module
 */
import { addProduct, type AddProduct, type Block, type Multiply, part, tight } from "./product.ts";

/** Rows of a product that are made at a time, at least: fewer do not keep a processor's threads busy. */
const LEAST_ROWS = 256;
/** Pieces that the rows of a large product are cut into. */
const PIECES = 8;

/**
 * What adds products to matrices with what makes products. Products are made a stripe of rows at a time: memory for a
 * whole one is not needed, and of symmetric ones hardly more than the lower half is made.
 *
 * @param multiply Makes products; {@linkcode addProduct} itself does it all if absent
 * @returns target += factor · left · rightᵀ; of the target's part above the diagonal nothing is changed where only the
 * lower half is asked for
 */
export function addingWith(multiply?: Multiply): AddProduct {
  if (multiply === undefined) return addProduct;
  let scratch = new Float64Array(0);
  return async (target, left, right, { factor = 1, lowerOnly = false, pace } = {}) => {
    const atOnce = Math.min(left.rows, Math.max(LEAST_ROWS, Math.ceil(left.rows / PIECES)));
    const most = atOnce * right.rows;
    if (scratch.length < most) scratch = new Float64Array(most);
    const tightLeft = tight(left);
    const tightRight = left === right ? tightLeft : tight(right);
    for (let row = 0; row < left.rows; row += atOnce) {
      const rows = Math.min(atOnce, left.rows - row);
      const columns = lowerOnly ? Math.min(right.rows, row + rows) : right.rows;
      const product = await multiply(
        rowsOf(tightLeft, row, row + rows),
        rowsOf(tightRight, 0, columns),
        pace,
        scratch.subarray(0, rows * columns),
      );
      addRows(target, product, [row, rows], columns, factor, lowerOnly);
    }
  };
}

function rowsOf({ data, offset, stride, columns }: Block, first: number, end: number): Block {
  const rows = part(data, stride, [first, end], [0, columns]);
  return { ...rows, offset: rows.offset + offset };
}

function addRows(
  { data, offset, stride }: Block,
  product: Float64Array,
  [first, rows]: readonly [number, number],
  columns: number,
  factor: number,
  lowerOnly: boolean,
): void {
  for (let row = 0; row < rows; row++) {
    const end = lowerOnly ? Math.min(columns, first + row + 1) : columns;
    const to = offset + (first + row) * stride;
    const from = row * columns;
    for (let column = 0; column < end; column++) {
      data[to + column] += factor * product[from + column];
    }
  }
}
