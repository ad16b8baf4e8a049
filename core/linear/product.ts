/**
 * Products of dense float64 matrices, row-major, in the form in which both operands are read along their rows.
 *
 * Operands are packed into panels of a few rows and multiplied tile by tile (Goto and van de Geijn, "Anatomy of
 * High-Performance Matrix Multiplication", 2008), so that every number loaded takes part in several sums that stay in
 * registers.
 * @module
 */
import type { Pace } from "./pace.ts";

/** A rectangle inside a row-major matrix. */
export interface Block {
  /** The numbers of the whole matrix. */
  readonly data: Float64Array;
  /** Where the rectangle's first number lies. */
  readonly offset: number;
  /** Numbers from one row to the next. */
  readonly stride: number;
  /** Its rows. */
  readonly rows: number;
  /** Its columns. */
  readonly columns: number;
}

/** Options of {@linkcode addProduct}. */
export interface ProductOptions {
  /** A factor on the product. Default 1. */
  readonly factor?: number;
  /**
   * Whether only the part on and below the diagonal is wanted, for symmetric results. What lies above it stays as it is:
   * another matrix may lie there. Default false.
   */
  readonly lowerOnly?: boolean;
  /** Called between pieces of work. */
  readonly pace?: Pace;
}

/**
 * Makes left · rightᵀ, `[rows, columns]`, as {@linkcode multiplyTransposed} does. Where it is lent an array of that
 * size, it may fill and return that one.
 */
export type Multiply = (
  left: Block,
  right: Block,
  pace?: Pace,
  lent?: Float64Array,
) => Promise<Float64Array>;

/** Adds a product to a matrix, as {@linkcode addProduct} does. */
export type AddProduct = (
  target: Block,
  left: Block,
  right: Block,
  options?: ProductOptions,
) => Promise<void>;

/** Rows of a tile, rows of the left operand. */
const TILE_ROWS = 4;
/** Columns of a tile, rows of the right operand. V8 keeps 4 × 3 sums in registers; 4 × 4 spill. */
const TILE_COLUMNS = 3;
/** Columns of the operands in a panel: a tile's two panels then fit a processor's first cache. */
const PANEL_DEPTH = 256;
/** Rows of the left operand packed at a time, to stay in the second cache. */
const ROWS_AT_ONCE = 96;
/** Side of the squares that are turned at a time: one of the two sides is read or written against the grain. */
const SQUARE = 32;

/**
 * A whole matrix as a {@linkcode Block}.
 *
 * @param data Its numbers, row-major, `[rows, columns]`
 * @param rows Its rows
 * @param columns Its columns
 * @returns The block
 */
export function whole(data: Float64Array, rows: number, columns: number): Block {
  return { data, offset: 0, stride: columns, rows, columns };
}

/**
 * A rectangle of a matrix as a {@linkcode Block}.
 *
 * @param data The matrix' numbers, row-major
 * @param stride The matrix' columns
 * @param rows First row, and the row after the last
 * @param columns First column, and the column after the last
 * @returns The block
 */
export function part(
  data: Float64Array,
  stride: number,
  rows: readonly [number, number],
  columns: readonly [number, number],
): Block {
  const offset = rows[0] * stride + columns[0];
  return { data, offset, stride, rows: rows[1] - rows[0], columns: columns[1] - columns[0] };
}

/**
 * Adds a product to a matrix: target += factor · left · rightᵀ.
 *
 * @param target `[rows, columns]`; shares no numbers with the operands
 * @param left `[rows, depth]`
 * @param right `[columns, depth]`
 * @param options Factor, symmetry, pace
 * @throws {CancelledError} if the pace throws it; the target is then half done
 */
export async function addProduct(
  target: Block,
  left: Block,
  right: Block,
  options: ProductOptions = {},
): Promise<void> {
  const { factor = 1, lowerOnly = false, pace } = options;
  const depthAtOnce = Math.min(PANEL_DEPTH, left.columns);
  const rowsAtOnce = Math.min(ROWS_AT_ONCE, roundUp(left.rows, TILE_ROWS));
  const leftPanel = new Float64Array(rowsAtOnce * depthAtOnce);
  const rightPanel = new Float64Array(roundUp(right.rows, TILE_COLUMNS) * depthAtOnce);
  for (let start = 0; start < left.columns; start += depthAtOnce) {
    const depth = Math.min(depthAtOnce, left.columns - start);
    pack(rightPanel, right, [0, right.rows], [start, depth], TILE_COLUMNS, 1);
    for (let row = 0; row < left.rows; row += rowsAtOnce) {
      const rows = Math.min(rowsAtOnce, left.rows - row);
      pack(leftPanel, left, [row, rows], [start, depth], TILE_ROWS, factor);
      addPanels(target, [row, rows], leftPanel, rightPanel, depth, lowerOnly);
      const wait = pace?.();
      if (wait !== undefined) await wait;
    }
  }
}

