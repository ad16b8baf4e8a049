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
import { capCode } from "./reduce.ts";

/** How a weight's numbers lie on the card: as in its file. Sums are float32 for all of them. */
export type WeightFormat = "f32" | "f16" | "bf16";

/** The names of {@linkcode TILES}. */
export type TileName = "small" | "medium" | "large";

/** How a product is split among workgroups and threads. */
export interface Tile {
  /** Rows of the output that a workgroup makes; so many fours for each of `threadsDown`. */
  readonly rows: number;
  /** Columns of the output that a workgroup makes; so many fours for each of `threadsAcross`. */
  readonly columns: number;
  /** Numbers along the inner axis that are in shared memory together. */
  readonly depth: number;
  /** Threads along the columns. */
  readonly threadsAcross: number;
  /** Threads along the rows. */
  readonly threadsDown: number;
}

/** Tiles for little and much work. A thread copies one patch of 4 × 4 numbers at a time in each of them. */
export const TILES: Readonly<Record<TileName, Tile>> = {
  small: { rows: 32, columns: 32, depth: 16, threadsAcross: 8, threadsDown: 8 },
  medium: { rows: 64, columns: 64, depth: 32, threadsAcross: 16, threadsDown: 16 },
  large: { rows: 128, columns: 128, depth: 16, threadsAcross: 16, threadsDown: 16 },
};

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
  /**
   * `projection`: x Wᵀ with x `[rows, depth]` and W `[columns, depth]`; `outer`: aᵀ b with a `[depth, rows]` and b
   * `[depth, columns]`.
   */
  readonly kind: "projection" | "outer";
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
  for (var start = 0u; start < p.depth; start += ${tile.depth}u) {
    ${loadCode(settings, tile, threads)}
    workgroupBarrier();
    for (var k = 0u; k < ${tile.depth}u; k += 4u) {
      ${[0, 1, 2, 3].map((step) => stepCode(tile, step)).join("\n      ")}
    }
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

/** Every thread copies patches of 4 × 4 numbers, turned so that the inner axis comes first. */
function loadCode(settings: ProductSettings, tile: Tile, threads: number): string {
  const depthFours = tile.depth / 4;
  const leftPatches = depthFours * tile.rows / 4;
  const rightPatches = depthFours * tile.columns / 4;
  const patches = leftPatches + rightPatches;
  const rows = settings.kind === "projection";
  const left = rows
    ? rowPatch("left", "leftTile", tile.rows, depthFours, {
      first: "tileRow",
      count: "p.rows",
      stride: "p.leftStride",
      unpack: "",
    })
    : columnPatch("left", "leftTile", tile.rows, {
      first: "tileRow / 4u + p.leftFirst",
      count: "p.leftStride",
      stride: "p.leftStride",
    });
  const right = rows
    ? rowPatch("right", "rightTile", tile.columns, depthFours, {
      first: "tileColumn",
      count: "p.columns",
      stride: "p.rightStride",
      unpack: "unpack",
    })
    : columnPatch("right", "rightTile", tile.columns, {
      first: "tileColumn / 4u",
      count: "p.rightStride",
      stride: "p.rightStride",
    });
  return `for (var patch_ = thread; patch_ < ${patches}u; patch_ += ${threads}u) {
      if (patch_ < ${leftPatches}u) {
        ${left}
      } else {
        let other_ = patch_ - ${leftPatches}u;
        ${right.replaceAll("patch_", "other_")}
      }
    }`;
}

interface PatchSource {
  readonly first: string;
  readonly count: string;
  readonly stride: string;
}

/** Four rows of four numbers along the inner axis, which is the rows' own: they are turned. */
function rowPatch(
  source: string,
  target: string,
  size: number,
  depthFours: number,
  { first, count, stride, unpack }: PatchSource & { readonly unpack: string },
): string {
  const stored = size / 4 + 1;
  const loads = [0, 1, 2, 3].map((row) =>
    `if (row + ${row}u < ${count} && four < p.depth / 4u) { v${row} = ${unpack}(${source}[(row + ${row}u) * ${stride} + four]); }`
  );
  const stores = [0, 1, 2, 3].map((step) => {
    const values = [0, 1, 2, 3].map((row) => `v${row}.${"xyzw"[step]}`).join(", ");
    return `${target}[(along * 4u + ${step}u) * ${stored}u + beside] = vec4<f32>(${values});`;
  });
  return `let along = patch_ % ${depthFours}u;
        let beside = patch_ / ${depthFours}u;
        let row = ${first} + beside * 4u;
        let four = start / 4u + along;
        ${[0, 1, 2, 3].map((row) => `var v${row} = vec4<f32>();`).join(" ")}
        ${[...loads, ...stores].join("\n        ")}`;
}

/** Four steps along the inner axis, each of four numbers beside each other. */
function columnPatch(
  source: string,
  target: string,
  size: number,
  { first, count, stride }: PatchSource,
): string {
  const stored = size / 4 + 1;
  const copies = [0, 1, 2, 3].map((step) =>
    `{
          var value = vec4<f32>();
          if (depth + ${step}u < p.depth && column < ${count}) { value = ${source}[(depth + ${step}u) * ${stride} + column]; }
          ${target}[(along * 4u + ${step}u) * ${stored}u + beside] = value;
        }`
  );
  return `let beside = patch_ % ${size / 4}u;
        let along = patch_ / ${size / 4}u;
        let column = ${first} + beside;
        let depth = start + along * 4u;
        ${copies.join("\n        ")}`;
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

/**
 * Code that unpacks four numbers of a weight.
 *
 * @param format How they lie on the card
 * @returns A function `unpack` in WGSL
 */
export function unpackCode(format: WeightFormat): string {
  switch (format) {
    case "f32":
      return "fn unpack(stored: vec4<f32>) -> vec4<f32> { return stored; }";
    case "f16":
      return `fn unpack(stored: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(stored.x), unpack2x16float(stored.y));
}`;
    case "bf16":
      return `fn unpack(stored: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(
    stored.x << 16u, stored.x & 0xffff0000u, stored.y << 16u, stored.y & 0xffff0000u,
  ));
}`;
  }
}
