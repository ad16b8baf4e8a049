/**
 * The state of `obs` while units go: what is left of a projection and of the inverse of its Hessian.
 * @module
 */
import type { Pace } from "../linear/pace.ts";
import { addProduct, multiplyTransposed, part, transpose, whole } from "../linear/product.ts";

/** The channels of each unit: every channel of a layer is in exactly one. */
export type UnitChannels = readonly ArrayLike<number>[];

/** W and H⁻¹ of the channels that are still there. */
export class Remaining {
  /** Wᵀ, one row a channel, `[size, m]`. */
  readonly #weight: Float64Array;
  /** H⁻¹, kept up to date on and below its diagonal only; rows are `#stride` apart. */
  readonly #inverse: Float64Array;
  readonly #stride: number;
  readonly #m: number;
  /** Where each channel lies; -1 once it has gone. */
  readonly #place: Int32Array;
  /** Rows in use, those of removed channels among them until the next tidying. */
  #size: number;
  #removed = 0;

  /**
   * Starts with all channels.
   *
   * @param weight W, row-major, `[m, n]`
   * @param inverse H⁻¹, `[n, n]`; used up
   * @param n Channels
   */
  constructor(weight: Float32Array | Float64Array, inverse: Float64Array, n: number) {
    this.#m = weight.length / n;
    this.#weight = transpose(weight, this.#m, n);
    this.#inverse = inverse;
    this.#stride = n;
    this.#size = n;
    this.#place = range(n);
  }

