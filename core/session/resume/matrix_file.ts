/**
 * Gram matrices of unfinished statistics, in the file that the statistics will be: each goes to its final place once.
 * @module
 */
import { crc32 } from "node:zlib";
import type { MatrixPlaces } from "../../calibrate/matrix_places.ts";
import { tensorPieces } from "../../model/tensor_reader.ts";
import type { MemoryTensor, TensorView } from "../../model/types.ts";

/** The most bytes that go to the disk in one call. */
const CHUNK = 64 << 20;

/** A file with room for the matrices of all layers. */
export class MatrixFile {
  readonly #path: string;
  readonly #places: MatrixPlaces;

  private constructor(path: string, places: MatrixPlaces) {
    this.#path = path;
    this.#places = places;
  }

  /**
   * Opens a file; one that is there keeps what it holds.
   *
   * @param path The file
   * @param places Where matrices lie in it
   * @returns The file
   */
  static async open(path: string, places: MatrixPlaces): Promise<MatrixFile> {
    using file = await Deno.open(path, { write: true, create: true });
    await file.truncate(places.fileBytes);
    return new MatrixFile(await Deno.realPath(path), places);
  }

  /**
   * A matrix in the file.
   *
   * @param name Its name
   * @param channels Its rows and columns
   * @returns A view, whether the matrix has been written or not
   */
  view(name: string, channels: number): TensorView {
    return {
      name,
      dataType: "F32",
      shape: [channels, channels],
      path: this.#path,
      offset: this.#places.offsets.get(name)!,
      byteLength: 4 * channels * channels,
    };
  }

  /**
   * Writes a matrix to its place.
   *
   * @param name Its name
   * @param matrix The matrix; it stays as it is meanwhile
   */
  async write(name: string, { data }: MemoryTensor): Promise<void> {
    using file = Deno.openSync(this.#path, { write: true });
    file.seekSync(this.#places.offsets.get(name)!, Deno.SeekMode.Start);
    for (let rest = bytesOf(data); rest.length > 0;) {
      rest = rest.subarray(await file.write(rest.subarray(0, CHUNK)));
    }
  }

  /** Forces what was written to the disk. */
  async sync(): Promise<void> {
    using file = Deno.openSync(this.#path, { write: true });
    await file.syncData();
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * The checksum of a matrix: CRC-32, which finds torn and missing pieces at a twentieth of the time of writing them.
 *
 * @param matrix The matrix
 * @returns Hexadecimal digits
 */
export function checksumOf({ data }: MemoryTensor): string {
  return crc32(bytesOf(data)).toString(16);
}

/**
 * The checksum of a matrix in a file.
 *
 * @param view The matrix
 * @returns The same as for the matrix in memory
 * @throws {ModelError} if it cannot be read
 */
export async function checksumInFile(view: TensorView): Promise<string> {
  let sum = 0;
  for await (const piece of tensorPieces(view)) sum = crc32(piece, sum);
  return sum.toString(16);
}
