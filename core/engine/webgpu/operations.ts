/**
 * What blocks, heads and fits are made of: kernels with their bindings and parameters filled in.
 * @module
 */
import type { PooledBuffer } from "./buffers.ts";
import type { Commands, Region } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import { type Epilogue, productKernel, productWorkgroups } from "./kernels/product.ts";
import { normKernel, partNormKernel, rowScalesKernel } from "./kernels/norms.ts";
import { elementWorkgroups, scaleKernel } from "./kernels/rows.ts";
import { type CardMatrix, type CardNorm, fours } from "./weights.ts";

/** Rows of numbers on the card; each row starts at a multiple of four numbers, and zeros fill it up. */
export interface CardRows {
  /** Where they are. */
  readonly buffer: PooledBuffer;
  /** The first row. */
  readonly first: number;
  /** How many rows. */
  readonly rows: number;
  /** Numbers in a row. */
  readonly columns: number;
}

/** What operations work with. */
export interface Operations {
  /** What the engine's parts share. */
  readonly context: GraphicsContext;
  /** Where they are written down. */
  readonly commands: Commands;
}

/**
 * Room for rows until the commands are sent.
 *
 * @param operations Where
 * @param rows How many rows
 * @param columns Numbers in a row
 * @returns The rows; what they hold is undefined
 */
export function temporaryRows({ commands }: Operations, rows: number, columns: number): CardRows {
  return { buffer: commands.temporary(rows * 4 * fours(columns)), first: 0, rows, columns };
}

/**
 * Sends rows to the card.
 *
 * @param operations Where
 * @param numbers `[rows, columns]`
 * @param columns Numbers in a row
 * @returns The rows, until the commands are sent
 */
export function sendRows(
  operations: Operations,
  numbers: Float32Array,
  columns: number,
): CardRows {
  const rows = numbers.length / columns;
  const target = temporaryRows(operations, rows, columns);
  const { queue } = operations.context.graphics.device;
  const data = columns % 4 === 0 ? numbers : filledUp(numbers, rows, columns);
  queue.writeBuffer(
    target.buffer.buffer,
    0,
    data.buffer as ArrayBuffer,
    data.byteOffset,
    data.byteLength,
  );
  return target;
}

/**
 * Some of the rows.
 *
 * @param rows The rows
 * @param first The first of them
 * @param count How many
 * @returns A view
 */
export function someRows(rows: CardRows, first: number, count: number): CardRows {
  return { ...rows, first: rows.first + first, rows: count };
}

/**
 * Where rows lie.
 *
 * @param rows The rows
 * @returns Their part of the buffer
 */
export function regionOf({ buffer, first, rows, columns }: CardRows): Region {
  const rowBytes = 16 * fours(columns);
  return { buffer: buffer.buffer, offset: first * rowBytes, bytes: rows * rowBytes };
}

/**
 * Takes what fills rows up out of numbers that were read from the card.
 *
 * @param numbers Rows that start at multiples of four
 * @param columns Numbers in a row
 * @returns `[rows, columns]`
 */
export function tightRows(numbers: Float32Array, columns: number): Float32Array {
  const stride = 4 * fours(columns);
  if (stride === columns) return numbers;
  const rows = numbers.length / stride;
  const tight = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    tight.set(numbers.subarray(row * stride, row * stride + columns), row * columns);
  }
  return tight;
}

/** What a projection adds and where it writes. */
export interface ProjectionOptions {
  /** A bias, as many numbers as the weight has rows. */
  readonly bias?: PooledBuffer;
  /** A residual stream that is added, or a gate whose activation it is multiplied by. */
  readonly other?: CardRows;
  /** What is done with `other`. */
  readonly epilogue?: Epilogue;
}

/**
 * x Wᵀ.
 *
 * @param operations Where
 * @param input x
 * @param weight W
 * @param output Where it goes
 * @param options Bias, residual or gate
 */
export function project(
  { context, commands }: Operations,
  input: CardRows,
  weight: CardMatrix,
  output: CardRows,
  { bias, other, epilogue = { kind: "plain" } }: ProjectionOptions = {},
): void {
  for (const { buffer, firstRow, rows } of weight.slices) {
    const tile = context.tile(input.rows, rows);
    const kernel = productKernel({
      tile,
      kind: "projection",
      format: weight.format,
      epilogue,
      bias: bias !== undefined,
    });
    const bindings = [
      regionOf(input),
      { buffer: buffer.buffer, bytes: rows * weight.rowBytes },
      regionOf(output),
      ...(bias === undefined ? [] : [{ buffer: bias.buffer, bytes: 16 * fours(weight.rows) }]),
      ...(other === undefined ? [] : [regionOf(other)]),
    ];
    const strides = [fours(input.columns), fours(weight.columns), fours(output.columns)];
    const depth = 4 * fours(weight.columns);
    commands.dispatch(
      kernel,
      bindings,
      [input.rows, rows, depth, ...strides, firstRow / 4, 0, 0],
      productWorkgroups(tile, input.rows, rows),
      2 * input.rows * rows * weight.columns,
    );
  }
}

