/**
 * Gram matrices of unfinished statistics, in the file that the statistics will be: each goes to its final place once.
 * @module
 */
import { crc32 } from "node:zlib";
import type { MatrixPlaces } from "../../calibrate/matrix_places.ts";
import { tensorPieces } from "../../model/tensor_reader.ts";
import { halfLength, halfPieces } from "../../calibrate/gram_halves.ts";
import type { MemoryTensor, TensorView } from "../../model/types.ts";

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
   * @returns A view of its half, whether the matrix has been written or not
   */
  view(name: string, channels: number): TensorView {
    return {
      name,
      dataType: "F32",
      shape: [halfLength(channels)],
      path: this.#path,
      offset: this.#places.offsets.get(name)!,
      byteLength: 4 * halfLength(channels),
    };
  }

  /**
   * Writes what lies on and below the diagonal of a matrix to its place.
   *
   * @param name Its name
   * @param matrix The matrix, `[n, n]`; it stays as it is meanwhile
   * @returns The checksum of what was written
   */
  async write(name: string, { data, shape: [channels] }: MemoryTensor): Promise<string> {
    using file = Deno.openSync(this.#path, { write: true });
    file.seekSync(this.#places.offsets.get(name)!, Deno.SeekMode.Start);
    let checksum = 0;
    for (const piece of halfPieces(data, channels)) {
      checksum = crc32(piece, checksum);
      for (let rest = piece; rest.length > 0;) {
        rest = rest.subarray(await file.write(rest));
      }
    }
    return checksum.toString(16);
  }

  /** Forces what was written to the disk. */
  async sync(): Promise<void> {
    using file = Deno.openSync(this.#path, { write: true });
    await file.syncData();
  }
}

/**
 * The checksum of a matrix in a file: CRC-32, which finds torn and missing pieces at a twentieth of the time of writing
 * them.
 *
 * @param view The matrix
 * @returns What {@linkcode MatrixFile.write} gave
 * @throws {ModelError} if it cannot be read
 */
export async function checksumInFile(view: TensorView): Promise<string> {
  let sum = 0;
  for await (const piece of tensorPieces(view)) sum = crc32(piece, sum);
  return sum.toString(16);
}
