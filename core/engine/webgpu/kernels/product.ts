/**
 * The tiled matrix product that all projections, Gram matrices and fits are made of.
 *
 * A workgroup makes one tile of the output. It walks along the inner axis: all threads copy a slice of both operands
 * into shared memory, then each adds the products of its own small square of the tile in registers (the scheme of
 * Volkov and Demmel, *Benchmarking GPUs to tune dense linear algebra*, 2008). Loops over registers are written out here
 * rather than left to the driver, which cannot see through the checks that WebGPU adds to indices.
 * @module
 */
import type { Activation } from "./activation.ts";
import { activationCode } from "./activation.ts";
import type { Kernel } from "./kernel.ts";
import {
  patchCode,
  type ProductKind,
  type Tile,
  unpackCode,
  type WeightFormat,
} from "./product_loads.ts";
import { capCode } from "./reduce.ts";

export type { WeightFormat } from "./product_loads.ts";

/** The names of {@linkcode TILES}. */
export type TileName = "small" | "medium" | "large";

/** Tiles for little and much work. In each of them there are as many patches of 4 × 4 numbers to copy as threads. */
export const TILES: Readonly<Record<TileName, Tile>> = {
  small: { rows: 32, columns: 32, depth: 16, threadsAcross: 8, threadsDown: 8 },
  medium: { rows: 64, columns: 64, depth: 32, threadsAcross: 16, threadsDown: 16 },
  large: { rows: 128, columns: 128, depth: 16, threadsAcross: 16, threadsDown: 16 },
};

/**
 * What a number of the output costs in each tile, as a share of the large one: a guess from how many products a thread
 * makes of each number that it reads from shared memory, to be replaced by what `bench/webgpu.ts` measures.
 */
const COSTS: Readonly<Record<TileName, number>> = { small: 1.8, medium: 1.2, large: 1 };

/**
 * What a product costs in a tile: all tiles that are made, edges that hang over included; a card that is not filled takes
 * as long as if it were.
 *
 * @param name The tile's name
 * @param rows Rows of the output
 * @param columns Columns of the output
 * @param busy Workgroups that fill the card
 * @returns A number to compare with those of other tiles
 */
export function tileCost(name: TileName, rows: number, columns: number, busy: number): number {
  const tile = TILES[name];
  const workgroups = Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns);
  return COSTS[name] * tile.rows * tile.columns * Math.max(workgroups, busy);
}

/** What is done with a sum of products before it is written. */
export type Epilogue =
  /** It is written. */
  | { readonly kind: "plain" }
  /** A residual stream is added. */
  | { readonly kind: "residual" }
  /** It is multiplied by the activation of another product. */
  | { readonly kind: "gated"; readonly activation: Activation }
  /** Its activation is taken. */
  | { readonly kind: "activated"; readonly activation: Activation }
  /** x becomes cap · tanh(x / cap). */
  | { readonly kind: "capped"; readonly cap: number }
  /** It is added to what is there; with `mirrored`, tiles above the diagonal are copied from below. */
  | { readonly kind: "accumulate"; readonly mirrored: boolean };

/** A product kernel. */
export interface ProductSettings {
  /** How it is split. */
  readonly tile: TileName;
  /** Which axes are multiplied. */
  readonly kind: ProductKind;
  /** How W lies on the card; `f32` for `outer`. */
  readonly format: WeightFormat;
  /** What is done with the sums. */
  readonly epilogue: Epilogue;
  /** Whether a bias is added to each column. */
  readonly bias: boolean;
}

/**
 * The kernel of a product. Rows of all matrices start at multiples of four numbers; what fills them up is zero.
 *
 * Bindings: 1 the left operand, 2 the right one, 3 the output, then the bias and what the epilogue reads, where they
 * are. Parameters: rows, columns / 4 of the right operand (rounded up; for `projection`, its rows), depth (rounded up to
 * 4 for `projection`), strides of left, right and output in fours, the first column of the output in fours, the first
 * column of the left operand in fours (`outer`), rows / 4 of it, whether to add to what is there.
 *
 * @param settings Which product
 * @returns The kernel
 */
