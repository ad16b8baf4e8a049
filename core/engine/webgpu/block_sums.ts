/**
 * What a block sums on the card besides its output: of one run, or of all batches that it keeps.
 * @module
 */
import { emptySums } from "../checks.ts";
import type { BlockSpecification, BlockSums } from "../types.ts";
import { headWidths } from "./block_weights.ts";
import type { PooledBuffer } from "./buffers.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import type { CardRows, Operations } from "./operations.ts";
import { OuterSum, type Room, RowSums } from "./sums.ts";

/** Sums over the inputs of both closing projections. */
export class CardSums {
  readonly #channels: Readonly<Record<keyof BlockSums, RowSums>>;
  readonly #grams: Readonly<Record<keyof BlockSums, OuterSum>> | undefined;

  /**
   * Takes room.
   *
   * @param context What the engine's parts share
   * @param room Where from
   * @param specification The block; its capture is `sums` or `gram`
   */
  constructor(context: GraphicsContext, room: Room, specification: BlockSpecification) {
    const widths = { ffn: specification.shape.ffnWidth, heads: headWidths(specification).queries };
    const gram = (width: number) => new OuterSum(context, room, width, width);
    this.#channels = { ffn: new RowSums(room, widths.ffn), heads: new RowSums(room, widths.heads) };
    this.#grams = specification.capture === "gram"
      ? { ffn: gram(widths.ffn), heads: gram(widths.heads) }
      : undefined;
  }

  /**
   * Adds rows.
   *
   * @param operations Where
   * @param kind Inputs of which projection
   * @param rows The inputs
   */
  add(operations: Operations, kind: keyof BlockSums, rows: CardRows): void {
    this.#channels[kind].add(operations, rows);
    this.#grams?.[kind].add(operations, rows, rows);
  }

  /**
   * Asks for the sums.
   *
   * @param commands Where
   * @returns What adds them to totals
   */
  read(commands: Commands): (read: readonly Float32Array[], totals: BlockSums) => void {
    const parts = (["ffn", "heads"] as const).map((kind) => ({
      kind,
      channels: this.#channels[kind].read(commands),
      gram: this.#grams?.[kind].read(commands),
    }));
    return (read, totals) => {
      for (const { kind, channels, gram } of parts) {
        channels(read, totals[kind]);
        gram?.(read, totals[kind].gram!);
      }
    };
  }
}

/** Sums of the batches that a block keeps, until they are taken. */
export class KeptSums {
  readonly #context: GraphicsContext;
  readonly #specification: BlockSpecification;
  readonly #buffers: PooledBuffer[] = [];
  #sums: CardSums | undefined;
  #tokens = 0;

  /**
   * Starts without sums.
   *
   * @param context What the engine's parts share
   * @param specification The block
   */
  constructor(context: GraphicsContext, specification: BlockSpecification) {
    this.#context = context;
    this.#specification = specification;
  }

  /**
   * The sums that the next batch adds to.
   *
   * @param tokens Tokens of the batch
   * @returns The sums; undefined where the block reports none
   */
  with(tokens: number): CardSums | undefined {
    const { capture } = this.#specification;
    if (capture !== "sums" && capture !== "gram") return undefined;
    this.#tokens += tokens;
    const room: Room = (numbers) => {
      const buffer = this.#context.pool.acquire(4 * numbers);
      this.#buffers.push(buffer);
      return buffer;
    };
    return this.#sums ??= new CardSums(this.#context, room, this.#specification);
  }

  /**
   * Reads the sums and forgets them.
   *
   * @returns The sums; undefined where nothing was summed
   */
  async take(): Promise<BlockSums | undefined> {
    const sums = this.#sums;
    if (sums === undefined) return undefined;
    const totals = emptySums(this.#specification, this.#tokens);
    const commands = new Commands(this.#context);
    try {
      const add = sums.read(commands);
      add(await commands.submit(), totals);
    } finally {
      commands.abandon();
      this.close();
    }
    return totals;
  }

  /** Gives the room back. */
  close(): void {
    for (const buffer of this.#buffers.splice(0)) this.#context.pool.release(buffer);
    this.#sums = undefined;
    this.#tokens = 0;
  }
}
