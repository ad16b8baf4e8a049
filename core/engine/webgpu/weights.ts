/**
 * Weights on the card, as they are stored: float16 and bfloat16 are unpacked by the kernels. What is too large for one
 * binding is cut into slices of rows.
 * @module
 */
import { EngineError } from "../../errors.ts";
import { encode, isFloat } from "../../model/number_formats.ts";
import { isView, memoryTensor, readRowBytes, readRows } from "../../model/tensor_reader.ts";
import type { Architecture, Tensor } from "../../model/types.ts";
import type { PooledBuffer } from "./buffers.ts";
import type { GraphicsContext } from "./context.ts";
import type { NormKind } from "./kernels/norms.ts";
import type { WeightFormat } from "./kernels/product.ts";

/** Some rows of a weight. */
export interface WeightSlice {
  /** Where they are. */
  readonly buffer: PooledBuffer;
  /** The first of them; a multiple of 4. */
  readonly firstRow: number;
  /** How many. */
  readonly rows: number;
}

/** The weight of a projection, `[rows, columns]`. Its rows start at multiples of four numbers. */
export interface CardMatrix {
  /** Rows: outputs. */
  readonly rows: number;
  /** Columns: inputs. */
  readonly columns: number;
  /** How the numbers lie. */
  readonly format: WeightFormat;
  /** Bytes of one row with what fills it up. */
  readonly rowBytes: number;
  /** All rows. */
  readonly slices: readonly WeightSlice[];
}

/** A norm whose weight is on the card. */
export interface CardNorm {
  /** Which norm. */
  readonly kind: NormKind;
  /** Added to the mean square, or to the variance. */
  readonly epsilon: number;
  /** Its weight, offset included. */
  readonly weight: PooledBuffer;
  /** Its bias. */
  readonly bias?: PooledBuffer;
}

/** Bytes that are read from a file and sent at a time. */
const PIECE = 16 << 20;

/** Weights of one part of a model; they are freed together. */
export class Weights {
  readonly #context: GraphicsContext;
  readonly #scope: <T>(work: () => T) => T;
  readonly #buffers: PooledBuffer[] = [];
  #isClosed = false;

  /**
   * Starts empty.
   *
   * @param context What the engine's parts share
   * @param scope What every call to the card goes through. Default: it is called, and its errors are the caller's
   */
  constructor(context: GraphicsContext, scope: <T>(work: () => T) => T = (work) => work()) {
    this.#context = context;
    this.#scope = scope;
  }

  /**
   * Sends matrices, one below the other, as one.
   *
   * @param tensors `[rows, columns]` each, of as many columns
   * @param mostRows Rows that a slice may have; as many as a binding holds if absent
   * @returns The matrix on the card
   * @throws {EngineError} if a tensor holds no floating-point numbers
   */
  async matrix(tensors: readonly Tensor[], mostRows = Infinity): Promise<CardMatrix> {
    const columns = tensors[0].shape[1];
    const rows = tensors.reduce((sum, { shape }) => sum + shape[0], 0);
    const format = commonFormat(tensors);
    const rowBytes = fours(columns) * 4 * bytesOf(format);
    const { maxStorageBufferBindingSize } = this.#context.graphics.limits;
    const bound = Math.min(mostRows, maxStorageBufferBindingSize / rowBytes);
    const sliceRows = 64 * Math.max(1, Math.floor(bound / 64));
    const slices: WeightSlice[] = [];
    for (let firstRow = 0; firstRow < rows; firstRow += sliceRows) {
      const own = Math.min(sliceRows, rows - firstRow);
      slices.push({ buffer: this.#take(own * rowBytes), firstRow, rows: own });
    }
    const matrix = { rows, columns, format, rowBytes, slices };
    let at = 0;
    for (const tensor of tensors) {
      await this.#send(matrix, tensor, at);
      at += tensor.shape[0];
    }
    return matrix;
  }

  /**
   * Sends the norm of a part of a model.
   *
   * @param architecture Which norm the model has
   * @param weight Its weight
   * @param bias Its bias, if it has one
   * @returns The norm on the card
   */
  async norm(architecture: Architecture, weight: Tensor, bias?: Tensor): Promise<CardNorm> {
    const { norm: kind = "rms", normEpsilon, normOffset } = architecture;
    const isLayer = kind === "layer";
    const moved = isLayer || normOffset === undefined ? weight : await plus(weight, normOffset);
    return {
      kind,
      epsilon: normEpsilon,
      weight: await this.vector(moved),
      bias: bias && await this.vector(bias),
    };
  }

  /**
   * Sends vectors, one after the other, as one: float32, filled up to a multiple of four with zeros.
   *
   * @param tensors Vectors, or how many zeros stand in their place
   * @returns The vector on the card
   */
  async vector(...tensors: readonly (Tensor | number)[]): Promise<PooledBuffer> {
    const size = (tensor: Tensor | number) => typeof tensor === "number" ? tensor : tensor.shape[0];
    const total = tensors.reduce((sum: number, tensor) => sum + size(tensor), 0);
    const numbers = new Float32Array(4 * fours(total));
    let at = 0;
    for (const tensor of tensors) {
      if (typeof tensor !== "number") numbers.set(await readRows(tensor, 0, tensor.shape[0]), at);
      at += size(tensor);
    }
    const buffer = this.#take(numbers.byteLength);
    this.#write(buffer, 0, new Uint8Array(numbers.buffer));
    return buffer;
  }

  /** Gives all buffers back; what is still being sent stops. */
  close(): void {
    this.#isClosed = true;
    for (const buffer of this.#buffers.splice(0)) this.#context.pool.release(buffer);
  }

  #take(bytes: number): PooledBuffer {
    this.#checkOpen();
    const buffer = this.#scope(() => this.#context.pool.acquire(bytes));
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Sends bytes; the transfer begins at once, and does not wait for the next commands. */
  #write({ buffer }: PooledBuffer, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#checkOpen();
    const { queue } = this.#context.graphics.device;
    this.#scope(() => {
      queue.writeBuffer(buffer, offset, bytes);
      queue.submit([]);
    });
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new EngineError("Cannot send weights that nobody waits for any more");
  }

