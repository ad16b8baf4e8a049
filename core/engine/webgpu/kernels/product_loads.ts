/**
 * How product kernels read their operands: from memory to registers, and from there to shared memory.
 * @module
 */

/** How a weight's numbers lie on the card: as in its file. Sums are float32 for all of them. */
export type WeightFormat = "f32" | "f16" | "bf16";

/**
 * `projection`: x Wᵀ with x `[rows, depth]` and W `[columns, depth]`; `outer`: aᵀ b with a `[depth, rows]` and b
 * `[depth, columns]`.
 */
export type ProductKind = "projection" | "outer";

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

/** How a thread copies its patch of 4 × 4 numbers from one of the operands to shared memory. */
export interface PatchCode {
  /** Which patch is its own. */
  readonly place: string;
  /** Reads it from the operand into `v0` to `v3`. */
  readonly fetch: string;
  /** Writes it to shared memory, turned so that the inner axis comes first. */
  readonly stash: string;
}

/**
 * Every thread copies one patch: the first half of the threads from the left operand, the others from the right one.
 * The next slice is read into registers before the products of this one are made, so that memory and arithmetic
 * overlap without a second tile in shared memory.
 *
 * @param product Which product
 * @param tile How it is split; as many patches as threads
 * @returns Code
 */
export function patchCode(
  { kind, format }: { readonly kind: ProductKind; readonly format: WeightFormat },
  tile: Tile,
): PatchCode {
  const depthFours = tile.depth / 4;
  const leftPatches = depthFours * tile.rows / 4;
  const rows = kind === "projection";
  const place = (size: number, first: number) =>
    rows
      ? `along = (thread - ${first}u) % ${depthFours}u; beside = (thread - ${first}u) / ${depthFours}u;`
      : `beside = (thread - ${first}u) % ${size / 4}u; along = (thread - ${first}u) / ${
        size / 4
      }u;`;
  const sides = (left: string, right: string) =>
    `if (isLeft) {
      ${left}
    } else {
      ${right}
    }`;
  const left = { name: "left", stride: "p.leftStride" };
  const right = { name: "right", stride: "p.rightStride" };
  return {
    place: `let isLeft = thread < ${leftPatches}u;
  var along = 0u;
  var beside = 0u;
  ${sides(place(tile.rows, 0), place(tile.columns, leftPatches))}`,
    fetch: rows
      ? sides(
        fetchRows({ ...left, first: "tileRow", count: "p.rows", unpack: "" }),
        fetchRows({
          ...right,
          first: "tileColumn",
          count: "p.columns",
          unpack: format === "f32" ? "" : "unpack",
        }),
      )
      : sides(
        fetchColumns({ ...left, first: "tileRow / 4u + p.leftFirst" }),
        fetchColumns({ ...right, first: "tileColumn / 4u" }),
      ),
    stash: sides(
      stashCode("leftTile", tile.rows, kind),
      stashCode("rightTile", tile.columns, kind),
    ),
  };
}

interface PatchSource {
  readonly name: string;
  readonly first: string;
  readonly stride: string;
}

/** Four rows of four numbers along the inner axis, which is the rows' own. */
function fetchRows(
  { name, first, stride, count, unpack }: PatchSource & {
    readonly count: string;
    readonly unpack: string;
  },
): string {
  const loads = [0, 1, 2, 3].map((row) =>
    `v${row} = vec4<f32>();
      if (row + ${row}u < ${count} && four < p.depth / 4u) { v${row} = ${unpack}(${name}[(row + ${row}u) * ${stride} + four]); }`
  );
  return `let row = ${first} + beside * 4u;
      let four = start / 4u + along;
      ${loads.join("\n      ")}`;
}

/** Four steps along the inner axis, each of four numbers beside each other. */
function fetchColumns({ name, first, stride }: PatchSource): string {
  const loads = [0, 1, 2, 3].map((step) =>
    `v${step} = vec4<f32>();
      if (depth + ${step}u < p.depth && column < ${stride}) { v${step} = ${name}[(depth + ${step}u) * ${stride} + column]; }`
  );
  return `let column = ${first} + beside;
      let depth = start + along * 4u;
      ${loads.join("\n      ")}`;
}

function stashCode(target: string, size: number, kind: ProductKind): string {
  const stored = size / 4 + 1;
  return [0, 1, 2, 3].map((step) => {
    const turned = [0, 1, 2, 3].map((row) => `v${row}.${"xyzw"[step]}`).join(", ");
    const value = kind === "outer" ? `v${step}` : `vec4<f32>(${turned})`;
    return `${target}[(along * 4u + ${step}u) * ${stored}u + beside] = ${value};`;
  }).join("\n      ");
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
