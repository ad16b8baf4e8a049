/**
 * Least-squares fits of a block's closing projection on the card.
 * @module
 */
import type { Structure } from "../../model/types.ts";
import { checkHidden } from "../checks.ts";
import type { BlockSpecification, FitSums, FittingBlock, Stream } from "../types.ts";
import { attendWhole, attentionHalf, ffnHalf, textsTogether } from "./block_parts.ts";
import { type CardBlock, headWidths } from "./block_weights.ts";
import type { PooledBuffer } from "./buffers.ts";
import { CardFit } from "./card_fit.ts";
import { alignedParts, rowsOf } from "./card_stream.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import {
  type CardRows,
  type Operations,
  rowScales,
  scaled,
  sendRows,
  someRows,
  temporaryRows,
} from "./operations.ts";
import type { BlockUploads } from "./uploads.ts";

/**
 * Prepares a block for fitting one of its closing projections.
 *
 * @param context What the engine's parts share
 * @param uploads Where its weights come from
 * @param specification The block
 * @param structure Which projection: `o_proj` of `heads`, `down_proj` of `ffn`
 * @returns The block; close it after use
 * @throws {GraphicsError} if the card has no room for it
 */
export async function openFittingBlock(
  context: GraphicsContext,
  uploads: BlockUploads,
  specification: BlockSpecification,
  structure: Structure,
): Promise<FittingBlock> {
  const block = await uploads.open(specification);
  const { hiddenSize, norm: kind = "rms", normEpsilon: epsilon } = specification.architecture;
  const channels = structure === "ffn"
    ? specification.shape.ffnWidth
    : headWidths(specification).queries;
  const kept = new CardFit(context, hiddenSize, channels);
  /** Adds a batch to sums; scales are told by the first of a part's tokens, or made of what its stream should be. */
  const addBatch = async (
    fit: CardFit,
    [hidden, stream]: readonly [Stream, Stream],
    { batch, length }: { readonly batch: number; readonly length: number },
    { scales, bias }: Weighting,
  ) => {
    checkHidden(hidden, batch, length, specification);
    const together = Math.min(batch, textsTogether(context, specification, length));
    let token = 0;
    for (const [own, target] of await alignedParts(context, [hidden, stream], batch, together)) {
      const operations = { context, commands: new Commands(context) };
      try {
        const input = rowsOf(operations, own, hiddenSize);
        const wanted = rowsOf(operations, target, hiddenSize);
        const rows = {
          input,
          wanted,
          scales: scales === undefined
            ? undefined
            : sendScales(operations, scales.subarray(token, token + input.rows)),
          bias: bias && sendRows(operations, bias, hiddenSize).buffer,
        };
        const tokenScales = rows.scales ?? rowScales(operations, wanted, { kind, epsilon });
        writeFit(operations, block, fit, structure, { ...rows, length, scales: tokenScales });
        token += input.rows;
        await operations.commands.submit();
      } finally {
        operations.commands.abandon();
      }
    }
  };
  return {
    run: (hidden, batch, length, { stream, tokenScale }) =>
      context.guard("fit a decoder block", async () => {
        const fit = new CardFit(context, hiddenSize, channels);
        try {
          await addBatch(fit, [hidden, stream], { batch, length }, { scales: tokenScale });
          return await fit.take() as FitSums;
        } finally {
          fit.close();
        }
      }),
    add: async (hidden, batch, length, { stream, bias }) => {
      await context.guard(
        "fit a decoder block",
        () => addBatch(kept, [hidden, stream], { batch, length }, { bias }),
      );
      await context.pace();
    },
    takeSums: () => context.guard("read sums", () => kept.take()),
    close: () => {
      kept.close();
      block.close();
      return Promise.resolve();
    },
  };
}

interface Weighting {
  readonly scales?: Float32Array;
  readonly bias?: Float32Array;
}

/** Writes a fit down for some texts. */
function writeFit(
  operations: Operations,
  block: CardBlock,
  fit: CardFit,
  structure: Structure,
  { input, wanted, scales, bias, length }: {
    readonly input: CardRows;
    readonly wanted: CardRows;
    readonly scales: CardRows;
    readonly bias?: PooledBuffer;
    readonly length: number;
  },
): void {
  const sizes = { batch: input.rows / length, length, past: 0 };
  const half = attentionHalf(operations, block, input, sizes, attendWhole);
  const { heads, middle } = half;
  if (structure === "heads") {
    const target = scaled(operations, wanted, scales, input, bias);
    fit.add(operations, target, scaled(operations, heads, scales));
    return;
  }
  const output = temporaryRows(operations, middle.rows, block.architecture.hiddenSize);
  ffnHalf(operations, block, half, output, (rows, from) => {
    const own = (all: CardRows) => someRows(all, from, rows.rows);
    const target = scaled(operations, own(wanted), own(scales), own(middle), bias);
    fit.add(operations, target, scaled(operations, rows, own(scales)));
  });
}

/**
 * Sends one number a row.
 *
 * @param operations Where
 * @param scales The numbers
 * @returns Rows of one number
 */
export function sendScales(operations: Operations, scales: Float32Array): CardRows {
  const rows = sendRows(operations, scales, scales.length);
  return { ...rows, rows: scales.length, columns: 1 };
}
