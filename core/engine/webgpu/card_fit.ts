/**
 * What a least-squares fit sums on the card: over the parts of one batch, or over all batches that are added.
 * @module
 */
import type { FitSums } from "../types.ts";
import type { PooledBuffer } from "./buffers.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import type { CardRows, Operations } from "./operations.ts";
import { OuterSum, RowSums } from "./sums.ts";

interface FitRoom {
  readonly gram: OuterSum;
  readonly cross: OuterSum;
  readonly energy: RowSums;
}

/** Σ x xᵀ, Σ t xᵀ and Σ ‖t‖², until they are taken. */
export class CardFit {
  readonly #context: GraphicsContext;
  readonly #outputs: number;
  readonly #channels: number;
  readonly #buffers: PooledBuffer[] = [];
  #room: FitRoom | undefined;

  /**
   * Starts without sums; room is taken when there is something to add.
   *
   * @param context What the engine's parts share
   * @param outputs Numbers in a target t
   * @param channels Numbers in an input x
   */
  constructor(context: GraphicsContext, outputs: number, channels: number) {
    this.#context = context;
    this.#outputs = outputs;
    this.#channels = channels;
  }

  /**
   * Adds rows.
   *
   * @param operations Where
   * @param target t of every row
   * @param input x of every row
   */
  add(operations: Operations, target: CardRows, input: CardRows): void {
    const { gram, cross, energy } = this.#room ??= this.#take();
    gram.add(operations, input, input);
    cross.add(operations, target, input);
    energy.add(operations, target);
  }

  /**
   * Reads the sums and forgets them.
   *
   * @returns The sums; undefined where nothing was added
   * @throws {GraphicsError} if the card was lost
   */
  async take(): Promise<FitSums | undefined> {
    const room = this.#room;
    if (room === undefined) return undefined;
    const gram = new Float32Array(this.#channels ** 2);
    const cross = new Float32Array(this.#outputs * this.#channels);
    const target = {
      sum: new Float64Array(this.#outputs),
      sumOfSquares: new Float64Array(this.#outputs),
    };
    const commands = new Commands(this.#context);
    try {
      const adders = {
        gram: room.gram.read(commands),
        cross: room.cross.read(commands),
        energy: room.energy.read(commands),
      };
      const read = await commands.submit();
      adders.gram(read, gram);
      adders.cross(read, cross);
      adders.energy(read, target);
    } finally {
      commands.abandon();
      this.close();
    }
    const targetEnergy = target.sumOfSquares.reduce((sum, energy) => sum + energy, 0);
    return { gram, cross, targetEnergy };
  }

  /** Gives the room back. */
  close(): void {
    for (const buffer of this.#buffers.splice(0)) this.#context.pool.release(buffer);
    this.#room = undefined;
  }

  #take(): FitRoom {
    const room = (numbers: number) => {
      const buffer = this.#context.pool.acquire(4 * numbers);
      this.#buffers.push(buffer);
      return buffer;
    };
    return {
      gram: new OuterSum(this.#context, room, this.#channels, this.#channels),
      cross: new OuterSum(this.#context, room, this.#outputs, this.#channels),
      energy: new RowSums(room, this.#outputs),
    };
  }
}
