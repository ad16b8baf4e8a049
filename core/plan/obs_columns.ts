/**
 * What `obs` copies between large matrices and thin ones. Loops over millions of numbers are functions of their own: V8
 * is slow with an object's fields inside of them.
 * @module
 */

/**
 * Copies columns of a symmetric matrix, of which the lower half is there, side by side.
 *
 * @param matrix Rows of `stride` numbers
 * @param stride From one row to the next
 * @param columns Which
 * @param target Rows of twice as many numbers, the first half of which is written
 * @param size Rows
 */
export function takeColumns(
  matrix: Float64Array,
  stride: number,
  columns: Int32Array,
  target: Float64Array,
  size: number,
): void {
  const step = 2 * columns.length;
  for (let index = 0; index < columns.length; index++) {
    const column = columns[index];
    let [to, from] = [index, column * stride];
    for (let row = 0; row < column; row++, to += step) target[to] = matrix[from++];
    // One column after the other, although each row is then met again: twice as fast as row after row.
    for (let row = column; row < size; row++, to += step, from += stride) target[to] = matrix[from];
  }
}

/**
 * Copies rows without gaps to the beginnings of longer rows.
 *
 * @param source `[rows, columns]`
 * @param columns Its columns
 * @param target Rows of `stride` numbers
 * @param stride From one row of the target to the next
 * @param rows Rows
 */
export function copyColumns(
  source: Float64Array,
  columns: number,
  target: Float64Array,
  stride: number,
  rows: number,
): void {
  for (let row = 0, from = 0; row < rows; row++) {
    const start = row * stride;
    for (let column = 0; column < columns; column++) target[start + column] = source[from++];
  }
}

/**
 * Takes factor · ⟨left, right⟩ of each row from a number of its own.
 *
 * @param target `[rows]`
 * @param left `[rows, columns]`
 * @param right `[rows, columns]`
 * @param rows Rows
 * @param factor What to multiply with
 */
export function subtractSquares(
  target: Float64Array,
  left: Float64Array,
  right: Float64Array,
  rows: number,
  factor: number,
): void {
  const columns = left.length / rows;
  for (let row = 0, at = 0; row < rows; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++, at++) sum += left[at] * right[at];
    target[row] -= factor * sum;
  }
}

/**
 * A square of some rows of a matrix: as many numbers of each as there are rows.
 *
 * @param matrix Rows of `stride` numbers
 * @param places Which rows
 * @param stride From one row to the next
 * @param offset The first column
 * @returns `[places, places]`
 */
export function rowsAt(
  matrix: Float64Array,
  places: Int32Array,
  stride: number,
  offset: number,
): Float64Array {
  const size = places.length;
  const square = new Float64Array(size * size);
  places.forEach((place, row) => {
    const start = place * stride + offset;
    square.set(matrix.subarray(start, start + size), row * size);
  });
  return square;
}

/**
 * Moves some rows and columns of a matrix' lower half to its beginning, so that there are no gaps.
 *
 * @param matrix Rows of `stride` numbers; afterwards of as many as there are places
 * @param stride From one row to the next
 * @param places Which rows and columns, in ascending order
 */
export function moveTogether(matrix: Float64Array, stride: number, places: Int32Array): void {
  for (let row = 0; row < places.length; row++) {
    const [from, to] = [places[row] * stride, row * places.length];
    for (let column = 0; column <= row; column++) {
      matrix[to + column] = matrix[from + places[column]];
    }
  }
}

/**
 * Some rows, and the same columns, of a symmetric matrix of which the lower half is there.
 *
 * @param matrix Rows of `stride` numbers
 * @param stride From one row to the next
 * @param places Which rows and columns
 * @returns `[places, places]`
 */
export function gather(matrix: Float64Array, stride: number, places: Int32Array): Float64Array {
  const result = new Float64Array(places.length ** 2);
  let to = 0;
  for (const row of places) {
    for (const column of places) {
      result[to++] = matrix[Math.max(row, column) * stride + Math.min(row, column)];
    }
  }
  return result;
}

/**
 * The diagonal of a matrix.
 *
 * @param matrix `[n, n]`
 * @param n Its rows and columns
 * @returns `[n]`
 */
export function diagonal(matrix: Float64Array, n: number): Float64Array {
  return Float64Array.from({ length: n }, (_, index) => matrix[index * (n + 1)]);
}