/**
 * The product left · rightᵀ.
 *
 * @param left `[rows, depth]`
 * @param right `[columns, depth]`
 * @param pace Called between pieces of work
 * @param lent Overwritten and returned, if given, `[rows, columns]`
 * @returns `[rows, columns]`
 * @throws {CancelledError} if the pace throws it
 *
 * @example
 * ```ts
 * import { multiplyTransposed, whole } from "./product.ts";
 * import { assertEquals } from "@std/assert";
 * const left = whole(Float64Array.of(1, 2, 3, 4), 2, 2);
 * const right = whole(Float64Array.of(1, 0, 1, 1), 2, 2);
 * assertEquals(await multiplyTransposed(left, right), Float64Array.of(1, 3, 3, 7));
 * ```
 */
export async function multiplyTransposed(
  left: Block,
  right: Block,
  pace?: Pace,
  lent?: Float64Array,
): Promise<Float64Array> {
  const product = lent?.fill(0) ?? new Float64Array(left.rows * right.rows);
  await addProduct(whole(product, left.rows, right.rows), left, right, { pace });
  return product;
}

/**
 * The product of a matrix with its own transpose, left · leftᵀ.
 *
 * @param left `[rows, depth]`
 * @param pace Called between pieces of work
 * @returns `[rows, rows]`, symmetric
 * @throws {CancelledError} if the pace throws it
 */
export async function multiplyBySelf(left: Block, pace?: Pace): Promise<Float64Array> {
  const product = new Float64Array(left.rows * left.rows);
  const target = whole(product, left.rows, left.rows);
  await addProduct(target, left, left, { lowerOnly: true, pace });
  mirrorLower(product, left.rows);
  return product;
}

/**
 * Copies what lies below the diagonal to above it.
 *
 * @param matrix `[size, size]`, changed in place
 * @param size Its rows and columns
 */
export function mirrorLower(matrix: Float64Array | Float32Array, size: number): void {
  for (let top = 0; top < size; top += SQUARE) {
    for (let left = 0; left <= top; left += SQUARE) {
      for (let row = top; row < Math.min(top + SQUARE, size); row++) {
        for (let column = left; column < Math.min(left + SQUARE, row); column++) {
          matrix[column * size + row] = matrix[row * size + column];
        }
      }
    }
  }
}

/**
 * A matrix with rows and columns exchanged.
 *
 * @param matrix `[rows, columns]`
 * @param rows Its rows
 * @param columns Its columns
 * @returns `[columns, rows]`
 */
export function transpose(
  matrix: Float64Array | Float32Array,
  rows: number,
  columns: number,
): Float64Array {
  const result = new Float64Array(rows * columns);
  for (let top = 0; top < rows; top += SQUARE) {
    for (let left = 0; left < columns; left += SQUARE) {
      for (let row = top; row < Math.min(top + SQUARE, rows); row++) {
        for (let column = left; column < Math.min(left + SQUARE, columns); column++) {
          result[column * rows + row] = matrix[row * columns + column];
        }
      }
    }
  }
  return result;
}

/**
 * Some rows and columns of a matrix, in the order given.
 *
 * @param matrix `[?, stride]`
 * @param stride Its columns
 * @param rows Row numbers
 * @param columns Column numbers
 * @returns `[rows.length, columns.length]`
 */
export function take(
  matrix: Float64Array | Float32Array,
  stride: number,
  rows: ArrayLike<number>,
  columns: ArrayLike<number>,
): Float64Array {
  const result = new Float64Array(rows.length * columns.length);
  let position = 0;
  for (let row = 0; row < rows.length; row++) {
    const start = rows[row] * stride;
    for (let column = 0; column < columns.length; column++) {
      result[position++] = matrix[start + columns[column]];
    }
  }
  return result;
}

