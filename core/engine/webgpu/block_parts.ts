/**
 * A decoder block on the card: its two halves as operations.
 * @module
 */
import { GraphicsError } from "../../errors.ts";
import type { BlockSpecification } from "../types.ts";
import { type CardBlock, type CardProjection, headWidths } from "./block_weights.ts";
import type { PooledBuffer } from "./buffers.ts";
import type { GraphicsContext } from "./context.ts";
import {
  attentionKernel,
  type AttentionSettings,
  QUERIES,
  rotaryKernel,
} from "./kernels/attention.ts";
import {
  type CardRows,
  norm,
  normInto,
  normParts,
  type Operations,
  project,
  regionOf,
  someRows,
  temporaryRows,
} from "./operations.ts";
import { type CardNorm, fours } from "./weights.ts";

/** The sizes of one run. */
export interface RunSizes {
  /** Texts in the batch. */
  readonly batch: number;
  /** New tokens per text. */
  readonly length: number;
  /** Tokens per text in the cache. */
  readonly past: number;
}

/** How attention looks at queries, keys and values; what it gives are the inputs of `o_proj`. */
export type Attend = (
  operations: Operations,
  block: CardBlock,
  heads: CardRows,
  sizes: RunSizes,
) => CardRows;

/** What the first half of a block gives. */
export interface AttentionHalf {
  /** The residual stream before the block. */
  readonly hidden: CardRows;
  /** The inputs of `o_proj`. */
  readonly heads: CardRows;
  /** The residual stream between attention and FFN. */
  readonly middle: CardRows;
}

/**
 * The first half of a block: x + o_proj(attention(norm(x))), normed before it is added where the block does so.
 *
 * @param operations Where
 * @param block The block
 * @param hidden x
 * @param sizes Texts and tokens
 * @param attend How attention looks at them
 * @param target Where the stream between the halves goes; to rows until the commands are sent if absent
 * @returns What it gives, until the commands are sent
 */
export function attentionHalf(
  operations: Operations,
  block: CardBlock,
  hidden: CardRows,
  sizes: RunSizes,
  attend: Attend,
  target?: CardRows,
): AttentionHalf {
  const { commands, context } = operations;
  const { attention: { rotary }, attentionNorm, attentionPostNorm } = block;
  // Tables are sent before anything is written down: what is sent must not meet a buffer that is used twice.
  const tables = rotary && context.rotationTables(rotary, sizes.past + sizes.length);
  const normed = normedBy(operations, hidden, attentionNorm);
  const all = temporaryRows(operations, hidden.rows, headWidths(block).all);
  project(operations, normed, block.heads.weight, all, { bias: block.heads.bias });
  if (normed !== hidden) commands.reuse(normed.buffer);
  normQueriesAndKeys(operations, block, all);
  if (tables !== undefined) rotate(operations, block, all, sizes, tables);
  const heads = attend(operations, block, all, sizes);
  commands.reuse(all.buffer);
  const middle = target ??
    temporaryRows(operations, hidden.rows, block.architecture.hiddenSize);
  close(operations, block.output, heads, {
    residual: hidden,
    output: middle,
    norm: attentionPostNorm,
  });
  return { hidden, heads, middle };
}

function normedBy(operations: Operations, rows: CardRows, own: CardNorm | undefined): CardRows {
  return own === undefined ? rows : norm(operations, rows, own);
}

/** Each head by itself, or all heads together, where the block does so. */
function normQueriesAndKeys(operations: Operations, block: CardBlock, all: CardRows): void {
  const { architecture: { headSize, queryKeyNorm }, shape } = block;
  const { queries, keys } = headWidths(block);
  const parts = (first: number, heads: number, width: number) =>
    queryKeyNorm === "all-heads"
      ? { first, count: 1, size: width }
      : { first, count: heads, size: headSize };
  const { q_norm, k_norm } = block;
  if (q_norm !== undefined) {
    normParts(operations, all, parts(0, shape.queryHeads, queries), q_norm);
  }
  if (k_norm !== undefined) {
    normParts(operations, all, parts(queries, shape.keyValueHeads, keys), k_norm);
  }
}

function rotate(
  { commands }: Operations,
  { architecture: { headSize }, attention, shape }: CardBlock,
  all: CardRows,
  { past, length }: RunSizes,
  tables: PooledBuffer,
): void {
  const pairs = attention.rotary!.inverseFrequencies.length;
  const turned = shape.queryHeads + shape.keyValueHeads;
  commands.dispatch(
    rotaryKernel(headSize, pairs),
    [regionOf(all), { buffer: tables.buffer, bytes: 8 * (past + length) * pairs }],
    [turned, 4 * fours(all.columns), length, past],
    [Math.ceil(turned * pairs / 64), all.rows, 1],
  );
}

/** Adds a closing projection to the residual stream, normed first where there is a norm for it. */
function close(
  operations: Operations,
  { weight, bias }: CardProjection,
  input: CardRows,
  to: { readonly residual: CardRows; readonly output: CardRows; readonly norm?: CardNorm },
): void {
  if (to.norm === undefined) {
    const epilogue = { kind: "residual" } as const;
    project(operations, input, weight, to.output, { bias, other: to.residual, epilogue });
    return;
  }
  const given = temporaryRows(operations, to.output.rows, to.output.columns);
  project(operations, input, weight, given, { bias });
  normInto(operations, given, to.norm, to.output, to.residual);
  operations.commands.reuse(given.buffer);
}

/**
 * Attention of whole texts among their own tokens.
 *
 * @param operations Where
 * @param block The block
 * @param all Queries, keys and values
 * @param sizes Texts and tokens
 * @returns The inputs of `o_proj`, until the commands are sent
 */
