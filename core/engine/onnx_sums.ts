/**
 * Sums that a block's graph gives at every run, and how they add up.
 * @module
 */
import type { Structure } from "../model/types.ts";
import { type GramTile, gramTiles } from "../onnx/sums.ts";
import { type Feed, floats } from "./runtime.ts";
import type { BlockSpecification, BlockSums, ChannelSums } from "./types.ts";

/** Places for the sums of one run after another. */
export interface SumPlaces {
  /**
   * Where the graph writes them in the next run.
   *
   * @param total What they will be added to
   * @param isFirst Whether nothing has been added yet: what is as large as the total is then written to it
   * @returns Places by output name
   */
  readonly outputs: (total: BlockSums, isFirst: boolean) => Readonly<Record<string, Feed>>;
  /**
   * Adds what the last run wrote.
   *
   * @param total What it is added to
   * @param isFirst Whether nothing has been added yet: the total is then zero
   */
  readonly addTo: (total: BlockSums, isFirst: boolean) => void;
}

/**
 * Prepares places for the sums of a block.
 *
 * @param specification The block
 * @param take Lends an array of a length, which may hold anything
 * @returns The places; undefined where the block's capture has no sums
 */
export function sumPlaces(
  { architecture, shape, capture }: BlockSpecification,
  take: (length: number) => Float32Array,
): SumPlaces | undefined {
  if (capture !== "sums" && capture !== "gram") return undefined;
  const places = capture === "gram" ? gramPlaces : momentPlaces;
  const ffn = places("ffn", shape.ffnWidth, take);
  const heads = places("heads", shape.queryHeads * architecture.headSize, take);
  return {
    outputs: (total, isFirst) => ({
      ...ffn.outputs(total.ffn, isFirst),
      ...heads.outputs(total.heads, isFirst),
    }),
    addTo: (total, isFirst) => {
      ffn.addTo(total.ffn, isFirst);
      heads.addTo(total.heads, isFirst);
    },
  };
}

interface KindPlaces {
  readonly outputs: (total: ChannelSums, isFirst: boolean) => Readonly<Record<string, Feed>>;
  readonly addTo: (total: ChannelSums, isFirst: boolean) => void;
}

function momentPlaces(kind: Structure, channels: number): KindPlaces {
  const sum = new Float32Array(channels);
  const sumOfSquares = new Float32Array(channels);
  const outputs = {
    [`${kind}.sum`]: floats(sum, [1, channels]),
    [`${kind}.sumOfSquares`]: floats(sumOfSquares, [1, channels]),
  };
  return {
    outputs: () => outputs,
    addTo: (total) => {
      addNumbers(total.sum, sum);
      addNumbers(total.sumOfSquares, sumOfSquares);
    },
  };
}

function gramPlaces(
  kind: Structure,
  channels: number,
  take: (length: number) => Float32Array,
): KindPlaces {
  if (gramTiles(channels).length === 1) return wholePlaces(kind, channels, take);
  const sum = new Float32Array(channels);
  const outputs: Record<string, Feed> = { [`${kind}.sum`]: floats(sum, [1, channels]) };
  const tiles = gramTiles(channels).map((tile): FilledTile => {
    const height = tile.rows[1] - tile.rows[0], width = tile.columns[1] - tile.columns[0];
    const data = take(height * width);
    outputs[`${kind}.${tile.output}`] = floats(data, [height, width]);
    return { ...tile, data };
  });
  return {
    outputs: () => outputs,
    addTo: (total, isFirst) => {
      addNumbers(total.sum, sum);
      for (const tile of tiles) {
        if (tile.rows[0] === tile.columns[0]) addDiagonal(total.sumOfSquares, tile);
        placeTile(total.gram!, channels, tile, isFirst);
      }
    },
  };
}

/** A Gram matrix in one piece: that of the first run is the total, and only further ones need a place of their own. */
function wholePlaces(
  kind: Structure,
  channels: number,
  take: (length: number) => Float32Array,
): KindPlaces {
  const [tile] = gramTiles(channels);
  const sum = new Float32Array(channels);
  let further: Float32Array | undefined;
  const place = (total: ChannelSums, isFirst: boolean) =>
    isFirst ? total.gram! : (further ??= take(channels * channels));
  return {
    outputs: (total, isFirst) => ({
      [`${kind}.sum`]: floats(sum, [1, channels]),
      [`${kind}.${tile.output}`]: floats(place(total, isFirst), [channels, channels]),
    }),
    addTo: (total, isFirst) => {
      const data = place(total, isFirst);
      addNumbers(total.sum, sum);
      addDiagonal(total.sumOfSquares, { ...tile, data });
      if (!isFirst) addNumbers(total.gram!, data);
    },
  };
}

interface FilledTile extends GramTile {
  /** Row-major. */
  readonly data: Float32Array;
}

function addNumbers(total: Float64Array | Float32Array, part: Float32Array): void {
  for (let index = 0; index < total.length; index++) total[index] += part[index];
}

/** Σ x² stands on the diagonal. */
function addDiagonal(total: Float64Array, { data, rows: [first, end] }: FilledTile): void {
  const width = end - first;
  for (let at = 0; at < width; at++) total[first + at] += data[at * (width + 1)];
}

/** Adds a tile to a Gram matrix, and its mirror image above the diagonal; the first time it is written instead. */
function placeTile(gram: Float32Array, stride: number, tile: FilledTile, isFirst: boolean): void {
  const { data, rows: [top, bottom], columns: [left, right] } = tile;
  const width = right - left;
  for (let row = top; row < bottom; row++) {
    const part = data.subarray((row - top) * width, (row - top + 1) * width);
    const target = gram.subarray(row * stride + left, row * stride + right);
    if (isFirst) target.set(part);
    else addNumbers(target, part);
  }
  // What has been added up is copied, so that both halves hold the same numbers.
  if (top !== left) mirrorTile(gram, stride, tile);
}

/** Side of the squares that are mirrored at a time: one of the two sides is read against the grain. */
const SQUARE = 32;

function mirrorTile(gram: Float32Array, stride: number, { rows, columns }: GramTile): void {
  for (let top = rows[0]; top < rows[1]; top += SQUARE) {
    const bottom = Math.min(top + SQUARE, rows[1]);
    for (let left = columns[0]; left < columns[1]; left += SQUARE) {
      const right = Math.min(left + SQUARE, columns[1]);
      for (let column = left; column < right; column++) {
        const to = column * stride;
        for (let row = top; row < bottom; row++) gram[to + row] = gram[row * stride + column];
      }
    }
  }
}
