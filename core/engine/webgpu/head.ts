/**
 * Final norm and output head on the card.
 * @module
 */
import { outerTensor } from "../../model/open.ts";
import type { Model } from "../../model/types.ts";
import { checkTargets } from "../checks.ts";
import type { Head } from "../types.ts";
import type { PooledBuffer } from "./buffers.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import { lossKernel } from "./kernels/rows.ts";
import {
  norm,
  type Operations,
  project,
  regionOf,
  sendRows,
  temporaryRows,
  tightRows,
} from "./operations.ts";
import { type CardMatrix, fours, Weights } from "./weights.ts";

/** Rows that go through the head together. */
const ROWS = 1024;

/**
 * Prepares final norm and output head.
 *
 * @param context What the engine's parts share
 * @param model The model
 * @returns The head; close it after use
 * @throws {GraphicsError} if the card has no room for it
 */
export async function openHead(context: GraphicsContext, model: Model): Promise<Head> {
  const weights = new Weights(context);
  const { hiddenSize, vocabularySize } = model.architecture;
  // Logits of a slice of the vocabulary are one binding.
  const slice = Math.floor(context.graphics.limits.maxStorageBufferBindingSize / (4 * ROWS));
  let parts: HeadParts;
  try {
    parts = await context.guard("send the output head to the card", async () => ({
      norm: await weights.vector(outerTensor(model, "finalNorm.weight")),
      weight: slicesOf(await weights.matrix([outerTensor(model, "outputHead.weight")], slice)),
    }));
  } catch (error) {
    weights.close();
    throw error;
  }
  const forEachChunk = async (
    hidden: Float32Array,
    run: (operations: Operations, chunk: Float32Array, from: number, to: number) => Promise<void>,
  ) => {
    const rows = hidden.length / hiddenSize;
    await context.guard("run the output head", async () => {
      for (let from = 0; from < rows; from += ROWS) {
        const to = Math.min(rows, from + ROWS);
        const operations = { context, commands: new Commands(context) };
        try {
          await run(operations, hidden.subarray(from * hiddenSize, to * hiddenSize), from, to);
        } finally {
          operations.commands.abandon();
        }
      }
    });
  };
  return {
    negativeLogLikelihoods: async (hidden, targets) => {
      checkTargets(hidden.length / hiddenSize, targets, vocabularySize);
      const losses = new Float32Array(targets.length);
      await forEachChunk(hidden, async (operations, chunk, from, to) => {
        losses.set(
          await chunkLosses(operations, model, parts, chunk, targets.slice(from, to)),
          from,
        );
      });
      return losses;
    },
    logits: async (hidden) => {
      const logits = new Float32Array(hidden.length / hiddenSize * vocabularySize);
      await forEachChunk(hidden, async (operations, chunk, from) => {
        await chunkLogits(operations, model, parts, chunk, (slice, numbers, row) => {
          logits.set(numbers, (from + row) * vocabularySize + slice);
        });
      });
      return logits;
    },
    close: () => {
      weights.close();
      return Promise.resolve();
    },
  };
}

interface HeadParts {
  readonly norm: PooledBuffer;
  /** Slices of the vocabulary, each with the first of its tokens. */
  readonly weight: readonly { readonly first: number; readonly matrix: CardMatrix }[];
}

/** Each slice of the vocabulary as a matrix of its own. */
function slicesOf(
  matrix: CardMatrix,
): readonly { readonly first: number; readonly matrix: CardMatrix }[] {
  return matrix.slices.map(({ buffer, firstRow, rows }) => ({
    first: firstRow,
    matrix: { ...matrix, rows, slices: [{ buffer, firstRow: 0, rows }] },
  }));
}

async function chunkLosses(
  operations: Operations,
  { architecture }: Model,
  { norm: normWeight, weight }: HeadParts,
  hidden: Float32Array,
  targets: Int32Array,
): Promise<Float32Array> {
  const { commands, context } = operations;
  const { hiddenSize, normEpsilon } = architecture;
  const input = sendRows(operations, hidden, hiddenSize);
  const wanted = commands.temporary(targets.length);
  context.graphics.device.queue.writeBuffer(wanted.buffer, 0, Uint32Array.from(targets));
  const normed = norm(operations, input, normWeight, normEpsilon);
  const state = temporaryRows(operations, targets.length, 4);
  for (const { first, matrix } of weight) {
    const logits = temporaryRows(operations, targets.length, matrix.rows);
    project(operations, normed, matrix, logits);
    commands.dispatch(
      lossKernel(),
      [
        regionOf(logits),
        { buffer: wanted.buffer, bytes: 4 * targets.length },
        regionOf(state),
      ],
      [matrix.rows, 4 * fours(matrix.rows), first],
      [targets.length, 1, 1],
    );
    commands.reuse(logits.buffer);
  }
  commands.read(regionOf(state));
  const [sums] = await commands.submit();
  return Float32Array.from(
    targets,
    (_, row) => sums[4 * row] + Math.log(sums[4 * row + 1]) - sums[4 * row + 2],
  );
}

async function chunkLogits(
  operations: Operations,
  { architecture }: Model,
  { norm: normWeight, weight }: HeadParts,
  hidden: Float32Array,
  place: (slice: number, numbers: Float32Array, row: number) => void,
): Promise<void> {
  const { commands } = operations;
  const { hiddenSize, normEpsilon } = architecture;
  const input = sendRows(operations, hidden, hiddenSize);
  const normed = norm(operations, input, normWeight, normEpsilon);
  for (const { matrix } of weight) {
    const logits = temporaryRows(operations, input.rows, matrix.rows);
    project(operations, normed, matrix, logits);
    commands.read(regionOf(logits));
    commands.reuse(logits.buffer);
  }
  const read = await commands.submit();
  for (const [slice, { first, matrix }] of weight.entries()) {
    const numbers = tightRows(read[slice], matrix.rows);
    for (let row = 0; row < input.rows; row++) {
      place(first, numbers.subarray(row * matrix.rows, (row + 1) * matrix.rows), row);
    }
  }
}
