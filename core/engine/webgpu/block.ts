/**
 * A block that runs whole texts on the card.
 * @module
 */
import { checkHidden, emptySums } from "../checks.ts";
import { closeStream } from "../streams.ts";
import type { Block, BlockOutput, BlockSpecification, Stream } from "../types.ts";
import { attendWhole, attentionHalf, ffnHalf, textsTogether } from "./block_parts.ts";
import type { CardBlock } from "./block_weights.ts";
import { CardSums, KeptSums } from "./block_sums.ts";
import {
  CardStream,
  joined,
  keptStream,
  lastingRows,
  rowsOf,
  type StreamPart,
  streamParts,
} from "./card_stream.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import {
  type CardRows,
  type Operations,
  regionOf,
  temporaryRows,
  tightRows,
} from "./operations.ts";
import type { BlockUploads } from "./uploads.ts";

/**
 * Prepares a block to run whole texts.
 *
 * @param context What the engine's parts share
 * @param uploads Where its weights come from
 * @param specification The block
 * @returns The block; close it after use
 * @throws {GraphicsError} if the card has no room for it
 */
export async function openBlock(
  context: GraphicsContext,
  uploads: BlockUploads,
  specification: BlockSpecification,
): Promise<Block> {
  const block = await uploads.open(specification);
  const kept = new KeptSums(context, specification);
  const parts = async (hidden: Stream, batch: number, length: number) => {
    checkHidden(hidden, batch, length, specification);
    const together = Math.min(batch, textsTogether(context, specification, length));
    return await streamParts(context, hidden, batch, together);
  };
  const keep = async (hidden: Stream, batch: number, length: number) => {
    const streams = await context.guard("run a decoder block", async () => {
      const work = {
        parts: await parts(hidden, batch, length),
        sums: kept.with(batch * length),
        middle: specification.capture === "middle",
      };
      return await keepParts(context, block, length, work);
    });
    try {
      await context.pace();
      return streams;
    } catch (error) {
      closeStream(streams.hidden);
      if (streams.middle !== undefined) closeStream(streams.middle);
      throw error;
    }
  };
  return {
    run: (hidden, batch, length) =>
      context.guard(
        "run a decoder block",
        async () =>
          await runParts(context, block, specification, await parts(hidden, batch, length)),
      ),
    keep: async (hidden, batch, length) => (await keep(hidden, batch, length)).hidden,
    ...(specification.capture === "middle"
      ? {
        keepMiddle: async (hidden: Stream, batch: number, length: number) => {
          const { middle, ...rest } = await keep(hidden, batch, length);
          return { ...rest, middle: middle! };
        },
      }
      : {}),
    takeSums: () => context.guard("read sums", () => kept.take()),
    close: () => {
      kept.close();
      block.close();
      return Promise.resolve();
    },
  };
}

/** Writes a block down for some texts, whose sums are added where there are such. */
function writeBlock(
  operations: Operations,
  block: CardBlock,
  input: CardRows,
  texts: number,
  target: { readonly output: CardRows; readonly middle?: CardRows },
  sums?: CardSums,
): CardRows {
  const sizes = { batch: texts, length: input.rows / texts, past: 0 };
  const half = attentionHalf(operations, block, input, sizes, attendWhole, target.middle);
  sums?.add(operations, "heads", half.heads);
  ffnHalf(operations, block, half, target.output, (rows) => sums?.add(operations, "ffn", rows));
  return half.middle;
}

async function runParts(
  context: GraphicsContext,
  block: CardBlock,
  specification: BlockSpecification,
  parts: readonly StreamPart[],
): Promise<BlockOutput> {
  const { capture, architecture: { hiddenSize } } = specification;
  const summing = capture === "sums" || capture === "gram";
  const totals = summing ? emptySums(specification, 0) : undefined;
  const hidden: Float32Array[] = [];
  const middles: Float32Array[] = [];
  let tokens = 0;
  for (const part of parts) {
    const operations = { context, commands: new Commands(context) };
    const { commands } = operations;
    try {
      const input = rowsOf(operations, part, hiddenSize);
      tokens += input.rows;
      const output = temporaryRows(operations, input.rows, hiddenSize);
      const sums = summing
        ? new CardSums(context, (numbers) => commands.temporary(numbers), specification)
        : undefined;
      const middle = writeBlock(operations, block, input, part.texts, { output }, sums);
      const outputPlace = commands.read(regionOf(output));
      const middlePlace = capture === "middle" ? commands.read(regionOf(middle)) : undefined;
      const add = sums?.read(commands);
      const read = await commands.submit();
      if (totals !== undefined) add?.(read, totals);
      hidden.push(tightRows(read[outputPlace], hiddenSize));
      if (middlePlace !== undefined) middles.push(tightRows(read[middlePlace], hiddenSize));
    } finally {
      commands.abandon();
    }
  }
  return {
    hidden: joined(hidden),
    sums: totals && { ffn: { ...totals.ffn, tokens }, heads: { ...totals.heads, tokens } },
    middle: capture === "middle" ? joined(middles) : undefined,
  };
}

/** Runs parts and leaves streams on the card. */
async function keepParts(
  context: GraphicsContext,
  block: CardBlock,
  length: number,
  { parts, sums, middle }: {
    readonly parts: readonly StreamPart[];
    readonly sums?: CardSums;
    readonly middle: boolean;
  },
): Promise<{ readonly hidden: Stream; readonly middle?: Stream }> {
  const { hiddenSize } = block.architecture;
  const outputs: CardRows[] = [];
  const middles: CardRows[] = [];
  try {
    for (const part of parts) {
      const operations = { context, commands: new Commands(context) };
      const room = (rows: CardRows[]) => {
        rows.push(lastingRows(context, part.texts * length, hiddenSize));
        return rows[rows.length - 1];
      };
      try {
        const input = rowsOf(operations, part, hiddenSize);
        const target = { output: room(outputs), middle: middle ? room(middles) : undefined };
        writeBlock(operations, block, input, part.texts, target, sums);
        await operations.commands.submit();
      } finally {
        operations.commands.abandon();
      }
    }
  } catch (error) {
    for (const rows of [outputs, middles]) new CardStream(context, rows).close();
    throw error;
  }
  const hidden = await keptStream(context, outputs);
  try {
    return { hidden, middle: middle ? await keptStream(context, middles) : undefined };
  } catch (error) {
    closeStream(hidden);
    throw error;
  }
}
