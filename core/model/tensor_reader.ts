/**
 * Reading the numbers of tensors: whole, or some rows, as float32 or as they are stored.
 * @module
 */
import { ModelError } from "../errors.ts";
import { bytesPerNumber, decodeInto, isFloat, numberCount } from "./number_formats.ts";
import type { MemoryTensor, Tensor, TensorView } from "./types.ts";

/** Bytes that are read at a time where the event loop goes on in between. */
const PIECE = 4 << 20;
/** Bytes that are read and converted at a time in one go: few enough to stay in the processor's nearest caches. */
const CACHED = 128 << 10;

/**
 * Whether a tensor lies in a file.
 *
 * @param tensor A tensor, wherever it is
 * @returns True for a view of a file, false for a tensor in memory
 */
export function isView(tensor: Tensor): tensor is TensorView {
  return "path" in tensor;
}

/**
 * Reads a tensor as float32. The event loop goes on between pieces of 4 MiB.
 *
 * @param tensor A view of a file, or a tensor in memory (whose own array comes back)
 * @returns Its numbers, row-major
 * @throws {ModelError} if the file has gone, is shorter than it was, or holds integers
 *
 * @example
 * ```ts
 * import { readTensor } from "./safetensors.ts";
 * import { assertEquals } from "@std/assert";
 * const tensor = { shape: [2], data: new Float32Array([1, 2]) };
 * assertEquals(await readTensor(tensor), tensor.data);
 * ```
 */
export async function readTensor(tensor: Tensor): Promise<Float32Array> {
  if (!isView(tensor)) return tensor.data;
  if (tensor.layout !== undefined) return readStrided(tensor, 0, tensor.shape[0]);
  return await readNumbers(tensor, tensor.offset, numberCount(tensor.shape));
}

/**
 * Reads a tensor as float32 in one go, into an array that is there already.
 *
 * @param tensor A view of a file
 * @param target Where its numbers go: as many as it has
 * @returns The target
 * @throws {ModelError} if the file has gone, is shorter than it was, or holds integers
 */
export function readTensorIntoSync(tensor: TensorView, target: Float32Array): Float32Array {
  if (tensor.layout === undefined) return readNumbersIntoSync(tensor, tensor.offset, target);
  target.set(readStrided(tensor, 0, tensor.shape[0]));
  return target;
}

/**
 * Reads a tensor as float32 in one go.
 *
 * @param tensor A view of a file, or a tensor in memory (whose own array comes back)
 * @returns Its numbers, row-major
 * @throws {ModelError} if the file has gone, is shorter than it was, or holds integers
 */
export function readTensorSync(tensor: Tensor): Float32Array {
  if (!isView(tensor)) return tensor.data;
  if (tensor.layout !== undefined) return readStrided(tensor, 0, tensor.shape[0]);
  return readNumbersSync(tensor, tensor.offset, numberCount(tensor.shape));
}

/**
 * Reads some rows (slices of the first axis) of a tensor as float32.
 *
 * @param tensor A view of a file, or a tensor in memory (a view of whose array comes back)
 * @param first The first row, from 0
 * @param count How many rows
 * @returns Their numbers, row-major, `[count, …]`
 * @throws {ModelError} if the tensor does not have these rows or cannot be read
 */
export async function readRows(
  tensor: Tensor,
  first: number,
  count: number,
): Promise<Float32Array> {
  const rowSize = checkRows(tensor, first, count);
  if (!isView(tensor)) return tensor.data.subarray(first * rowSize, (first + count) * rowSize);
  if (tensor.layout !== undefined) return readStrided(tensor, first, count);
  return await readNumbers(tensor, rowOffset(tensor, first, rowSize), count * rowSize);
}

/**
 * Reads some rows (slices of the first axis) of a tensor as float32 in one go.
 *
 * @param tensor A view of a file, or a tensor in memory (a view of whose array comes back)
 * @param first The first row, from 0
 * @param count How many rows
 * @returns Their numbers, row-major, `[count, …]`
 * @throws {ModelError} if the tensor does not have these rows or cannot be read
 */
export function readRowsSync(tensor: Tensor, first: number, count: number): Float32Array {
  const rowSize = checkRows(tensor, first, count);
  if (!isView(tensor)) return tensor.data.subarray(first * rowSize, (first + count) * rowSize);
  if (tensor.layout !== undefined) return readStrided(tensor, first, count);
  return readNumbersSync(tensor, rowOffset(tensor, first, rowSize), count * rowSize);
}

