/**
 * The state of `obs` while units go: what is left of the inverse of a projection's Hessian, and of the products of the
 * projection's columns.
 *
 * W itself is not needed: scores and costs ask for WᵀW alone. What a removal changes is first kept as thin factors, and
 * applied to few columns at a time; whole matrices follow when many channels have gone, in one product (as LAPACK's
 * pivoted Cholesky factorisation does: Hammarling, Higham and Lucas, "LAPACK-style codes for pivoted Cholesky and QR
 * updating", 2007).
 * @module
 */
import { discard } from "../linear/discard.ts";
import type { Pace } from "../linear/pace.ts";
import { type AddProduct, type Multiply, part, transpose, whole } from "../linear/product.ts";
import {
  copyColumns,
  diagonal,
  gather,
  moveTogether,
  rowsAt,
  subtractSquares,
  takeColumns,
} from "./obs_columns.ts";

/** The channels of each unit: every channel of a layer is in exactly one. */
export type UnitChannels = readonly ArrayLike<number>[];

/** What a layer's removals start from. */
export interface RemainingStart {
  /** H⁻¹, `[n, n]`, of which the lower half is looked at; used up. */
  readonly inverse: Float64Array;
  /** WᵀW, `[n, n]`, of which the lower half is looked at; used up. */
  readonly products: Float64Array;
  /** Channels. */
  readonly n: number;
}

/** What makes products while units go. */
export interface RemovalWork {
  /** Adds products to parts of matrices. */
  readonly add: AddProduct;
  /** Makes products. */
  readonly multiply: Multiply;
  /** Called between pieces of work. */
  readonly pace: Pace;
}

/** Channels that go before the whole matrices are brought up to date. */
const PENDING = 192;

/**
 * H⁻¹ and WᵀW of the channels that are still there.
 *
 * Channels P that go take (H⁻¹)_:P K⁻¹ (H⁻¹)_P: from H⁻¹ and W_P K⁻¹ (H⁻¹)_P: from W, with K = (H⁻¹)_PP = L Lᵀ. In
 * U = (H⁻¹)_:P L⁻ᵀ, A = (WᵀW)_:P L⁻ᵀ and B = L⁻¹ (WᵀW)_PP L⁻ᵀ this is H⁻¹ − U Uᵀ and, for the products,
 * WᵀW − A Uᵀ − U Aᵀ + U B Uᵀ = WᵀW − C Uᵀ − U Cᵀ with C = A − U B / 2. The diagonal of B is what they cost.
 */
export class Remaining {
  /** H⁻¹ without what is pending, on and below its diagonal only; rows are `#stride` apart. */
  readonly #inverse: Float64Array;
  /** WᵀW in the same way. */
  readonly #products: Float64Array;
  /** The diagonal of H⁻¹, up to date. */
  readonly #variances: Float64Array;
  /** The diagonal of WᵀW, ‖W_:j‖² of each channel, up to date. */
  readonly #energies: Float64Array;
  #stride: number;
  readonly #work: RemovalWork;
  /** Where each channel lies; -1 once it has gone. */
  readonly #place: Int32Array;
  /** Rows in use, those of removed channels among them until the next tidying. */
  #size: number;
  #removed = 0;
  /** U and C side by side, `[size, 2 · #room]`; zero where nothing is pending. */
  #factors: Float64Array;
  /** Channels for which there is room among the factors. */
  #room: number;
  /** Channels that have gone, and whose factors are pending. */
  #pending = 0;

  /**
   * Starts with all channels.
   *
   * @param start H⁻¹ and WᵀW
   * @param work What makes products
   */
  constructor({ inverse, products, n }: RemainingStart, work: RemovalWork) {
    this.#inverse = inverse;
    this.#products = products;
    this.#variances = diagonal(inverse, n);
    this.#energies = diagonal(products, n);
    this.#stride = n;
    this.#size = n;
    this.#place = range(n);
    this.#work = work;
    this.#room = Math.min(n, PENDING);
    this.#factors = new Float64Array(n * 2 * this.#room);
  }

