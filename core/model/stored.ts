/**
 * Tensors as files have them: some families fuse projections into one tensor, or store matrices `[in, out]`. Everybody
 * else sees parts by role, `[out, in]`; where a part lies in its tensor, and how parts become one again, is said here.
 * @module
 */
import { blockTensorName, familyOf } from "./families.ts";
import { bytesPerNumber, numberCount } from "./number_formats.ts";
import type { Architecture, BlockRole, LayerShape, StridedLayout, TensorView } from "./types.ts";
import { blockRoles, blockTensorShape } from "./units.ts";

/** A tensor of a block as a file has it. */
export interface StoredTensor {
  /** Its name. */
  readonly name: string;
  /** The parts in it: one, or several that are fused. */
  readonly roles: readonly BlockRole[];
  /** Its sizes as they are stored. */
  readonly shape: readonly number[];
  /** Whether it is just its only part. */
  readonly plain: boolean;
}

/** Where a part lies in its tensor. */
interface PartPlace {
  readonly shape: readonly number[];
  /** Numbers before the part's first. */
  readonly start: number;
  readonly layout: StridedLayout;
}

/**
 * The tensors of a block as files have them.
 *
 * @param architecture What the model computes
 * @param shape The sizes of the block
 * @param layer The block's number, from 0
 * @returns The tensors, in the order of their first parts
 */
export function storedTensors(
  architecture: Architecture,
  shape: LayerShape,
  layer: number,
): readonly StoredTensor[] {
  const family = familyOf(architecture.family);
  const byName = new Map<string, BlockRole[]>();
  for (const role of blockRoles(architecture)) {
    const name = blockTensorName(family, role, layer);
    const roles = byName.get(name);
    if (roles === undefined) byName.set(name, [role]);
    else roles.push(role);
  }
  return [...byName].map(([name, roles]) => {
    const [first] = roles.map((role) => blockTensorShape(architecture, shape, role));
    const rows = roles.reduce(
      (sum, role) => sum + blockTensorShape(architecture, shape, role)[0],
      0,
    );
    const transposed = family.transposedMatrices === true && first.length === 2;
    const whole = [rows, ...first.slice(1)];
    return {
      name,
      roles,
      shape: transposed ? whole.toReversed() : whole,
      plain: roles.length === 1 && !transposed,
    };
  });
}

/**
 * The name under which a part can lie apart, in models whose files are not in the Hugging Face layout.
 *
 * @param stored The tensor
 * @param role The part
 * @returns The tensor's own name where it is just this part
 */
export function partName({ name, plain }: StoredTensor, role: BlockRole): string {
  return plain ? name : `${name}#${role}`;
}

/**
 * A part of a tensor, as a view.
 *
 * @param view The tensor in its file
 * @param stored What is in it
 * @param role The part
 * @param model What the model computes, and the sizes of the block
 * @returns The view, `[out, in]` or `[out]`
 */
export function partOf(
  view: TensorView,
  stored: StoredTensor,
  role: BlockRole,
  model: { readonly architecture: Architecture; readonly shape: LayerShape },
): TensorView {
  if (stored.plain) return view;
  const { shape, start, layout } = placeOf(stored, role, model);
  const bytes = bytesPerNumber(view.dataType);
  const [rows, columns = 1] = shape;
  const last = numberIndex(layout, rows - 1, columns - 1);
  const { name, dataType, path } = view;
  const contiguous = layout.runRows >= rows && layout.rowStride === columns &&
    layout.columnStride === 1;
  return {
    name,
    dataType,
    shape,
    path,
    offset: view.offset + start * bytes,
    byteLength: (last + 1) * bytes,
    ...(contiguous ? {} : { layout }),
  };
}

/**
 * Puts parts together as a file has them.
 *
 * @param stored The tensor
 * @param parts The numbers of each part, row-major
 * @param model What the model computes, and the sizes of the block
 * @returns The tensor's numbers
 */
export function joinParts(
  stored: StoredTensor,
  parts: ReadonlyMap<BlockRole, Float32Array>,
  model: { readonly architecture: Architecture; readonly shape: LayerShape },
): Float32Array {
  if (stored.plain) return parts.get(stored.roles[0])!;
  const result = new Float32Array(numberCount(stored.shape));
  for (const role of stored.roles) {
    const { shape: [rows, columns = 1], start, layout } = placeOf(stored, role, model);
    const numbers = parts.get(role)!;
    for (let row = 0, at = 0; row < rows; row++) {
      const first = start + numberIndex(layout, row, 0);
      for (let column = 0; column < columns; column++) {
        result[first + column * layout.columnStride] = numbers[at++];
      }
    }
  }
  return result;
}

/**
 * Where a number lies.
 *
 * @param layout How the tensor lies
 * @param row Its row
 * @param column Its column
 * @returns Numbers behind the tensor's first
 */
export function numberIndex(layout: StridedLayout, row: number, column: number): number {
  const { runRows, runStride, rowStride, columnStride } = layout;
  return Math.floor(row / runRows) * runStride + (row % runRows) * rowStride +
    column * columnStride;
}

function placeOf(
  stored: StoredTensor,
  role: BlockRole,
  { architecture, shape }: { readonly architecture: Architecture; readonly shape: LayerShape },
): PartPlace {
  const { fusedRows, transposedMatrices } = familyOf(architecture.family);
  const own = blockTensorShape(architecture, shape, role);
  const before = stored.roles.slice(0, stored.roles.indexOf(role))
    .reduce((sum, other) => sum + blockTensorShape(architecture, shape, other)[0], 0);
  const matrix = own.length === 2;
  const transposed = transposedMatrices === true && matrix;
  const rowStride = transposed ? stored.shape[1] : matrix ? own[1] : 1;
  const [stride, columnStride] = transposed ? [1, stored.shape[1]] : [rowStride, 1];
  if (fusedRows === "by-head" && stored.roles.length > 1) {
    const { headSize } = architecture;
    return {
      shape: own,
      start: stored.roles.indexOf(role) * headSize * stride,
      layout: {
        runRows: headSize,
        runStride: stored.roles.length * headSize * stride,
        rowStride: stride,
        columnStride,
      },
    };
  }
  return {
    shape: own,
    start: before * stride,
    layout: { runRows: own[0], runStride: 0, rowStride: stride, columnStride },
  };
}