/**
 * Norm of rows.
 *
 * @param operations Where
 * @param input The rows
 * @param norm The norm
 * @returns The normed rows, until the commands are sent
 */
export function norm(operations: Operations, input: CardRows, norm: CardNorm): CardRows {
  const output = temporaryRows(operations, input.rows, input.columns);
  normInto(operations, input, norm, output);
  return output;
}

/**
 * Norm of rows, added to a residual stream where there is one.
 *
 * @param operations Where
 * @param input The rows
 * @param norm The norm
 * @param output Where it goes
 * @param residual What it is added to
 */
export function normInto(
  { commands }: Operations,
  input: CardRows,
  { kind, epsilon, weight, bias }: CardNorm,
  output: CardRows,
  residual?: CardRows,
): void {
  const vector = ({ buffer }: PooledBuffer) => ({ buffer, bytes: 16 * fours(input.columns) });
  commands.dispatch(
    normKernel({ kind, epsilon, bias: bias !== undefined, residual: residual !== undefined }),
    [
      regionOf(input),
      vector(weight),
      regionOf(output),
      ...(bias === undefined ? [] : [vector(bias)]),
      ...(residual === undefined ? [] : [regionOf(residual)]),
    ],
    [input.columns, fours(input.columns)],
    [input.rows, 1, 1],
  );
}

/** Parts of rows, one beside the other. */
export interface RowParts {
  /** The first number of the first part. */
  readonly first: number;
  /** How many parts. */
  readonly count: number;
  /** Numbers in a part. */
  readonly size: number;
}

/**
 * Norm of parts of rows, in place.
 *
 * @param operations Where
 * @param rows The rows
 * @param parts Which parts
 * @param norm The norm, whose weight is as long as a part
 */
export function normParts(
  { commands }: Operations,
  rows: CardRows,
  { first, count, size }: RowParts,
  { kind, epsilon, weight }: CardNorm,
): void {
  commands.dispatch(
    partNormKernel(kind, epsilon),
    [regionOf(rows), { buffer: weight.buffer, bytes: 4 * size }],
    [size, 4 * fours(rows.columns), first],
    [rows.rows, count, 1],
  );
}

/**
 * What a norm without weight would multiply each row by.
 *
 * @param operations Where
 * @param input The rows
 * @param norm Which norm
 * @returns One number a row, until the commands are sent
 */
export function rowScales(
  operations: Operations,
  input: CardRows,
  { kind, epsilon }: Pick<CardNorm, "kind" | "epsilon">,
): CardRows {
  const buffer = operations.commands.temporary(input.rows);
  operations.commands.dispatch(
    rowScalesKernel(kind, epsilon),
    [regionOf(input), { buffer: buffer.buffer, bytes: 4 * input.rows }],
    [input.columns, fours(input.columns)],
    [input.rows, 1, 1],
  );
  return { buffer, first: 0, rows: input.rows, columns: 1 };
}

/**
 * Rows times a scale for each of them, of the difference to others where there are such.
 *
 * @param operations Where
 * @param input The rows
 * @param scales One number a row, `[rows]` on the card
 * @param other Rows that are subtracted before
 * @param bias A vector that is subtracted from each row too
 * @returns The scaled rows, until the commands are sent
 */
export function scaled(
  operations: Operations,
  input: CardRows,
  scales: CardRows,
  other?: CardRows,
  bias?: PooledBuffer,
): CardRows {
  const output = temporaryRows(operations, input.rows, input.columns);
  const first = scales.first * 4;
  operations.commands.dispatch(
    scaleKernel(other === undefined ? "nothing" : bias === undefined ? "rows" : "rows and bias"),
    [
      regionOf(input),
      { buffer: scales.buffer.buffer, offset: first, bytes: 4 * scales.rows },
      regionOf(output),
      ...(other === undefined ? [] : [regionOf(other)]),
      ...(bias === undefined ? [] : [{ buffer: bias.buffer, bytes: 16 * fours(input.columns) }]),
    ],
    [fours(input.columns), input.rows],
    elementWorkgroups(fours(input.columns), input.rows),
  );
  return output;
}

function filledUp(numbers: Float32Array, rows: number, columns: number): Float32Array {
  const stride = 4 * fours(columns);
  const filled = new Float32Array(rows * stride);
  for (let row = 0; row < rows; row++) {
    filled.set(numbers.subarray(row * columns, (row + 1) * columns), row * stride);
  }
  return filled;
}
