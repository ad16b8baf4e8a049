/**
 * A block that runs whole texts on the card.
 * @module
 */
import { type BlockSums, checkHidden, emptySums } from "../checks.ts";
import type { Block, BlockSpecification } from "../types.ts";
import {
  attendWhole,
  attentionHalf,
  ffnHalf,
  headWidths,
  sendBlock,
  textsTogether,
} from "./block_parts.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import { type CardRows, OuterSum, regionOf, sendRows, sumRows, tightRows } from "./operations.ts";

/**
 * Prepares a block to run whole texts.
 *
 * @param context What the engine's parts share
 * @param specification The block
 * @returns The block; close it after use
 * @throws {GraphicsError} if the card has no room for it
 */
export async function openBlock(
  context: GraphicsContext,
  specification: BlockSpecification,
): Promise<Block> {
  const block = await sendBlock(context, specification);
  const { capture, architecture: { hiddenSize } } = specification;
  const runPart = async (hidden: Float32Array, batch: number, length: number): Promise<Part> => {
    const operations = { context, commands: new Commands(context) };
    const { commands } = operations;
    try {
      const input = sendRows(operations, hidden, hiddenSize);
      const sizes = { batch, length, past: 0 };
      const { heads, middle } = attentionHalf(operations, block, input, sizes, attendWhole);
      const gram = (columns: number) =>
        capture === "gram" ? new OuterSum(operations, columns, columns) : undefined;
      const grams = {
        ffn: gram(specification.shape.ffnWidth),
        heads: gram(headWidths(specification).queries),
      };
      const additions: Addition[] = [];
      const summed = (kind: keyof BlockSums, rows: CardRows) => {
        if (capture !== "sums" && capture !== "gram") return;
        const add = sumRows(operations, rows);
        additions.push((read, sums) => add(read, sums[kind]));
        grams[kind]?.add(rows, rows);
      };
      summed("heads", heads);
      const output = ffnHalf(operations, block, middle, (rows) => summed("ffn", rows));
      for (const kind of ["ffn", "heads"] as const) {
        const add = grams[kind]?.read();
        if (add !== undefined) additions.push((read, sums) => add(read, sums[kind].gram!));
      }
      const outputPlace = commands.read(regionOf(output));
      const middlePlace = capture === "middle" ? commands.read(regionOf(middle)) : undefined;
      const read = await commands.submit();
      return {
        hidden: tightRows(read[outputPlace], hiddenSize),
        middle: middlePlace === undefined ? undefined : tightRows(read[middlePlace], hiddenSize),
        addTo: (sums) => additions.forEach((add) => add(read, sums)),
      };
    } finally {
      commands.abandon();
    }
  };
  return {
    run: async (hidden, batch, length) => {
      checkHidden(hidden, batch, length, specification);
      const together = Math.min(batch, textsTogether(context, specification, length));
      const sums = capture === "sums" || capture === "gram"
        ? emptySums(specification, batch * length)
        : undefined;
      const parts: Part[] = [];
      const size = hidden.length / batch;
      await context.guard("run a decoder block", async () => {
        for (let first = 0; first < batch; first += together) {
          const last = Math.min(batch, first + together);
          const own = hidden.subarray(first * size, last * size);
          const part = await runPart(own, last - first, length);
          if (sums !== undefined) part.addTo(sums);
          parts.push(part);
        }
      });
      return {
        hidden: joined(parts.map((part) => part.hidden)),
        sums,
        middle: capture === "middle" ? joined(parts.map(({ middle }) => middle!)) : undefined,
      };
    },
    close: () => {
      block.close();
      return Promise.resolve();
    },
  };
}

type Addition = (read: readonly Float32Array[], sums: BlockSums) => void;

interface Part {
  readonly hidden: Float32Array;
  readonly middle?: Float32Array;
  readonly addTo: (sums: BlockSums) => void;
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