  /**
   * Scores of units of one channel, ‖W_:j‖² / (H⁻¹)_jj.
   *
   * @param units Unit numbers, all of them still there
   * @param channels The channels of each unit
   * @returns A score for each of the units
   */
  channelScores(units: readonly number[], channels: UnitChannels): Float64Array {
    const energies = rowEnergies(
      this.#weight.subarray(0, this.#size * this.#m),
      this.#size,
      this.#m,
    );
    return Float64Array.from(units, (unit) => {
      const place = this.#place[channels[unit][0]];
      // Rounding can push a diagonal that is nearly zero below it.
      return energies[place] /
        Math.max(this.#inverse[place * (this.#stride + 1)], Number.MIN_VALUE);
    });
  }

  /**
   * Scores of units P of any size, tr(W_P [(H⁻¹)_PP]⁻¹ W_Pᵀ).
   *
   * @param units Unit numbers, all of them still there
   * @param channels The channels of each unit
   * @param pace Called between pieces of work
   * @returns A score for each of the units
   * @throws {CancelledError} if the pace throws it
   */
  async groupScores(
    units: readonly number[],
    channels: UnitChannels,
    pace: Pace,
  ): Promise<Float64Array> {
    const scores = new Float64Array(units.length);
    for (const [index, unit] of units.entries()) {
      const places = Array.from(channels[unit], (channel) => this.#place[channel]);
      scores[index] = (await this.#split(places, pace)).costs.reduce((a, b) => a + b, 0);
    }
    return scores;
  }

  /**
   * Removes channels P and refits the others: W ← W − W_P K⁻¹ (H⁻¹)_P:, H⁻¹ ← H⁻¹ − (H⁻¹)_:P K⁻¹ (H⁻¹)_P:, with
   * K = (H⁻¹)_PP = L Lᵀ.
   *
   * @param channels Channel numbers, all of them still there
   * @param pace Called between pieces of work
   * @returns What each costs after those before it
   * @throws {CancelledError} if the pace throws it
   */
  async remove(channels: readonly number[], pace: Pace): Promise<Float64Array> {
    const places = channels.map((channel) => this.#place[channel]);
    const { projected, lowerInverse, costs } = await this.#split(places, pace);
    const [size, m, p] = [this.#size, this.#m, places.length];
    const columns = new Float64Array(size * p);
    for (let row = 0, to = 0; row < size; row++) {
      for (const place of places) columns[to++] = this.#inverseAt(row, place);
    }
    const spread = await multiplyTransposed(
      whole(columns, size, p),
      whole(lowerInverse, p, p),
      pace,
    );
    const left = whole(spread, size, p);
    const right = whole(transpose(projected, p, m), m, p);
    await addProduct(whole(this.#weight, size, m), left, right, { factor: -1, pace });
    const inverse = part(this.#inverse, this.#stride, [0, size], [0, size]);
    await addProduct(inverse, left, left, { factor: -1, lowerOnly: true, pace });
    for (const channel of channels) this.#place[channel] = -1;
    this.#removed += p;
    if (this.#removed > size / 16) this.#tidy();
    return costs;
  }

  /** L⁻¹ of K = L Lᵀ, (W_P L⁻ᵀ)ᵀ `[p, m]`, and the energy of each of its rows. */
  async #split(places: readonly number[], pace: Pace) {
    const p = places.length;
    const square = new Float64Array(p * p);
    places.forEach((row, i) =>
      places.forEach((column, j) => square[i * p + j] = this.#inverseAt(row, column))
    );
    const lowerInverse = invertLower(square, p);
    const gathered = new Float64Array(p * this.#m);
    for (let i = 0; i < p; i++) {
      for (let row = 0; row < this.#m; row++) {
        gathered[row * p + i] = this.#weight[places[i] * this.#m + row];
      }
    }
    const lower = whole(lowerInverse, p, p);
    const projected = await multiplyTransposed(lower, whole(gathered, this.#m, p), pace);
    return { lowerInverse, projected, costs: rowEnergies(projected, p, this.#m) };
  }

  #inverseAt(row: number, column: number): number {
    return row >= column
      ? this.#inverse[row * this.#stride + column]
      : this.#inverse[column * this.#stride + row];
  }

  /** Moves what is left together. */
  #tidy(): void {
    const channels = Array.from(this.#place.keys())
      .filter((channel) => this.#place[channel] >= 0)
      .sort((a, b) => this.#place[a] - this.#place[b]);
    const places = channels.map((channel) => this.#place[channel]);
    places.forEach((from, to) => {
      this.#weight.copyWithin(to * this.#m, from * this.#m, (from + 1) * this.#m);
      for (let column = 0; column <= to; column++) {
        this.#inverse[to * this.#stride + column] =
          this.#inverse[from * this.#stride + places[column]];
      }
      this.#place[channels[to]] = to;
    });
    this.#size = places.length;
    this.#removed = 0;
  }
}

/** L⁻¹ of a small symmetric matrix K = L Lᵀ; pivots that rounding has eaten up are replaced by tiny ones. */
function invertLower(square: Float64Array, size: number): Float64Array {
  const floor = 1e-14 * diagonalSum(square, size) / size || Number.MIN_VALUE;
  const lower = Float64Array.from(square);
  const inverse = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = lower[row * size + column];
      for (let inner = 0; inner < column; inner++) {
        sum -= lower[row * size + inner] * lower[column * size + inner];
      }
      lower[row * size + column] = column < row
        ? sum / lower[column * size + column]
        : Math.sqrt(Math.max(sum, floor));
    }
    const pivot = 1 / lower[row * size + row];
    for (let inner = 0; inner < row; inner++) {
      const share = lower[row * size + inner] * pivot;
      for (let column = 0; column <= inner; column++) {
        inverse[row * size + column] -= share * inverse[inner * size + column];
      }
    }
    inverse[row * size + row] = pivot;
  }
  return inverse;
}

/**
 * The trace of a matrix.
 *
 * @param matrix `[n, n]`
 * @param n Its rows and columns
 * @returns The sum of its diagonal
 */
export function diagonalSum(matrix: Float32Array | Float64Array, n: number): number {
  let sum = 0;
  for (let index = 0; index < n; index++) sum += matrix[index * (n + 1)];
  return sum;
}

/**
 * The whole numbers below a count.
 *
 * @param count How many
 * @returns 0 to count - 1
 */
export function range(count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, index) => index);
}

/**
 * ‖row‖² of every row.
 *
 * @param matrix Row-major, `[rows, columns]`
 * @param rows Its rows
 * @param columns Its columns
 * @returns `[rows]`
 */
export function rowEnergies(matrix: Float64Array, rows: number, columns: number): Float64Array {
  const energies = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    const end = (row + 1) * columns;
    for (let at = row * columns; at < end; at++) sum += matrix[at] * matrix[at];
    energies[row] = sum;
  }
  return energies;
}
