/**
 * A model's tensors as weights of an ONNX file, in the type that was asked for.
 * @module
 */
import { copiedEntry } from "../../apply/model_folder.ts";
import { ExportError } from "../../errors.ts";
import { discard } from "../../linear/discard.ts";
import { encode } from "../../model/number_formats.ts";
import { readRows } from "../../model/tensor_reader.ts";
import type { TensorEntry } from "../../model/safetensors_writer.ts";
import type { TensorView } from "../../model/types.ts";
import type { BlockMatrix, Int8Matrix, MatrixReference, StreamedWeight } from "../../onnx/graph.ts";
import type { OnnxQuantization } from "./names.ts";
import { type BlockLayout, toBlocks, toInt8 } from "./quantize.ts";

/** Numbers in a block of 4 or 8 bits. */
export const BLOCK_SIZE = 32;

/** Numbers that are rounded at a time. */
const PIECE = 4 << 20;

/**
 * A matrix of a block.
 *
 * @param view The tensor, `[out, in]`
 * @param quantize How to store it
 * @returns The reference
 */
export function matrixWeight(view: TensorView, quantize: OnnxQuantization): MatrixReference {
  switch (quantize) {
    case "none":
      return plainWeight(view);
    case "f16":
      return converted(view, "f16");
    case "q8":
      return int8Matrix(view);
    case "q4":
      return blockMatrix(view, 4);
  }
}

/**
 * Embedding or output head: what a token starts as, and what decides between tokens, keep 8 bits where blocks have 4.
 *
 * @param view The tensor, `[vocabulary, hidden]`
 * @param quantize How to store it
 * @returns The reference
 */
export function outerMatrix(view: TensorView, quantize: OnnxQuantization): MatrixReference {
  return quantize === "q4" ? blockMatrix(view, 8) : matrixWeight(view, quantize);
}

/**
 * A norm or a bias, which stay in float32: they are few, and every number counts.
 *
 * @param view The tensor
 * @returns The reference
 */
export function plainWeight(view: TensorView): StreamedWeight {
  return converted(view, "f32");
}

function converted(view: TensorView, to: "f32" | "f16"): StreamedWeight {
  const { dataType, shape, bytes } = copiedEntry(view, to);
  if (to === "f32" || view.dataType === "F16") return { kind: "streamed", dataType, shape, bytes };
  return { kind: "streamed", dataType, shape, bytes: () => finitePieces(view, bytes) };
}

/** float16 ends at 65,504: past it numbers would become infinite unseen. */
async function* finitePieces(
  { name }: TensorView,
  bytes: TensorEntry["bytes"],
): AsyncGenerator<Uint8Array> {
  const made = await bytes();
  for await (const piece of made instanceof Uint8Array ? [made] : made) {
    const halves = new Uint16Array(piece.buffer, piece.byteOffset, piece.byteLength / 2);
    if (halves.some((half) => (half & 0x7c00) === 0x7c00)) {
      throw new ExportError(
        `Cannot store tensor '${name}' as f16: it has numbers past 65,504; use another --quantize`,
      );
    }
    yield piece;
  }
}

/** Operators want the matrix with its inputs first, so it is turned as a whole: one byte for each number. */
function int8Matrix(view: TensorView): Int8Matrix {
  const [rows, columns] = view.shape;
  const scales = new Float32Array(rows);
  return {
    kind: "int8",
    shape: view.shape,
    transposed: {
      kind: "streamed",
      dataType: "I8",
      shape: [columns, rows],
      bytes: async () => {
        const turned = new Int8Array(rows * columns);
        for await (const { first, numbers } of rowPieces(view)) {
          const piece = toInt8(numbers, columns);
          scales.set(piece.scales, first);
          turn(piece.data, { first, columns, rows }, turned);
        }
        return new Uint8Array(turned.buffer);
      },
    },
    scales: scalesAfter([rows], scales),
  };
}

function turn(
  piece: Int8Array,
  { first, columns, rows }: { first: number; columns: number; rows: number },
  target: Int8Array,
): void {
  const count = piece.length / columns;
  for (let row = 0; row < count; row++) {
    const from = row * columns;
    for (let column = 0; column < columns; column++) {
      target[column * rows + first + row] = piece[from + column];
    }
  }
}

function blockMatrix(view: TensorView, bits: 4 | 8): BlockMatrix {
  const [rows, columns] = view.shape;
  const layout: BlockLayout = { columns, blockSize: BLOCK_SIZE, bits };
  const blocks = Math.ceil(columns / BLOCK_SIZE);
  const scales = new Float32Array(rows * blocks);
  return {
    kind: "blocks",
    shape: view.shape,
    bits,
    blockSize: BLOCK_SIZE,
    packed: {
      kind: "streamed",
      dataType: "U8",
      shape: [rows, blocks, BLOCK_SIZE * bits / 8],
      bytes: () => packedPieces(view, layout, scales),
    },
    scales: scalesAfter([rows * blocks], scales),
  };
}

async function* packedPieces(
  view: TensorView,
  layout: BlockLayout,
  scales: Float32Array,
): AsyncGenerator<Uint8Array> {
  const blocks = Math.ceil(layout.columns / layout.blockSize);
  for await (const { first, numbers } of rowPieces(view)) {
    const piece = toBlocks(numbers, layout);
    scales.set(piece.scales, first * blocks);
    yield piece.packed;
  }
}

/** Scales are found when the matrix is rounded, which is written before them. */
function scalesAfter(shape: readonly number[], scales: Float32Array): StreamedWeight {
  return { kind: "streamed", dataType: "F32", shape, bytes: () => encode(scales, "F32") };
}

async function* rowPieces(
  view: TensorView,
): AsyncGenerator<{ readonly first: number; readonly numbers: Float32Array }> {
  const [rows, columns] = view.shape;
  const step = Math.max(1, Math.floor(PIECE / columns));
  for (let first = 0; first < rows; first += step) {
    const numbers = await readRows(view, first, Math.min(step, rows - first));
    yield { first, numbers };
    discard(numbers);
  }
}
