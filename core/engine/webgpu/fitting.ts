/**
 * Least-squares fits on the card: of a block's closing projection, and of one normed stream to another.
 * @module
 */
import type { Architecture, Structure, Tensor } from "../../model/types.ts";
import { checkHidden } from "../checks.ts";
import type { BlockSpecification, FitSums, FittingBlock, StreamFit } from "../types.ts";
import { attendWhole, attentionHalf, ffnHalf, textsTogether } from "./block_parts.ts";
import { headWidths } from "./block_weights.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import {
  type CardRows,
  norm,
  type Operations,
  scaled,
  sendRows,
  someRows,
  temporaryRows,
} from "./operations.ts";
import { type ChannelTotals, OuterSum, RowSums } from "./sums.ts";
import type { BlockUploads } from "./uploads.ts";
import { type CardNorm, fours, Weights } from "./weights.ts";

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
  const { hiddenSize } = specification.architecture;
  const channels = structure === "ffn"
    ? specification.shape.ffnWidth
    : headWidths(specification).queries;
  return {
    run: async (hidden, batch, length, { stream, tokenScale }) => {
      checkHidden(hidden, batch, length, specification);
      const total = emptyFit(hiddenSize, channels);
      const together = Math.min(batch, textsTogether(context, specification, length));
      const size = hidden.length / batch;
      await context.guard("fit a decoder block", async () => {
        for (let first = 0; first < batch; first += together) {
          const last = Math.min(batch, first + together);
          const operations = { context, commands: new Commands(context) };
          const part = (numbers: Float32Array, each: number) =>
            numbers.subarray(first * each, last * each);
          await withFit(operations, total, (fit) => {
            const input = sendRows(operations, part(hidden, size), hiddenSize);
            const wanted = sendRows(operations, part(stream, size), hiddenSize);
            const scales = sendScales(operations, part(tokenScale, length));
            const sizes = { batch: last - first, length, past: 0 };
            const half = attentionHalf(operations, block, input, sizes, attendWhole);
            const { heads, middle } = half;
            if (structure === "heads") {
              fit.add(scaled(operations, wanted, scales, input), scaled(operations, heads, scales));
              return;
            }
            const output = temporaryRows(operations, middle.rows, hiddenSize);
            ffnHalf(operations, block, half, output, (rows, from) => {
              const own = (all: CardRows) => someRows(all, from, rows.rows);
              fit.add(
                scaled(operations, own(wanted), own(scales), own(middle)),
                scaled(operations, rows, own(scales)),
              );
            });
          });
        }
      });
      return finished(total);
    },
    close: () => {
      block.close();
      return Promise.resolve();
    },
  };
}

/**
 * Prepares the fit of normed streams.
 *
 * @param context What the engine's parts share
 * @param architecture The model's description
 * @param weight The norm's weight, `[hidden]`
 * @param bias The norm's bias, `[hidden]`, if it has one
 * @returns The fit; close it after use
 * @throws {GraphicsError} if the card has no room for it
 */
export async function openStreamFit(
  context: GraphicsContext,
  architecture: Architecture,
  weight: Tensor,
  bias?: Tensor,
): Promise<StreamFit> {
  const { hiddenSize } = architecture;
  const weights = new Weights(context);
  let cardNorm: CardNorm;
  try {
    const send = () => weights.norm(architecture, weight, bias);
    cardNorm = await context.guard("send a norm to the card", send);
  } catch (error) {
    weights.close();
    throw error;
  }
  const { maxStorageBufferBindingSize } = context.graphics.limits;
  const together = Math.min(
    65_535,
    Math.floor(maxStorageBufferBindingSize / (16 * fours(hiddenSize))),
  );
  return {
    run: async (now, wanted, tokenScale) => {
      const total = emptyFit(hiddenSize, hiddenSize);
      await context.guard("fit a stream", async () => {
        for (let first = 0; first < tokenScale.length; first += together) {
          const operations = { context, commands: new Commands(context) };
          const last = Math.min(tokenScale.length, first + together);
          const part = (numbers: Float32Array) =>
            sendRows(
              operations,
              numbers.subarray(first * hiddenSize, last * hiddenSize),
              hiddenSize,
            );
          await withFit(operations, total, (fit) => {
            const [input, target] = [part(now), part(wanted)];
            const scales = sendScales(operations, tokenScale.subarray(first, last));
            const normed = (rows: CardRows) =>
              scaled(operations, norm(operations, rows, cardNorm), scales);
            fit.add(normed(target), normed(input));
          });
        }
      });
      return finished(total);
    },
    close: () => {
      weights.close();
      return Promise.resolve();
    },
  };
}

/** Sums that are still being added up. */
interface Fit {
  readonly gram: Float32Array;
  readonly cross: Float32Array;
  readonly target: ChannelTotals;
}

interface FitParts {
  /** Adds targets and inputs. */
  add(target: CardRows, input: CardRows): void;
}

/** Lets work be written down that adds to a fit, sends it, and adds what comes back to the total. */
async function withFit(
  operations: Operations,
  total: Fit,
  write: (parts: FitParts) => void,
): Promise<void> {
  const { commands } = operations;
  const outputs = total.target.sum.length;
  const channels = total.cross.length / outputs;
  try {
    // Room for the sums is taken after the numbers were sent: what is sent must not meet what is in use.
    let sums: FitRoom | undefined;
    write({
      add: (target, input) => {
        sums ??= fitRoom(operations, outputs, channels);
        sums.gram.add(operations, input, input);
        sums.cross.add(operations, target, input);
        sums.energy.add(operations, target);
      },
    });
    const gram = sums!.gram.read(commands);
    const cross = sums!.cross.read(commands);
    const energy = sums!.energy.read(commands);
    const read = await commands.submit();
    gram(read, total.gram);
    cross(read, total.cross);
    energy(read, total.target);
  } finally {
    commands.abandon();
  }
}

interface FitRoom {
  readonly gram: OuterSum;
  readonly cross: OuterSum;
  readonly energy: RowSums;
}

function fitRoom(
  { context, commands }: Operations,
  outputs: number,
  channels: number,
): FitRoom {
  const room = (numbers: number) => commands.temporary(numbers);
  return {
    gram: new OuterSum(context, room, channels, channels),
    cross: new OuterSum(context, room, outputs, channels),
    energy: new RowSums(room, outputs),
  };
}

function sendScales(operations: Operations, scales: Float32Array): CardRows {
  const rows = sendRows(operations, scales, scales.length);
  // One number a row: rows of it are numbers.
  return { ...rows, rows: scales.length, columns: 1 };
}

function emptyFit(outputs: number, channels: number): Fit {
  return {
    gram: new Float32Array(channels * channels),
    cross: new Float32Array(outputs * channels),
    target: { sum: new Float64Array(outputs), sumOfSquares: new Float64Array(outputs) },
  };
}

function finished({ gram, cross, target }: Fit): FitSums {
  return {
    gram,
    cross,
    targetEnergy: target.sumOfSquares.reduce((sum, energy) => sum + energy, 0),
  };
}
