/**
 * Sums over tokens on the card. They add up over any number of batches, and are read when they are wanted.
 * @module
 */
import type { PooledBuffer } from "./buffers.ts";
import type { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import { productKernel, productWorkgroups } from "./kernels/product.ts";
import { elementWorkgroups, sumsKernel } from "./kernels/rows.ts";
import { type CardRows, type Operations, regionOf, tightRows } from "./operations.ts";
import { fours } from "./weights.ts";

/** Where sums get their buffers: so many float32 numbers each. */
export type Room = (numbers: number) => PooledBuffer;

/** Adds what the commands have read to totals. */
export type AddTo<Totals> = (read: readonly Float32Array[], totals: Totals) => void;

/** Totals of every channel. */
export interface ChannelTotals {
  /** Σ x. */
  readonly sum: Float64Array;
  /** Σ x². */
  readonly sumOfSquares: Float64Array;
}

/** Parts of the rows that are summed side by side; each is rounded by itself, and float64 adds them up. */
const PARTS = 32;

/** Σ x and Σ x² of every channel. */
export class RowSums {
  readonly #output: CardRows;
  #filled = false;

  /**
   * Takes room.
   *
   * @param room Where from
   * @param columns Channels
   */
  constructor(room: Room, columns: number) {
    const rows = 2 * PARTS;
    this.#output = { buffer: room(rows * 4 * fours(columns)), first: 0, rows, columns };
  }

  /**
   * Adds rows.
   *
   * @param operations Where
   * @param input x
   */
  add({ commands }: Operations, input: CardRows): void {
    const stride = fours(input.columns);
    const accumulate = this.#filled ? 1 : 0;
    commands.dispatch(
      sumsKernel(),
      [regionOf(input), regionOf(this.#output)],
      [stride, input.rows, Math.ceil(input.rows / PARTS), accumulate],
      elementWorkgroups(stride, PARTS),
    );
    this.#filled = true;
  }

  /**
   * Asks for the sums.
   *
   * @param commands Where
   * @returns What adds them to totals
   */
  read(commands: Commands): AddTo<ChannelTotals> {
    const place = commands.read(regionOf(this.#output));
    const { columns } = this.#output;
    const stride = 4 * fours(columns);
    return (read, { sum, sumOfSquares }) => {
      for (let part = 0; part < PARTS; part++) {
        for (let channel = 0; channel < columns; channel++) {
          sum[channel] += read[place][2 * part * stride + channel];
          sumOfSquares[channel] += read[place][(2 * part + 1) * stride + channel];
        }
      }
    };
  }
}

/** Σ a bᵀ over rows, in stripes of rows that a binding can hold. */
export class OuterSum {
  readonly #context: GraphicsContext;
  readonly #stripes: readonly CardRows[];
  readonly #rows: number;
  readonly #columns: number;
  #filled = false;

  /**
   * Takes room.
   *
   * @param context What the engine's parts share
   * @param room Where from
   * @param rows Numbers in a row of a
   * @param columns Numbers in a row of b
   */
  constructor(context: GraphicsContext, room: Room, rows: number, columns: number) {
    this.#context = context;
    this.#rows = rows;
    this.#columns = columns;
    const { maxStorageBufferBindingSize } = context.graphics.limits;
    const rowBytes = 16 * fours(columns);
    const stripe = 4 * Math.max(1, Math.floor(maxStorageBufferBindingSize / rowBytes / 4));
    this.#stripes = Array.from({ length: Math.ceil(rows / stripe) }, (_, index) => {
      const own = Math.min(stripe, rows - index * stripe);
      return { buffer: room(own * 4 * fours(columns)), first: 0, rows: own, columns };
    });
  }

  /**
   * Adds rows.
   *
   * @param operations Where
   * @param left a, `[tokens, rows]`
   * @param right b, `[tokens, columns]`
   */
  add({ commands }: Operations, left: CardRows, right: CardRows): void {
    // Half of a Gram matrix is the mirror of the other, which only a matrix in one piece can show.
    const mirrored = left === right && this.#stripes.length === 1;
    let firstRow = 0;
    for (const stripe of this.#stripes) {
      const tile = this.#context.tile(stripe.rows, this.#columns);
      const kernel = productKernel({
        tile,
        kind: "outer",
        format: "f32",
        epilogue: { kind: "accumulate", mirrored },
        bias: false,
      });
      const strides = [fours(this.#rows), fours(this.#columns), fours(this.#columns)];
      const accumulate = this.#filled ? 1 : 0;
      commands.dispatch(
        kernel,
        [regionOf(left), regionOf(right), regionOf(stripe)],
        [stripe.rows, this.#columns, left.rows, ...strides, 0, firstRow / 4, accumulate],
        productWorkgroups(tile, stripe.rows, this.#columns),
        2 * left.rows * stripe.rows * this.#columns / (mirrored ? 2 : 1),
      );
      firstRow += stripe.rows;
    }
    this.#filled = true;
  }

  /**
   * Asks for the sum.
   *
   * @param commands Where
   * @returns What adds it to a total
   */
  read(commands: Commands): AddTo<Float32Array> {
    const places = this.#stripes.map((stripe) => commands.read(regionOf(stripe)));
    return (read, total) => {
      let at = 0;
      for (const place of places) {
        const numbers = tightRows(read[place], this.#columns);
        for (let index = 0; index < numbers.length; index++) total[at + index] += numbers[index];
        at += numbers.length;
      }
    };
  }
}