/** Single rows of a tensor, from a file that stays open between them. */
export interface RowReader {
  /**
   * Reads one row as float32.
   *
   * @param row Its number, from 0
   * @param target Where its numbers go: as many as a row has
   * @throws {ModelError} if there is no such row or it cannot be read
   */
  read(row: number, target: Float32Array): void;
  /** Closes the file. */
  close(): void;
}

/**
 * Opens a tensor for reading rows here and there.
 *
 * @param tensor A view of a file, or a tensor in memory
 * @returns The reader; close it after use
 * @throws {ModelError} if the file has gone
 */
export function openRows(tensor: Tensor): RowReader {
  if (!isView(tensor) || tensor.layout !== undefined) {
    return {
      read: (row, target) => target.set(readRowsSync(tensor, row, 1)),
      close: () => undefined,
    };
  }
  const file = openFile(tensor);
  return {
    read: (row, target) => {
      file.seekSync(rowOffset(tensor, row, checkRows(tensor, row, 1)), Deno.SeekMode.Start);
      for (const { bytes, convert } of pieces(tensor, target)) {
        fillSync(file, bytes, tensor);
        convert();
      }
    },
    close: () => file.close(),
  };
}

/**
 * Reads the bytes of a tensor as they are stored.
 *
 * @param tensor A view of a file; of one that lies between others' numbers, these come too
 * @returns All its bytes
 * @throws {ModelError} if the file has gone or is shorter than it was
 */
export async function readTensorBytes(tensor: TensorView): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(tensor.byteLength);
  const file = openFile(tensor);
  try {
    file.seekSync(tensor.offset, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length; done += PIECE) {
      await fill(file, bytes.subarray(done, done + PIECE), tensor);
    }
    return bytes;
  } finally {
    file.close();
  }
}

/**
 * Reads the bytes of a tensor as they are stored, in one go.
 *
 * @param tensor A view of a file; of one that lies between others' numbers, these come too
 * @returns All its bytes
 * @throws {ModelError} if the file has gone or is shorter than it was
 */
export function readTensorBytesSync(tensor: TensorView): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(tensor.byteLength);
  const file = openFile(tensor);
  try {
    file.seekSync(tensor.offset, Deno.SeekMode.Start);
    fillSync(file, bytes, tensor);
    return bytes;
  } finally {
    file.close();
  }
}

/** Bytes that are copied at a time. */
const COPIED = 32 << 20;

/**
 * Reads the bytes of a tensor as they are stored, piece by piece.
 *
 * @param tensor A view of a file
 * @yields Its bytes in order, 32 MiB at a time
 * @throws {ModelError} if the file has gone or is shorter than it was
 */
export async function* tensorPieces(tensor: TensorView): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < tensor.byteLength; done += COPIED) {
    const byteLength = Math.min(COPIED, tensor.byteLength - done);
    yield await readTensorBytes({ ...tensor, offset: tensor.offset + done, byteLength });
  }
}

/**
 * Reads the bytes of some rows (slices of the first axis) of a tensor as they are stored.
 *
 * @param tensor A view of a file
 * @param first The first row, from 0
 * @param count How many rows
 * @returns Their bytes
 * @throws {ModelError} if the tensor does not have these rows or cannot be read
 */
export async function readRowBytes(
  tensor: TensorView,
  first: number,
  count: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const rowSize = checkRows(tensor, first, count);
  const byteLength = count * rowSize * bytesPerNumber(tensor.dataType);
  return await readTensorBytes({
    ...tensor,
    offset: rowOffset(tensor, first, rowSize),
    byteLength,
  });
}

/**
 * Makes a tensor in memory out of numbers.
 *
 * @param shape Sizes of its axes, outermost first
 * @param data Its numbers; zeros if absent
 * @returns The tensor
 */
export function memoryTensor(
  shape: readonly number[],
  data: Float32Array = new Float32Array(numberCount(shape)),
): MemoryTensor {
  return { shape, data };
}

function checkRows(tensor: Tensor, first: number, count: number): number {
  const rows = tensor.shape[0] ?? 1;
  const whole = Number.isSafeInteger(first) && Number.isSafeInteger(count);
  if (!whole || first < 0 || count < 0 || first + count > rows) {
    const name = isView(tensor) ? `tensor '${tensor.name}'` : "a tensor in memory";
    throw new ModelError(
      `Cannot read rows ${first} to ${first + count - 1} of ${name}: it has ${rows} rows`,
    );
  }
  return numberCount(tensor.shape.slice(1));
}

