/**
 * Writing GGUF files tensor by tensor and piece by piece, so that the model is never whole in memory.
 * @module
 */
import { CancelledError, ExportError, GpruneError } from "../../errors.ts";
import { collectGarbage } from "../../garbage.ts";
import { breathe, throwIfCancelled } from "../../progress.ts";
import {
  aligned,
  type GgufMetadata,
  type GgufTensorInfo,
  headerBytes,
  storedBytes,
} from "./format.ts";
import { toBlocks } from "./number_blocks.ts";

/** Numbers that are read, converted and written at a time. */
const PIECE = 2 << 20;

/** A tensor to be written: `[rows, columns]`, or `[length]`, which is one row. */
export interface GgufTensor extends GgufTensorInfo {
  /** Its rows come in groups of so many, and a group is always read whole. Default 1. */
  readonly rowsTogether?: number;
  /** Reads rows, `[count, columns]`. */
  readonly rows: (first: number, count: number) => Promise<Float32Array>;
}

/** Options of {@linkcode writeGguf}. */
export interface WriteGgufOptions {
  /** Cancels the writing. */
  readonly signal?: AbortSignal;
  /** Called after every tensor. */
  readonly onTensor?: (name: string, done: number, total: number) => void;
}

/**
 * Writes a GGUF file. A file that could not be finished is removed.
 *
 * @param path The file; replaced if it is there
 * @param metadata Keys and values
 * @param tensors The tensors in the order in which they are written
 * @param options Cancellation, progress
 * @returns Bytes of the file
 * @throws {ExportError} if a number does not fit its type, or the disk refuses
 * @throws {CancelledError} if the signal is aborted
 */
export async function writeGguf(
  path: string,
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
  options: WriteGgufOptions = {},
): Promise<number> {
  throwIfCancelled(options.signal);
  const header = headerBytes(metadata, tensors);
  const file = await Deno.open(path, { write: true, create: true, truncate: true })
    .catch((error) => {
      throw asExportError(path, error);
    });
  let written = 0;
  const write = async (bytes: Uint8Array) => {
    for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
    written += bytes.length;
  };
  try {
    await write(header);
    for (const [index, tensor] of tensors.entries()) {
      for await (const bytes of pieces(tensor, options.signal)) {
        await write(bytes);
        collectGarbage();
      }
      await write(new Uint8Array(aligned(written) - written));
      options.onTensor?.(tensor.name, index + 1, tensors.length);
    }
    file.close();
    return written;
  } catch (error) {
    file.close();
    await Deno.remove(path).catch(() => undefined);
    throw asExportError(path, error);
  }
}

async function* pieces(
  { name, shape, type, rows, rowsTogether = 1 }: GgufTensor,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const [rowCount, columns] = shape.length === 1 ? [1, shape[0]] : shape;
  const groups = Math.max(1, Math.floor(PIECE / columns / rowsTogether));
  const rowsAtOnce = groups * rowsTogether;
  let bytes = 0;
  for (let row = 0; row < rowCount; row += rowsAtOnce) {
    await breathe(signal);
    const numbers = await rows(row, Math.min(rowsAtOnce, rowCount - row));
    const piece = convert(name, numbers, type);
    bytes += piece.length;
    yield piece;
  }
  const wanted = storedBytes(type, rowCount * columns);
  if (bytes !== wanted) {
    throw new ExportError(
      `Cannot write tensor '${name}': its shape takes ${wanted} bytes and ${bytes} were made`,
    );
  }
}

function convert(name: string, numbers: Float32Array, type: GgufTensor["type"]): Uint8Array {
  try {
    return toBlocks(numbers, type);
  } catch (error) {
    const reason = (error as Error).message.replace(/^Cannot write numbers as \w+: /, "");
    throw new ExportError(`Cannot write tensor '${name}': ${reason}`, { cause: error });
  }
}

function asExportError(path: string, error: unknown): Error {
  if (error instanceof CancelledError || error instanceof GpruneError) return error;
  if (!(error instanceof Error)) return new ExportError(`Cannot write '${path}': ${error}`);
  const full = "code" in error && error.code === "ENOSPC";
  const reason = full
    ? "the disk is full"
    : error instanceof Deno.errors.NotFound
    ? "its folder does not exist"
    : error.message;
  return new ExportError(`Cannot write '${path}': ${reason}`, { cause: error });
}
