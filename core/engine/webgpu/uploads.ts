/**
 * Weights on their way to the card: those of the next block are read, unpacked and sent while this one's commands run.
 * @module
 */
import { isView } from "../../model/tensor_reader.ts";
import type { Tensor } from "../../model/types.ts";
import { type BlockParts, type CardBlock, sendBlock } from "./block_weights.ts";
import type { GraphicsContext } from "./context.ts";
import { Weights } from "./weights.ts";

/**
 * Bytes of weights that are sent ahead at most: beside the weights in use, the card holds so many more and no more, and
 * the computer's memory one piece of 16 MiB. Larger blocks are sent when they are opened.
 */
export const aheadBytes = 1024 * 1024 * 1024;

interface Upload {
  readonly parts: BlockParts;
  readonly weights: Weights;
  /** The block; undefined where the card or the file refused, which opening it again will tell of. */
  readonly block: Promise<CardBlock | undefined>;
}

/** Sends weights of blocks, one of them ahead. */
export class BlockUploads {
  readonly #context: GraphicsContext;
  #next: Upload | undefined;
  #refused = false;

  /**
   * Starts with nothing on its way.
   *
   * @param context What the engine's parts share
   */
  constructor(context: GraphicsContext) {
    this.#context = context;
  }

  /**
   * Starts to send the block that will be opened next. Nothing is sent where it is too large, or where the card had no
   * room before; one that was announced earlier and never opened is dropped.
   *
   * @param parts The block
   */
  announce(parts: BlockParts): void {
    if (this.#next !== undefined && isSameBlock(this.#next.parts, parts)) return;
    this.#drop();
    if (this.#refused || this.#context.graphics.isLost() || bytesOf(parts) > aheadBytes) return;
    const { scope, reports } = ownScopes(this.#context);
    const weights = new Weights(this.#context, scope);
    const send = async () => {
      try {
        const block = await sendBlock(weights, parts);
        if ((await Promise.all(reports)).every((report) => report === null)) return block;
        // The card has no room for two blocks: what is asked for now goes before what may be asked for.
        this.#refused = true;
        block.close();
      } catch {
        // Opening the block meets the same trouble, and tells of it.
      }
      return undefined;
    };
    this.#next = { parts, weights, block: send() };
  }

  /**
   * Sends a block, or takes the one that was sent ahead.
   *
   * @param parts The block
   * @returns The block; close it after use
   * @throws {EngineError} if a tensor is missing or holds no floating-point numbers
   * @throws {GraphicsError} if the card has no room for it
   */
  async open(parts: BlockParts): Promise<CardBlock> {
    let block: CardBlock | undefined;
    try {
      return await this.#context.guard("send a block's weights to the card", async () => {
        return block = await this.#take(parts) ??
          await sendBlock(new Weights(this.#context), parts);
      });
    } catch (error) {
      block?.close();
      throw error;
    }
  }

  /** Drops what is on its way. */
  close(): void {
    this.#drop();
  }

  async #take(parts: BlockParts): Promise<CardBlock | undefined> {
    const next = this.#next;
    if (next === undefined || !isSameBlock(next.parts, parts)) return undefined;
    this.#next = undefined;
    return await next.block;
  }

  #drop(): void {
    this.#next?.weights.close();
    this.#next = undefined;
  }
}

/**
 * Error scopes of its own around every call: what is sent ahead runs between the commands of others, whose scopes are
 * open and must not hear of it.
 */
function ownScopes({ graphics: { device } }: GraphicsContext): {
  readonly scope: <T>(work: () => T) => T;
  readonly reports: readonly Promise<GPUError | null>[];
} {
  const reports: Promise<GPUError | null>[] = [];
  const kinds = ["validation", "internal", "out-of-memory"] as const;
  const scope = <T>(work: () => T): T => {
    for (const kind of kinds) device.pushErrorScope(kind);
    try {
      return work();
    } finally {
      for (const _ of kinds) reports.push(device.popErrorScope());
    }
  };
  return { scope, reports };
}

function bytesOf({ tensors }: BlockParts): number {
  return [...tensors.values()].reduce(
    (sum, tensor) => sum + (isView(tensor) ? tensor.byteLength : tensor.data.byteLength),
    0,
  );
}

function isSameBlock(a: BlockParts, b: BlockParts): boolean {
  const sizes = ["ffnWidth", "queryHeads", "keyValueHeads", "attention"] as const;
  return a.architecture === b.architecture &&
    sizes.every((size) => a.shape[size] === b.shape[size]) &&
    a.tensors.size === b.tensors.size &&
    [...a.tensors].every(([role, tensor]) => isSameTensor(tensor, b.tensors.get(role)));
}

/** Views are made anew for every reader; what they are views of says whether they are the same. */
function isSameTensor(a: Tensor, b: Tensor | undefined): boolean {
  if (a === b) return true;
  return b !== undefined && isView(a) && isView(b) && a.path === b.path && a.name === b.name &&
    a.offset === b.offset && a.byteLength === b.byteLength;
}