function rowOffset(tensor: TensorView, first: number, rowSize: number): number {
  return tensor.offset + first * rowSize * bytesPerNumber(tensor.dataType);
}

/** Rows of a tensor that lies between others: one run, or of a turned matrix one column, at a time. */
function readStrided(tensor: TensorView, first: number, count: number): Float32Array {
  const { runRows, runStride, rowStride, columnStride } = tensor.layout!;
  const [, columns = 1] = tensor.shape;
  const result = new Float32Array(count * columns);
  const width = bytesPerNumber(tensor.dataType);
  const file = openFile(tensor);
  const read = (index: number, length: number) => {
    const numbers = new Float32Array(length);
    file.seekSync(tensor.offset + index * width, Deno.SeekMode.Start);
    for (const { bytes, convert } of pieces(tensor, numbers)) {
      fillSync(file, bytes, tensor);
      convert();
    }
    return numbers;
  };
  try {
    for (let row = first; row < first + count;) {
      const rows = Math.min(runRows - row % runRows, first + count - row);
      const start = Math.floor(row / runRows) * runStride + (row % runRows) * rowStride;
      const target = result.subarray((row - first) * columns);
      if (columnStride === 1) {
        target.set(read(start, rows * columns));
      } else {
        for (let column = 0; column < columns; column++) {
          const numbers = read(start + column * columnStride, rows);
          for (let at = 0; at < rows; at++) target[at * columns + column] = numbers[at];
        }
      }
      row += rows;
    }
    return result;
  } finally {
    file.close();
  }
}

async function readNumbers(
  tensor: TensorView,
  offset: number,
  count: number,
): Promise<Float32Array> {
  const target = new Float32Array(count);
  const file = openFile(tensor);
  try {
    file.seekSync(offset, Deno.SeekMode.Start);
    for (const { bytes, convert } of pieces(tensor, target)) {
      await fill(file, bytes, tensor);
      convert();
    }
    return target;
  } finally {
    file.close();
  }
}

function readNumbersSync(tensor: TensorView, offset: number, count: number): Float32Array {
  return readNumbersIntoSync(tensor, offset, new Float32Array(count));
}

function readNumbersIntoSync(
  tensor: TensorView,
  offset: number,
  target: Float32Array,
): Float32Array {
  const file = openFile(tensor);
  try {
    file.seekSync(offset, Deno.SeekMode.Start);
    for (const { bytes, convert } of pieces(tensor, target, CACHED)) {
      fillSync(file, bytes, tensor);
      convert();
    }
    return target;
  } finally {
    file.close();
  }
}

interface Piece {
  /** To be filled from the file. */
  readonly bytes: Uint8Array;
  /** Turns the filled bytes into numbers of the target. */
  readonly convert: () => void;
}

/** The places to read into, one after the other. Float32 goes straight to the target, the rest through one buffer. */
function* pieces(
  tensor: TensorView,
  target: Float32Array,
  pieceBytes: number = PIECE,
): Generator<Piece> {
  const { dataType } = tensor;
  if (!isFloat(dataType)) {
    throw cannotRead(tensor, `it holds ${dataType}, and floating-point numbers are wanted`);
  }
  const width = bytesPerNumber(dataType);
  const direct = dataType === "F32";
  const step = (direct ? PIECE : pieceBytes) / width;
  const buffer = new Uint8Array(direct ? 0 : Math.min(pieceBytes, target.length * width));
  for (let done = 0; done < target.length; done += step) {
    const part = target.subarray(done, done + step);
    const bytes = direct
      ? new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
      : buffer.subarray(0, part.length * width);
    yield { bytes, convert: () => direct ? undefined : decodeInto(bytes, dataType, part) };
  }
}

function openFile(tensor: TensorView): Deno.FsFile {
  try {
    return Deno.openSync(tensor.path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "the file has gone" : String(error);
    throw cannotRead(tensor, reason, error);
  }
}

async function fill(file: Deno.FsFile, bytes: Uint8Array, tensor: TensorView): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) throw cannotRead(tensor, "the file is shorter than it was");
    done += count;
  }
}

function fillSync(file: Deno.FsFile, bytes: Uint8Array, tensor: TensorView): void {
  for (let done = 0; done < bytes.length;) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) throw cannotRead(tensor, "the file is shorter than it was");
    done += count;
  }
}

function cannotRead(tensor: TensorView, reason: string, cause?: unknown): ModelError {
  return new ModelError(`Cannot read tensor '${tensor.name}' of '${tensor.path}': ${reason}`, {
    cause,
  });
}