  /**
   * Scores of units of one channel, ‖W_:j‖² / (H⁻¹)_jj.
   *
   * @param units Unit numbers, all of them still there
   * @param channels The channels of each unit
   * @returns A score for each of the units
   */
  channelScores(units: readonly number[], channels: UnitChannels): Float64Array {
    const [place, energies, variances] = [this.#place, this.#energies, this.#variances];
    const scores = new Float64Array(units.length);
    for (let index = 0; index < units.length; index++) {
      const at = place[channels[units[index]][0]];
      // Rounding can push what is nearly zero below it.
      scores[index] = Math.max(energies[at], 0) / Math.max(variances[at], Number.MIN_VALUE);
    }
    return scores;
  }

  /**
   * Scores of units P of any size, tr(W_P [(H⁻¹)_PP]⁻¹ W_Pᵀ).
   *
   * @param units Unit numbers, all of them still there
   * @param channels The channels of each unit
   * @returns A score for each of the units
   * @throws {CancelledError} if the pace throws it
   */
  async groupScores(units: readonly number[], channels: UnitChannels): Promise<Float64Array> {
    const { multiply, pace } = this.#work;
    await this.#catchUp();
    const scores = new Float64Array(units.length);
    for (const [index, unit] of units.entries()) {
      const places = Int32Array.from(channels[unit], (channel) => this.#place[channel]);
      const p = places.length;
      const inverse = gather(this.#inverse, this.#stride, places);
      const products = gather(this.#products, this.#stride, places);
      const lowerInverse = invertLower(inverse, p);
      const half = await multiply(whole(products, p, p), whole(lowerInverse, p, p), pace);
      // The trace of L⁻¹ (WᵀW)_PP L⁻ᵀ needs no more than the diagonal.
      for (let i = 0; i < p; i++) {
        for (let j = 0; j <= i; j++) scores[index] += lowerInverse[i * p + j] * half[j * p + i];
      }
    }
    return scores;
  }

  /**
   * Removes channels and refits the others.
   *
   * @param channels Channel numbers, all of them still there
   * @returns What each costs after those before it
   * @throws {CancelledError} if the pace throws it
   */
  async remove(channels: readonly number[]): Promise<Float64Array> {
    const { multiply, pace } = this.#work;
    const p = channels.length;
    await this.#makeRoom(p);
    const places = Int32Array.from(channels, (channel) => this.#place[channel]);
    const [size, room] = [this.#size, this.#room];
    const columns = await this.#columns(places);
    const lowerInverse = invertLower(rowsAt(columns, places, 2 * p, 0), p);
    const projected = await this.#project(lowerInverse, rowsAt(columns, places, 2 * p, p), p);
    const lower = whole(lowerInverse, p, p);
    const spread = await multiply(part(columns, 2 * p, [0, size], [0, p]), lower, pace);
    // C = [U, (WᵀW)_:P] [−B / 2, L⁻¹]ᵀ.
    copyColumns(spread, p, columns, 2 * p, size);
    const both = new Float64Array(p * 2 * p);
    for (let i = 0; i < p; i++) {
      for (let j = 0; j < p; j++) {
        both[i * 2 * p + j] = -projected[i * p + j] / 2;
        both[i * 2 * p + p + j] = lowerInverse[i * p + j];
      }
    }
    const mixed = await multiply(whole(columns, size, 2 * p), whole(both, p, 2 * p), pace);
    subtractSquares(this.#variances, spread, spread, size, 1);
    subtractSquares(this.#energies, spread, mixed, size, 2);
    const width = 2 * room;
    copyColumns(spread, p, this.#factors.subarray(this.#pending), width, size);
    copyColumns(mixed, p, this.#factors.subarray(this.#pending + room), width, size);
    // Some megabytes a step, of thousands of steps: the garbage collector lets many of them lie.
    discard(columns, spread, mixed);
    for (const channel of channels) this.#place[channel] = -1;
    this.#pending += p;
    return Float64Array.from({ length: p }, (_, i) => Math.max(0, projected[i * (p + 1)]));
  }

  /** B = L⁻¹ (WᵀW)_PP L⁻ᵀ. */
  async #project(
    lowerInverse: Float64Array,
    products: Float64Array,
    p: number,
  ): Promise<Float64Array> {
    const { multiply, pace } = this.#work;
    const lower = whole(lowerInverse, p, p);
    // (WᵀW)_PP is symmetric, so that its rows are its columns.
    const half = await multiply(whole(products, p, p), lower, pace);
    return await multiply(lower, whole(transpose(half, p, p), p, p), pace);
  }

  /** Columns of H⁻¹ and of WᵀW side by side, up to date, `[size, 2 · places]`. */
  async #columns(places: Int32Array): Promise<Float64Array> {
    const { add, pace } = this.#work;
    const [size, room, p] = [this.#size, this.#room, places.length];
    const columns = new Float64Array(size * 2 * p);
    takeColumns(this.#inverse, this.#stride, places, columns, size);
    takeColumns(this.#products, this.#stride, places, columns.subarray(p), size);
    if (this.#pending === 0) return columns;
    const width = 2 * room;
    const right = new Float64Array(2 * p * width);
    places.forEach((place, i) => {
      const u = this.#factors.subarray(place * width, place * width + room);
      const c = this.#factors.subarray(place * width + room, (place + 1) * width);
      right.set(u, i * width);
      right.set(c, (p + i) * width);
      right.set(u, (p + i) * width + room);
    });
    await add(
      whole(columns, size, 2 * p),
      whole(this.#factors.subarray(0, size * width), size, width),
      whole(right, 2 * p, width),
      { factor: -1, pace },
    );
    return columns;
  }

  /** Sees that there is room for the factors of some more channels. */
  async #makeRoom(channels: number): Promise<void> {
    if (this.#pending + channels <= this.#room) return;
    await this.#catchUp();
    if (channels <= this.#room) return;
    this.#room = channels;
    this.#factors = new Float64Array(this.#size * 2 * channels);
  }

  /** Brings the whole matrices up to date. */
  async #catchUp(): Promise<void> {
    if (this.#pending === 0) return;
    this.#removed += this.#pending;
    this.#pending = 0;
    if (this.#removed > this.#size / 16) this.#tidy();
    const { add, pace } = this.#work;
    const [size, room] = [this.#size, this.#room];
    const width = 2 * room;
    const used = this.#factors.subarray(0, size * width);
    const swapped = new Float64Array(used.length);
    for (let at = 0; at < used.length; at += width) {
      swapped.set(used.subarray(at, at + room), at + room);
      swapped.set(used.subarray(at + room, at + width), at);
    }
    const options = { factor: -1, lowerOnly: true, pace };
    const square = [0, size] as const;
    const spread = part(used, width, square, [0, room]);
    await add(part(this.#inverse, this.#stride, square, square), spread, spread, options);
    const products = part(this.#products, this.#stride, square, square);
    const [left, right] = [whole(used, size, width), whole(swapped, size, width)];
    await add(products, left, right, options);
    discard(swapped);
    used.fill(0);
  }

  /** Moves what is left together, rows of fewer columns too: so it takes fewer pages of memory. */
  #tidy(): void {
    const channels = Array.from(this.#place.keys())
      .filter((channel) => this.#place[channel] >= 0)
      .sort((a, b) => this.#place[a] - this.#place[b]);
    const places = Int32Array.from(channels, (channel) => this.#place[channel]);
    moveTogether(this.#inverse, this.#stride, places);
    moveTogether(this.#products, this.#stride, places);
    this.#stride = places.length;
    const width = 2 * this.#room;
    places.forEach((from, to) => {
      this.#factors.copyWithin(to * width, from * width, (from + 1) * width);
      this.#variances[to] = this.#variances[from];
      this.#energies[to] = this.#energies[from];
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