function roundUp(size: number, step: number): number {
  return Math.ceil(size / step) * step;
}

/** Copies rows into panels of `height` rows, so that a tile reads its operand from one end to the other. */
function pack(
  panel: Float64Array,
  source: Block,
  [firstRow, rows]: readonly [number, number],
  [firstColumn, depth]: readonly [number, number],
  height: number,
  factor: number,
): void {
  const { data, offset, stride } = source;
  const start = offset + firstRow * stride + firstColumn;
  for (let row = 0; row < rows; row++) {
    const from = start + row * stride;
    let to = (row - row % height) * depth + row % height;
    for (let column = 0; column < depth; column++, to += height) {
      panel[to] = factor * data[from + column];
    }
  }
  for (let row = rows; row % height !== 0; row++) {
    let to = (row - row % height) * depth + row % height;
    for (let column = 0; column < depth; column++, to += height) panel[to] = 0;
  }
}

const edge = new Float64Array(TILE_ROWS * TILE_COLUMNS);

function addPanels(
  target: Block,
  [firstRow, rows]: readonly [number, number],
  left: Float64Array,
  right: Float64Array,
  depth: number,
  lowerOnly: boolean,
): void {
  const { data, offset, stride } = target;
  const columns = lowerOnly ? Math.min(target.columns, firstRow + rows) : target.columns;
  for (let column = 0; column < columns; column += TILE_COLUMNS) {
    const width = Math.min(TILE_COLUMNS, target.columns - column);
    // The first tile that reaches down to the diagonal.
    const first = lowerOnly
      ? Math.max(0, column - firstRow - ((column - firstRow) % TILE_ROWS))
      : 0;
    for (let row = first; row < rows; row += TILE_ROWS) {
      const height = Math.min(TILE_ROWS, rows - row);
      const corner = offset + (firstRow + row) * stride + column;
      const at = [row * depth, column * depth] as const;
      // How far the tile's first row reaches before it is above the diagonal.
      const reach = lowerOnly ? firstRow + row - column + 1 : TILE_COLUMNS;
      if (height === TILE_ROWS && width === TILE_COLUMNS && reach >= width) {
        addTile(data, corner, stride, left, at[0], right, at[1], depth);
        continue;
      }
      edge.fill(0);
      addTile(edge, 0, TILE_COLUMNS, left, at[0], right, at[1], depth);
      for (let i = 0; i < height; i++) {
        const count = Math.min(width, reach + i);
        for (let j = 0; j < count; j++) data[corner + i * stride + j] += edge[i * TILE_COLUMNS + j];
      }
    }
  }
}

/** One tile: 12 sums of `depth` products each, with every number of the panels loaded once. */
function addTile(
  target: Float64Array,
  corner: number,
  stride: number,
  left: Float64Array,
  leftStart: number,
  right: Float64Array,
  rightStart: number,
  depth: number,
): void {
  let s00 = 0, s01 = 0, s02 = 0, s10 = 0, s11 = 0, s12 = 0;
  let s20 = 0, s21 = 0, s22 = 0, s30 = 0, s31 = 0, s32 = 0;
  const end = leftStart + depth * TILE_ROWS;
  for (let i = leftStart, j = rightStart; i < end; i += TILE_ROWS, j += TILE_COLUMNS) {
    const r0 = right[j], r1 = right[j + 1], r2 = right[j + 2];
    let l = left[i];
    s00 += l * r0;
    s01 += l * r1;
    s02 += l * r2;
    l = left[i + 1];
    s10 += l * r0;
    s11 += l * r1;
    s12 += l * r2;
    l = left[i + 2];
    s20 += l * r0;
    s21 += l * r1;
    s22 += l * r2;
    l = left[i + 3];
    s30 += l * r0;
    s31 += l * r1;
    s32 += l * r2;
  }
  let row = corner;
  target[row] += s00;
  target[row + 1] += s01;
  target[row + 2] += s02;
  row += stride;
  target[row] += s10;
  target[row + 1] += s11;
  target[row + 2] += s12;
  row += stride;
  target[row] += s20;
  target[row + 1] += s21;
  target[row + 2] += s22;
  row += stride;
  target[row] += s30;
  target[row + 1] += s31;
  target[row + 2] += s32;
}