  async #send(matrix: CardMatrix, tensor: Tensor, firstRow: number): Promise<void> {
    const { rowBytes, slices } = matrix;
    const piece = Math.max(1, Math.floor(PIECE / rowBytes));
    for (const slice of slices) {
      const first = Math.max(firstRow, slice.firstRow);
      const last = Math.min(firstRow + tensor.shape[0], slice.firstRow + slice.rows);
      for (let row = first; row < last; row += piece) {
        const count = Math.min(piece, last - row);
        const bytes = await rowsAs(matrix, tensor, row - firstRow, count);
        this.#write(slice.buffer, (row - slice.firstRow) * rowBytes, bytes);
      }
    }
  }
}

/**
 * How many fours hold so many numbers.
 *
 * @param count Numbers
 * @returns Fours, rounded up
 */
export function fours(count: number): number {
  return Math.ceil(count / 4);
}

function bytesOf(format: WeightFormat): number {
  return format === "f32" ? 4 : 2;
}

async function plus(tensor: Tensor, offset: number): Promise<Tensor> {
  const numbers = await readRows(tensor, 0, tensor.shape[0]);
  return memoryTensor(tensor.shape, numbers.map((number) => number + offset));
}

/** The format that all tensors have, or float32, which holds them all. */
function commonFormat(tensors: readonly Tensor[]): WeightFormat {
  const formats = new Set(tensors.map((tensor): WeightFormat => {
    if (!isView(tensor)) return "f32";
    const { dataType, name, path } = tensor;
    if (!isFloat(dataType)) {
      throw new EngineError(
        `Cannot run with tensor '${name}' of '${path}': it holds ${dataType}, and F32, F16, BF16 or F64 is wanted`,
      );
    }
    return dataType === "F16" ? "f16" : dataType === "BF16" ? "bf16" : "f32";
  }));
  return formats.size === 1 ? [...formats][0] : "f32";
}

/** Rows in the matrix' format, filled up with zeros. */
async function rowsAs(
  { format, rowBytes, columns }: CardMatrix,
  tensor: Tensor,
  first: number,
  count: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const tight = isView(tensor) && tensor.layout === undefined && format !== "f32"
    ? await readRowBytes(tensor, first, count)
    : bytesAs(format, await readRows(tensor, first, count));
  const width = columns * bytesOf(format);
  if (width === rowBytes) return tight;
  const filled = new Uint8Array(count * rowBytes);
  for (let row = 0; row < count; row++) {
    filled.set(tight.subarray(row * width, (row + 1) * width), row * rowBytes);
  }
  return filled;
}

const DATA_TYPES = { f32: "F32", f16: "F16", bf16: "BF16" } as const;

/** The bytes of numbers in a format; those of a tensor that lies between others lose nothing on the way back. */
function bytesAs(format: WeightFormat, numbers: Float32Array): Uint8Array<ArrayBuffer> {
  return encode(numbers, DATA_TYPES[format]) as Uint8Array<ArrayBuffer>;
}
