/**
 * Final norm and output head on the card.
 * @module
 */
import { outerTensor } from "../../model/open.ts";
import type { Model, Tensor } from "../../model/types.ts";
import { checkTargets } from "../checks.ts";
import type { Head, Stream } from "../types.ts";
import { joined, streamParts } from "./card_stream.ts";
import { Commands, type Region } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import type { Epilogue } from "./kernels/product.ts";
import { lossKernel } from "./kernels/rows.ts";
import {
  type CardRows,
  norm,
  type Operations,
  project,
  regionOf,
  sendRows,
  someRows,
  temporaryRows,
  tightRows,
} from "./operations.ts";
import { type CardMatrix, type CardNorm, fours, Weights } from "./weights.ts";

/** Rows that go through the head together. */
const ROWS = 1024;

/**
 * Prepares final norm and output head.
 *
 * @param context What the engine's parts share
 * @param model The model
 * @param finalNorm Another weight for the final norm, `[hidden]`. Default: the model's own
 * @returns The head; close it after use
 * @throws {GraphicsError} if the card has no room for it
 */
export async function openHead(
  context: GraphicsContext,
  model: Model,
  finalNorm: Tensor = outerTensor(model, "finalNorm.weight"),
): Promise<Head> {
  const weights = new Weights(context);
  const { hiddenSize, vocabularySize } = model.architecture;
  // Logits of a slice of the vocabulary are one binding.
  const slice = Math.floor(context.graphics.limits.maxStorageBufferBindingSize / (4 * ROWS));
  let parts: HeadParts;
  try {
    parts = await context.guard("send the output head to the card", async () => ({
      norm: await weights.norm(model.architecture, finalNorm, finalNormBias(model)),
      weight: slicesOf(await weights.matrix([outerTensor(model, "outputHead.weight")], slice)),
    }));
  } catch (error) {
    weights.close();
    throw error;
  }
  /** Writes the head down for chunks of rows that follow each other, sends all of them, and waits once. */
  const forEachChunk = async (
    hidden: Stream,
    write: (operations: Operations, chunk: CardRows, from: number) => void,
  ): Promise<readonly Float32Array[]> =>
    await context.guard("run the output head", async () => {
      const [{ source }] = await streamParts(context, hidden, 1, 1);
      const operations = { context, commands: new Commands(context) };
      try {
        const input = source instanceof Float32Array
          ? sendRows(operations, source, hiddenSize)
          : source;
        for (let from = 0; from < input.rows; from += ROWS) {
          write(operations, someRows(input, from, Math.min(ROWS, input.rows - from)), from);
        }
        return await operations.commands.submit();
      } finally {
        operations.commands.abandon();
      }
    });
  return {
    negativeLogLikelihoods: async (hidden, targets) => {
      checkTargets(hidden.length / hiddenSize, targets, vocabularySize);
      if (targets.length === 0) return new Float32Array(0);
      const wanted = context.pool.acquire(4 * targets.length);
      try {
        context.graphics.device.queue.writeBuffer(wanted.buffer, 0, Uint32Array.from(targets));
        const read = await forEachChunk(hidden, (operations, chunk, from) => {
          const own = { buffer: wanted.buffer, offset: 4 * from, bytes: 4 * chunk.rows };
          writeLosses(operations, model, parts, chunk, own);
        });
        const sums = joined(read);
        return Float32Array.from(
          targets,
          (_, row) => sums[4 * row] + Math.log(sums[4 * row + 1]) - sums[4 * row + 2],
        );
      } finally {
        context.pool.release(wanted);
      }
    },
    logits: async (hidden) => {
      const logits = new Float32Array(hidden.length / hiddenSize * vocabularySize);
      const places: { readonly first: number; readonly columns: number; readonly row: number }[] =
        [];
      const read = await forEachChunk(hidden, (operations, chunk, row) => {
        writeLogits(operations, model, parts, chunk);
        for (const { first, matrix } of parts.weight) {
          places.push({ first, columns: matrix.rows, row });
        }
      });
      for (const [index, { first, columns, row }] of places.entries()) {
        const numbers = tightRows(read[index], columns);
        for (let at = 0; at * columns < numbers.length; at++) {
          const own = numbers.subarray(at * columns, (at + 1) * columns);
          logits.set(own, (row + at) * vocabularySize + first);
        }
      }
      return logits;
    },
    close: () => {
      weights.close();
      return Promise.resolve();
    },
  };
}

/** The bias of the final norm, which a LayerNorm has. */
function finalNormBias(model: Model): Tensor | undefined {
  return model.architecture.norm === "layer" ? outerTensor(model, "finalNorm.bias") : undefined;
}

/** What happens to logits before anybody sees them. */
function logitEpilogue({ architecture: { logitSoftCap } }: Model): Epilogue {
  return logitSoftCap === undefined ? { kind: "plain" } : { kind: "capped", cap: logitSoftCap };
}

interface HeadParts {
  readonly norm: CardNorm;
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

/** Asks for what losses are made of, `[rows, 4]`: see {@linkcode lossKernel}. */
function writeLosses(
  operations: Operations,
  model: Model,
  { norm: normWeight, weight }: HeadParts,
  input: CardRows,
  targets: Region,
): void {
  const { commands } = operations;
  const normed = norm(operations, input, normWeight);
  const state = temporaryRows(operations, input.rows, 4);
  for (const { first, matrix } of weight) {
    const logits = temporaryRows(operations, input.rows, matrix.rows);
    project(operations, normed, matrix, logits, { epilogue: logitEpilogue(model) });
    commands.dispatch(
      lossKernel(),
      [regionOf(logits), targets, regionOf(state)],
      [matrix.rows, 4 * fours(matrix.rows), first],
      [input.rows, 1, 1],
    );
    commands.reuse(logits.buffer);
  }
  commands.reuse(normed.buffer);
  commands.read(regionOf(state));
}

/** Asks for logits, slice of the vocabulary by slice. */
function writeLogits(
  operations: Operations,
  model: Model,
  { norm: normWeight, weight }: HeadParts,
  input: CardRows,
): void {
  const { commands } = operations;
  const normed = norm(operations, input, normWeight);
  for (const { matrix } of weight) {
    const logits = temporaryRows(operations, input.rows, matrix.rows);
    project(operations, normed, matrix, logits, { epilogue: logitEpilogue(model) });
    commands.read(regionOf(logits));
    commands.reuse(logits.buffer);
  }
  commands.reuse(normed.buffer);
}
