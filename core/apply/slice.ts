/**
 * Keeping some units of a tensor, in the numbers' own storage: bytes move, nothing is converted.
 * @module
 */
import { blockRoles, unitCount, unitCuts, withUnits } from "../model/units.ts";
import type { Architecture, BlockRole, LayerShape, Structure } from "../model/types.ts";
import type { LayerPlan } from "../plan/types.ts";

/** Which slices of one axis of a tensor stay. */
export interface KeptSlices {
  /** The axis: 0 for rows, 1 for columns. */
  readonly axis: 0 | 1;
  /** Numbers of the slices that stay, ascending. */
  readonly slices: readonly number[];
}

/**
 * The units of a kind that a plan keeps in a layer.
 *
 * @param plan The layer's plan
 * @param structure The kind of unit
 * @returns Unit numbers, ascending
 */
export function keptUnits(plan: LayerPlan, structure: Structure): readonly number[] {
  return structure === "ffn" ? plan.ffnKept : plan.keyValueHeadsKept;
}

/**
 * The sizes of a layer after a plan.
 *
 * @param shape The sizes before
 * @param plan The layer's plan
 * @returns The sizes after
 */
export function shapeAfter(shape: LayerShape, plan: LayerPlan): LayerShape {
  const ffn = withUnits(shape, "ffn", plan.ffnKept.length);
  return withUnits(ffn, "heads", plan.keyValueHeadsKept.length);
}

/**
 * Which slices of a layer's tensors stay. Tensors that lose nothing are left out.
 *
 * @param architecture What the model computes
 * @param shape The sizes of the layer before
 * @param plan The layer's plan
 * @returns Axis and slices by the tensor's role
 */
export function keptSlices(
  architecture: Architecture,
  shape: LayerShape,
  plan: LayerPlan,
): ReadonlyMap<BlockRole, KeptSlices> {
  const result = new Map<BlockRole, KeptSlices>();
  for (const structure of ["ffn", "heads"] as const) {
    const kept = keptUnits(plan, structure);
    if (kept.length === unitCount(shape, structure)) continue;
    for (const { role, axis, size } of unitCuts(architecture, shape, structure)) {
      result.set(role, { axis, slices: channelsOf(kept, size) });
    }
  }
  return result;
}

/**
 * The projection that ends the units of a kind: the only tensor that they take columns of.
 *
 * @param architecture What the model computes
 * @param shape The sizes of the layer
 * @param structure The kind of unit
 * @returns Its weight's role, and that of the bias that it could have
 */
export function closingRoles(
  architecture: Architecture,
  shape: LayerShape,
  structure: Structure,
): { readonly weight: BlockRole; readonly bias: BlockRole; readonly hasBias: boolean } {
  const cut = unitCuts(architecture, shape, structure).find(({ axis }) => axis === 1);
  const weight = cut?.role ?? "down_proj.weight";
  const bias = weight.replace(".weight", ".bias") as BlockRole;
  return { weight, bias, hasBias: blockRoles(architecture).includes(bias) };
}

/**
 * The channels of units.
 *
 * @param units Unit numbers
 * @param size Channels of each; unit u has channels `u * size` to `(u + 1) * size`
 * @returns Channel numbers, in the order of the units
 */
export function channelsOf(units: readonly number[], size: number): number[] {
  return units.flatMap((unit) => Array.from({ length: size }, (_, index) => unit * size + index));
}

/**
 * The bytes of a tensor that has lost slices.
 *
 * @param bytes The tensor's bytes, row-major
 * @param shape Its sizes: one or two axes
 * @param kept Which slices stay
 * @returns Bytes of what stays
 */
export function sliceBytes(
  bytes: Uint8Array,
  shape: readonly number[],
  { axis, slices }: KeptSlices,
): Uint8Array<ArrayBuffer> {
  const rows = shape[0];
  const rowBytes = bytes.length / rows;
  if (axis === 0) {
    const result = new Uint8Array(slices.length * rowBytes);
    slices.forEach((row, index) =>
      result.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), index * rowBytes)
    );
    return result;
  }
  const width = rowBytes / shape[1];
  const result = new Uint8Array(rows * slices.length * width);
  // Whole words move several times faster than single bytes; 8 bytes go as two words of 4.
  const word = Math.min(width, 4);
  const words = Int32Array.from(channelsOf(slices, width / word));
  const [from, to] = [asWords(bytes, word), asWords(result, word)];
  const rowWords = rowBytes / word;
  for (let row = 0, at = 0; row < rows; row++) {
    const start = row * rowWords;
    for (let index = 0; index < words.length; index++) to[at++] = from[start + words[index]];
  }
  return result;
}

/**
 * The numbers of a tensor that has lost slices.
 *
 * @param data The tensor's numbers, row-major
 * @param shape Its sizes: one or two axes
 * @param kept Which slices stay
 * @returns The numbers that stay
 */
export function sliceNumbers(
  data: Float32Array,
  shape: readonly number[],
  kept: KeptSlices,
): Float32Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return new Float32Array(sliceBytes(bytes, shape, kept).buffer);
}

/**
 * A tensor's sizes after it has lost slices.
 *
 * @param shape Its sizes before
 * @param kept Which slices stay
 * @returns Its sizes after
 */
export function sliceShape(shape: readonly number[], { axis, slices }: KeptSlices): number[] {
  return shape.map((size, index) => index === axis ? slices.length : size);
}

function asWords(bytes: Uint8Array, word: number): Uint8Array | Uint16Array | Uint32Array {
  if (word === 1) return bytes;
  const aligned = bytes.byteOffset % word === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  return word === 2
    ? new Uint16Array(buffer, byteOffset, byteLength / 2)
    : new Uint32Array(buffer, byteOffset, byteLength / 4);
}