export function productKernel(settings: ProductSettings): Kernel {
  const { tile, kind, format, epilogue, bias } = settings;
  const key = `product ${kind} ${tile} ${format} ${finishName(epilogue)}${bias ? " bias" : ""}`;
  return { key, code: () => productCode(settings) };
}

function finishName(epilogue: Epilogue): string {
  switch (epilogue.kind) {
    case "gated":
    case "activated":
      return `${epilogue.kind}-${epilogue.activation}`;
    case "capped":
      return `capped-${epilogue.cap}`;
    case "accumulate":
      return epilogue.mirrored ? "mirrored" : "accumulate";
    default:
      return epilogue.kind;
  }
}

/**
 * Shared memory of a tile.
 *
 * @param tile The tile
 * @returns Bytes
 */
export function tileBytes({ rows, columns, depth }: Tile): number {
  return 16 * depth * (rows / 4 + 1 + columns / 4 + 1);
}

/**
 * Workgroups of a product.
 *
 * @param tile The tile's name
 * @param rows Rows of the output
 * @param columns Columns of the output
 * @returns Workgroups along each axis
 */
export function productWorkgroups(
  tile: TileName,
  rows: number,
  columns: number,
): [number, number, number] {
  return [Math.ceil(columns / TILES[tile].columns), Math.ceil(rows / TILES[tile].rows), 1];
}

const PARAMETERS = `
struct Parameters {
  rows: u32,
  columns: u32,
  depth: u32,
  leftStride: u32,
  rightStride: u32,
  outputStride: u32,
  firstColumn: u32,
  leftFirst: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> p: Parameters;`;

function productCode(settings: ProductSettings): string {
  const { kind, format, epilogue, bias } = settings;
  const tile = TILES[settings.tile];
  const threads = tile.threadsAcross * tile.threadsDown;
  const reads = [
    ...(bias ? ["bias"] : []),
    ...(epilogue.kind === "residual" || epilogue.kind === "gated" ? ["other"] : []),
  ];
  const element = kind === "outer" || format === "f32" ? "vec4<f32>" : "vec2<u32>";
  const mirrored = epilogue.kind === "accumulate" && epilogue.mirrored;
  const patch = patchCode(settings, tile);
  return `${PARAMETERS}
@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> right: array<${element}>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
${
    reads.map((name, index) =>
      `@group(0) @binding(${4 + index}) var<storage, read> ${name}: array<vec4<f32>>;`
    ).join("\n")
  }
var<workgroup> leftTile: array<vec4<f32>, ${tile.depth * (tile.rows / 4 + 1)}>;
var<workgroup> rightTile: array<vec4<f32>, ${tile.depth * (tile.columns / 4 + 1)}>;
${"activation" in epilogue ? activationCode(epilogue.activation) : ""}
${unpackCode(kind === "outer" ? "f32" : format)}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let tileRow = workgroup.y * ${tile.rows}u;
  let tileColumn = workgroup.x * ${tile.columns}u;
  ${mirrored ? `if (tileColumn > tileRow + ${tile.rows - 1}u) { return; }` : ""}
  let across = thread % ${tile.threadsAcross}u;
  let down = thread / ${tile.threadsAcross}u;
  ${sums(tile).map(({ name }) => `var ${name} = vec4<f32>();`).join("\n  ")}
  ${[0, 1, 2, 3].map((row) => `var v${row} = vec4<f32>();`).join(" ")}
  ${patch.place}
  var start = 0u;
  ${patch.fetch}
  loop {
    ${patch.stash}
    workgroupBarrier();
    start += ${tile.depth}u;
    if (start < p.depth) {
      ${patch.fetch}
    }
    for (var k = 0u; k < ${tile.depth}u; k += 4u) {
      ${[0, 1, 2, 3].map((step) => stepCode(tile, step)).join("\n      ")}
    }
    if (start >= p.depth) { break; }
    workgroupBarrier();
  }
  ${sums(tile).map((sum) => storeCode(settings, tile, sum)).join("\n  ")}
  ${mirrored ? mirrorCode(tile) : ""}
}
`;
}

interface Sum {
  /** The variable. */
  readonly name: string;
  /** Its row among those of a thread: which four, and which of the four. */
  readonly row: readonly [number, number];
  /** Its four columns among those of a thread. */
  readonly column: number;
}

