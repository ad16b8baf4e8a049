/**
 * Residual streams that stay on the card between blocks.
 * @module
 */
import type { ResidentStream, Stream } from "../types.ts";
import { numbersOf } from "../streams.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import { type CardRows, type Operations, regionOf, sendRows, tightRows } from "./operations.ts";
import { fours } from "./weights.ts";

/** Bytes of streams that stay on the card; what is more goes back to the computer's memory. */
const RESIDENT_LIMIT = 1024 * 1024 * 1024;

/** A residual stream on the card: rows of tokens, in one buffer or, where they came from parts of a batch, in several. */
export class CardStream implements ResidentStream {
  /** What the engine's parts share. */
  readonly context: GraphicsContext;
  /** The rows, part after part. */
  readonly parts: readonly CardRows[];
  #open = true;

  /**
   * Takes rows over.
   *
   * @param context What the engine's parts share
   * @param parts Rows in buffers of the pool, which go back to it when the stream is closed
   */
  constructor(context: GraphicsContext, parts: readonly CardRows[]) {
    this.context = context;
    this.parts = parts;
    context.residentBytes += bytesOf(parts);
  }

  /** How many numbers it has. */
  get length(): number {
    return this.parts.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  }

  /**
   * Reads it.
   *
   * @returns Its numbers
   * @throws {GraphicsError} if the card was lost
   */
  async read(): Promise<Float32Array> {
    return await this.context.guard("read a residual stream", async () => {
      const commands = new Commands(this.context);
      try {
        for (const part of this.parts) commands.read(regionOf(part));
        const read = await commands.submit();
        return joined(read.map((numbers, index) => tightRows(numbers, this.parts[index].columns)));
      } finally {
        commands.abandon();
      }
    });
  }

  /** Frees its buffers. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.context.residentBytes -= bytesOf(this.parts);
    for (const { buffer } of this.parts) this.context.pool.release(buffer);
  }
}

/**
 * Room for rows that outlives the commands.
 *
 * @param context What the engine's parts share
 * @param rows How many rows
 * @param columns Numbers in a row
 * @returns The rows, whose buffer is to be given back
 */
export function lastingRows(context: GraphicsContext, rows: number, columns: number): CardRows {
  return { buffer: context.pool.acquire(rows * 16 * fours(columns)), first: 0, rows, columns };
}

/**
 * Makes a stream of rows, which is in the computer's memory where the card keeps enough already.
 *
 * @param context What the engine's parts share
 * @param parts Rows in buffers of the pool; they are the stream's from now on
 * @returns The stream
 */
export async function keptStream(
  context: GraphicsContext,
  parts: readonly CardRows[],
): Promise<Stream> {
  const stream = new CardStream(context, parts);
  if (context.residentBytes <= RESIDENT_LIMIT) return stream;
  try {
    return await stream.read();
  } finally {
    stream.close();
  }
}

/** Texts that go through a block together. */
export interface StreamPart {
  /** Where they are. */
  readonly source: Float32Array | CardRows;
  /** How many. */
  readonly texts: number;
}

/**
 * Cuts a stream into parts that a block can take.
 *
 * @param context What the engine's parts share
 * @param stream The stream
 * @param batch Texts in it
 * @param together Texts that the block can take at a time
 * @returns The parts; on the card where they are there in the right sizes
 */
export async function streamParts(
  context: GraphicsContext,
  stream: Stream,
  batch: number,
  together: number,
): Promise<readonly StreamPart[]> {
  if (stream instanceof CardStream && stream.context === context) {
    const tokens = stream.parts.reduce((sum, { rows }) => sum + rows, 0);
    const length = tokens / batch;
    const fits = stream.parts.every(({ rows }) => rows % length === 0 && rows / length <= together);
    if (fits) return stream.parts.map((source) => ({ source, texts: source.rows / length }));
  }
  const numbers = await numbersOf(stream);
  const size = numbers.length / batch;
  return Array.from({ length: Math.ceil(batch / together) }, (_, index) => {
    const first = index * together;
    const last = Math.min(batch, first + together);
    return { source: numbers.subarray(first * size, last * size), texts: last - first };
  });
}

/**
 * Cuts streams of the same texts into the same parts.
 *
 * @param context What the engine's parts share
 * @param streams The streams
 * @param batch Texts in each
 * @param together Texts that the block can take at a time
 * @returns For each part, that of every stream
 */
export async function alignedParts(
  context: GraphicsContext,
  streams: readonly Stream[],
  batch: number,
  together: number,
): Promise<readonly (readonly StreamPart[])[]> {
  let cut = await cutAll(context, streams, batch, together);
  const texts = (parts: readonly StreamPart[]) => parts.map(({ texts }) => texts).join();
  if (cut.some((parts) => texts(parts) !== texts(cut[0]))) {
    // Blocks of other widths may have cut a batch elsewhere.
    cut = await cutAll(context, await Promise.all(streams.map(numbersOf)), batch, together);
  }
  return cut[0].map((_, part) => cut.map((parts) => parts[part]));
}

async function cutAll(
  context: GraphicsContext,
  streams: readonly Stream[],
  batch: number,
  together: number,
): Promise<readonly (readonly StreamPart[])[]> {
  return await Promise.all(
    streams.map((stream) => streamParts(context, stream, batch, together)),
  );
}

/**
 * The rows of a part, sent to the card if they are not there.
 *
 * @param operations Where
 * @param part The part
 * @param hiddenSize Numbers in a row
 * @returns Rows
 */
export function rowsOf(
  operations: Operations,
  { source }: StreamPart,
  hiddenSize: number,
): CardRows {
  return source instanceof Float32Array ? sendRows(operations, source, hiddenSize) : source;
}

/**
 * Arrays one after the other.
 *
 * @param parts The arrays
 * @returns One array; the array itself where there is one alone
 */
export function joined(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0];
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function bytesOf(parts: readonly CardRows[]): number {
  return parts.reduce((sum, { buffer }) => sum + buffer.size, 0);
}
