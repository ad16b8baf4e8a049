/**
 * Gram matrices at their places in a file of statistics before the rest of it is known: they are most of the file, and
 * need not be written a second time when it is finished.
 * @module
 */
import { completeSafetensors, layOutSafetensors } from "../model/safetensors.ts";
import { isView } from "../model/tensor_reader.ts";
import type { Architecture, Structure, Tensor } from "../model/types.ts";
import { STRUCTURES, unitCount } from "../model/units.ts";
import type { GramPlace } from "./layer_sums.ts";
import { statisticsContents } from "./store.ts";
import type { DomainSums, KindStatistics, LayerStatistics, Statistics } from "./types.ts";

/**
 * Layers as they will be, with sizes alone: their numbers are not to be looked at.
 *
 * @param architecture The model's sizes
 * @param domains Tokens of each domain
 * @param options Whether there are orders of `obs`
 * @returns Layers with Gram matrices
 */
export function blankLayers(
  { layers, headSize }: Pick<Architecture, "layers" | "headSize">,
  domains: readonly { readonly tokens: number }[],
  options: { readonly obs: boolean },
): readonly LayerStatistics[] {
  return layers.map((shape) => {
    const kind = (structure: Structure, channels: number): KindStatistics => {
      const numbers = new Float64Array(channels);
      const gram = { shape: [channels, channels], data: new Float32Array() };
      const units = unitCount(shape, structure);
      const errors = new Float64Array(units + 1);
      return {
        domains: domains.map(({ tokens }) => ({
          tokens,
          sum: numbers,
          sumOfSquares: numbers,
          gram,
        })),
        heldOutGram: gram,
        weights: { columnNorm: numbers, columnMeanAbsolute: numbers, rowNorm: numbers },
        obs: options.obs
          ? { order: new Int32Array(units), refittedError: errors, plainError: errors }
          : undefined,
      };
    };
    return {
      ffn: kind("ffn", shape.ffnWidth),
      heads: kind("heads", shape.queryHeads * headSize),
    };
  });
}

/** Where Gram matrices will lie. */
export interface MatrixPlaces {
  /** Where the first tensor of the file begins. */
  readonly start: number;
  /** Where matrices begin in the file, by name. */
  readonly offsets: ReadonlyMap<string, number>;
  /** Bytes of the file. */
  readonly fileBytes: number;
}

/**
 * Where the Gram matrices of statistics will lie in their file.
 *
 * @param statistics The statistics, of which sizes and words alone matter; damage may be learned later
 * @returns Their places
 */
export function matrixPlaces(statistics: Statistics): MatrixPlaces {
  const { entries, metadata, leastStart } = statisticsContents(statistics);
  const { header, offsets, fileBytes } = layOutSafetensors("", entries, metadata, leastStart);
  const names = statistics.layers.flatMap((
    layer,
    index,
  ) => [...layerMatrices(index, layer).keys()]);
  return {
    start: header.length,
    offsets: new Map(names.map((name) => [name, offsets.get(name)!])),
    fileBytes,
  };
}

/**
 * Finishes a file of statistics in which all Gram matrices lie already.
 *
 * @param statistics The statistics; their matrices are views
 * @param path The file
 * @returns Whether it is finished, with the bytes that `saveStatistics` writes; false if a matrix lies elsewhere, and
 * then nothing was done
 * @throws {ExportError} if the disk refuses
 */
export async function completeStatistics(statistics: Statistics, path: string): Promise<boolean> {
  const { entries, metadata, leastStart } = statisticsContents(statistics);
  const layout = layOutSafetensors(path, entries, metadata, leastStart);
  const matrices = new Map(
    statistics.layers.flatMap((layer, index) => [...layerMatrices(index, layer)]),
  );
  const realPath = await Deno.realPath(path).catch(() => undefined);
  const areThere = [...matrices].every(([name, matrix]) =>
    isView(matrix) && matrix.path === realPath && matrix.offset === layout.offsets.get(name)
  );
  if (matrices.size === 0 || !areThere) return false;
  await completeSafetensors(path, entries, layout, (name) => matrices.has(name));
  return true;
}

/**
 * The name that a domain's Gram matrix has in a file of statistics.
 *
 * @param place Whose it is
 * @returns The name
 */
export function gramName({ layer, structure, domain }: GramPlace): string {
  return `layers.${layer}.${structure}.${domain}.gram`;
}

/**
 * The Gram matrices of a layer.
 *
 * @param layer The layer's number in its file
 * @param statistics Its statistics
 * @returns The matrices by the names that they have in a file
 */
export function layerMatrices(
  layer: number,
  statistics: LayerStatistics,
): ReadonlyMap<string, Tensor> {
  const matrices = new Map<string, Tensor>();
  for (const structure of STRUCTURES) {
    const { domains, heldOutGram } = statistics[structure];
    const prefix = `layers.${layer}.${structure}`;
    for (const [index, { gram }] of domains.entries()) {
      if (gram !== undefined) matrices.set(gramName({ layer, structure, domain: index }), gram);
    }
    if (heldOutGram !== undefined) matrices.set(`${prefix}.heldOutGram`, heldOutGram);
  }
  return matrices;
}

/**
 * A layer with other matrices in place of its own.
 *
 * @param layer The layer's number in its file
 * @param statistics Its statistics
 * @param matrixOf Gives a matrix by the name that it has in a file; undefined for none
 * @returns The statistics
 */
export function withMatrices(
  layer: number,
  statistics: LayerStatistics,
  matrixOf: (name: string) => Tensor | undefined,
): LayerStatistics {
  const kind = (structure: Structure): KindStatistics => {
    const prefix = `layers.${layer}.${structure}`;
    const { domains, ...rest } = statistics[structure];
    return {
      ...rest,
      domains: domains.map((sums, index) =>
        withGram(sums, matrixOf(gramName({ layer, structure, domain: index })))
      ),
      heldOutGram: matrixOf(`${prefix}.heldOutGram`),
    };
  };
  return { ffn: kind("ffn"), heads: kind("heads") };
}

/** Numbers that stay in a file until they are looked at stay there: a spread would read them. */
function withGram(sums: DomainSums, gram: Tensor | undefined): DomainSums {
  const result = { tokens: sums.tokens, gram };
  const { sum, sumOfSquares } = Object.getOwnPropertyDescriptors(sums);
  return Object.defineProperties(result, { sum, sumOfSquares }) as DomainSums;
}