export function attendWhole(
  operations: Operations,
  block: CardBlock,
  all: CardRows,
  { batch, length }: RunSizes,
): CardRows {
  const { shape, attention: { window = length } } = block;
  const { queries, keys } = headWidths(block);
  const output = outputRows(operations, all.rows, queries);
  const stride = 4 * fours(all.columns);
  operations.commands.dispatch(
    attentionKernel(attentionSettings(block)),
    [regionOf(all), regionOf(all), regionOf(output)],
    [
      length,
      0,
      shape.queryHeads / shape.keyValueHeads,
      stride,
      stride,
      length,
      queries,
      queries + keys,
      4 * fours(queries),
    ],
    [Math.ceil(length / QUERIES), shape.queryHeads, batch],
    2 * queries * batch * length * Math.min(length, 2 * window),
  );
  return output;
}

/**
 * What decides how a block's attention is computed.
 *
 * @param block The block
 * @returns Settings of its kernel
 */
export function attentionSettings({ architecture, attention }: CardBlock): AttentionSettings {
  const { headSize, attentionScale, attentionSoftCap } = architecture;
  return {
    headSize,
    slidingWindow: attention.window,
    scale: attentionScale ?? 1 / Math.sqrt(headSize),
    softCap: attentionSoftCap,
  };
}

/**
 * Room for what attention gives. Attention writes heads alone, so that what fills a row up has to be cleared.
 *
 * @param operations Where
 * @param rows Tokens
 * @param columns Channels of all query heads
 * @returns The rows, until the commands are sent
 */
export function outputRows(operations: Operations, rows: number, columns: number): CardRows {
  const output = temporaryRows(operations, rows, columns);
  if (columns % 4 !== 0) operations.commands.clear(regionOf(output));
  return output;
}

/**
 * The second half of a block: y + down_proj(act(gate_proj(norm(y))) * up_proj(norm(y))). Without a gate, the activation
 * is that of up_proj; with a parallel residual, the FFN reads the stream before the block. It goes in parts where its
 * inner rows are too large for one binding.
 *
 * @param operations Where
 * @param block The block
 * @param half What the first half gave; its middle is y
 * @param output Where the residual stream after the block goes
 * @param onInput Called with the inputs of `down_proj` for each part, and the part's first row
 */
export function ffnHalf(
  operations: Operations,
  block: CardBlock,
  { hidden, middle }: Omit<AttentionHalf, "heads">,
  output: CardRows,
  onInput?: (input: CardRows, first: number) => void,
): void {
  const { commands, context } = operations;
  const read = block.architecture.parallelResidual ? hidden : middle;
  const together = rowsTogether(context, block.shape.ffnWidth);
  for (let first = 0; first < middle.rows; first += together) {
    const own = (rows: CardRows) => someRows(rows, first, Math.min(together, middle.rows - first));
    const normed = normedBy(operations, own(read), block.ffnNorm);
    const input = openedBy(operations, block, normed);
    if (block.ffnNorm !== undefined) commands.reuse(normed.buffer);
    onInput?.(input, first);
    close(operations, block.down, input, {
      residual: own(middle),
      output: own(output),
      norm: block.ffnPostNorm,
    });
    commands.reuse(input.buffer);
  }
}

/** The inputs of `down_proj`. */
function openedBy(operations: Operations, block: CardBlock, normed: CardRows): CardRows {
  const { architecture: { activation }, shape: { ffnWidth }, gate, up } = block;
  const opened = gate && temporaryRows(operations, normed.rows, ffnWidth);
  if (gate !== undefined) {
    project(operations, normed, gate.weight, opened!, { bias: gate.bias });
  }
  const input = temporaryRows(operations, normed.rows, ffnWidth);
  project(operations, normed, up.weight, input, {
    bias: up.bias,
    other: opened,
    epilogue: { kind: opened === undefined ? "activated" : "gated", activation },
  });
  if (opened !== undefined) operations.commands.reuse(opened.buffer);
  return input;
}

/** Rows of so many numbers that one binding can hold, a multiple of 64 so that parts start where bindings may. */
function rowsTogether({ graphics: { limits } }: GraphicsContext, columns: number): number {
  const rows = Math.floor(limits.maxStorageBufferBindingSize / (16 * fours(columns)));
  return Math.max(64, Math.floor(rows / 64) * 64);
}

/** Tokens of one part: each is a workgroup of some kernels, along an axis that holds 65,535 by the standard. */
const TOKENS_LIMIT = 65_535;

/**
 * How many texts of a length go into one run.
 *
 * @param context What the engine's parts share
 * @param specification The block
 * @param length Tokens per text
 * @returns At least one
 * @throws {GraphicsError} if a single text is too long for the card
 */
export function textsTogether(
  { graphics: { limits, name } }: GraphicsContext,
  specification: Pick<BlockSpecification, "architecture" | "shape">,
  length: number,
): number {
  const { hiddenSize } = specification.architecture;
  const { all } = headWidths(specification);
  const bytes = 16 * fours(Math.max(hiddenSize, all)) * length;
  const texts = Math.min(
    Math.floor(limits.maxStorageBufferBindingSize / bytes),
    Math.floor(TOKENS_LIMIT / length),
  );
  if (texts > 0) return texts;
  throw new GraphicsError(
    `Cannot run texts of ${length} tokens on graphics card '${name}': they need bindings of ${bytes} bytes, and it allows ${limits.maxStorageBufferBindingSize}; give a shorter --seq-len, or use --engine onnx`,
  );
}