function sums(tile: Tile): readonly Sum[] {
  const rowFours = tile.rows / tile.threadsDown / 4;
  const columnFours = tile.columns / tile.threadsAcross / 4;
  return Array.from({ length: rowFours * 4 * columnFours }, (_, index) => {
    const column = index % columnFours;
    const row = Math.floor(index / columnFours);
    return {
      name: `sum${row}_${column}`,
      row: [Math.floor(row / 4), row % 4] as const,
      column,
    };
  });
}

/** One step along the inner axis: a column of the left tile times a row of the right one. */
function stepCode(tile: Tile, step: number): string {
  const rowFours = tile.rows / tile.threadsDown / 4;
  const columnFours = tile.columns / tile.threadsAcross / 4;
  const loads = [
    ...Array.from({ length: rowFours }, (_, four) => {
      const at = `(k + ${step}u) * ${tile.rows / 4 + 1}u + ${four * tile.threadsDown}u + down`;
      return `let l${step}_${four} = leftTile[${at}];`;
    }),
    ...Array.from({ length: columnFours }, (_, four) => {
      const at = `(k + ${step}u) * ${tile.columns / 4 + 1}u + ${
        four * tile.threadsAcross
      }u + across`;
      return `let r${step}_${four} = rightTile[${at}];`;
    }),
  ];
  const products = sums(tile).map(({ name, row: [four, one], column }) =>
    `${name} += l${step}_${four}.${"xyzw"[one]} * r${step}_${column};`
  );
  return [...loads, ...products].join("\n      ");
}

function rowOf(tile: Tile, four: number, one: number): string {
  return `tileRow + ${four * tile.threadsDown * 4 + one}u + down * 4u`;
}

function columnOf(tile: Tile, column: number): string {
  return `tileColumn / 4u + ${column * tile.threadsAcross}u + across`;
}

function storeCode(
  { epilogue, bias, kind }: ProductSettings,
  tile: Tile,
  { name, row: [four, one], column }: Sum,
): string {
  const columnCount = kind === "projection" ? "(p.columns + 3u) / 4u" : "p.rightStride";
  const value = bias ? `(${name} + bias[p.firstColumn + column])` : name;
  return `{
    let row = ${rowOf(tile, four, one)};
    let column = ${columnOf(tile, column)};
    if (row < p.rows && column < ${columnCount}) {
      let at = row * p.outputStride + p.firstColumn + column;
      ${finishCode(epilogue, value)}
    }
  }`;
}

function finishCode(epilogue: Epilogue, value: string): string {
  switch (epilogue.kind) {
    case "plain":
      return `output[at] = ${value};`;
    case "residual":
      return `output[at] = other[at] + ${value};`;
    case "gated":
      return `output[at] = activate(other[at]) * ${value};`;
    case "activated":
      return `output[at] = activate(${value});`;
    case "capped":
      return `output[at] = ${capCode(value, epilogue.cap, "vec4<f32>")};`;
    case "accumulate":
      return `if (p.accumulate != 0u) { output[at] += ${value}; } else { output[at] = ${value}; }`;
  }
}

/** What lies above the diagonal of a symmetric matrix, from the tile below it. */
function mirrorCode(tile: Tile): string {
  const columnFours = tile.columns / tile.threadsAcross / 4;
  const rowFours = tile.rows / tile.threadsDown / 4;
  const stores: string[] = [];
  for (let four = 0; four < rowFours; four++) {
    for (let column = 0; column < columnFours; column++) {
      for (let one = 0; one < 4; one++) {
        const values = [0, 1, 2, 3].map((row) => `sum${four * 4 + row}_${column}.${"xyzw"[one]}`);
        stores.push(`{
      let column = (${rowOf(tile, four, 0)}) / 4u;
      let row = (${columnOf(tile, column)}) * 4u + ${one}u;
      if (row < p.rows && column < p.rightStride) {
        let at = row * p.outputStride + column;
        let value = vec4<f32>(${values.join(", ")});
        if (p.accumulate != 0u) { output[at] += value; } else { output[at] = value; }
      }
    }`);
      }
    }
  }
  return `if (tileRow >= tileColumn + ${tile.columns}u) {
    ${stores.join("\n    ")}
  }`;
}
