/**
 * Parts of statistics in files: the sums of some units of a calibration that several machines share, with what it takes
 * to put the parts together and to see that they belong together.
 * @module
 */
import { z } from "zod";
import { joinWindows } from "../../engine/batches.ts";
import { StatisticsError } from "../../errors.ts";
import {
  readSafetensorsHeader,
  type TensorEntry,
  writeSafetensors,
} from "../../model/safetensors.ts";
import { readTensorBytes } from "../../model/tensor_reader.ts";
import type { LayerShape, TensorView } from "../../model/types.ts";
import { STRUCTURES } from "../../model/units.ts";
import { parseJson } from "../../json.ts";
import { requestShape } from "../../plan/store.ts";
import type { PlanRequest } from "../../plan/types.ts";
import { cutWindows } from "../../text/windows.ts";
import { halfLength } from "../../calibrate/gram_halves.ts";
import { layerShape, sumEntries } from "../../calibrate/store.ts";
import type { DomainSums } from "../../calibrate/types.ts";
import type { Shard, SumUnit, UnitSums } from "../../calibrate/units.ts";

/** The name of the metadata that makes a file a part. */
export const partKey = "gprune.part";

/** A unit of the whole calibration, without its windows. */
export type UnitRecord = Omit<SumUnit, "windows" | "index"> & {
  /** How many windows it has. */
  readonly count: number;
};

/** What a part says in words. */
export interface PartWords {
  /** Name and version of the format. */
  readonly schema: "gprune.statistics-part/1";
  /** Which part of how many. */
  readonly shard: Shard;
  /** The model. */
  readonly model: {
    readonly source: string;
    readonly fingerprint: string;
    readonly layers: readonly LayerShape[];
    readonly headSize: number;
  };
  /** What the calibration depends on, for people and for comparison. */
  readonly conditions: readonly { readonly name: string; readonly value: string }[];
  /** What was asked for. */
  readonly request: PlanRequest;
  /** Seed of sampling. */
  readonly seed: number;
  /** Windows per domain. */
  readonly samples: number;
  /** Tokens per window. */
  readonly seqLen: number;
  /** Whether Gram matrices were summed. */
  readonly gram: boolean;
  /** Whether damage is to be learned when the parts are put together. */
  readonly learn: boolean;
  /** The texts. */
  readonly texts: readonly { readonly name: string; readonly sha256: string }[];
  /** All units of the calibration, in their order. */
  readonly units: readonly UnitRecord[];
  /** Numbers of the units that this part holds. */
  readonly own: readonly number[];
}

/** A part that was read. */
export interface StatisticsPart {
  /** The file, for messages. */
  readonly path: string;
  /** What it says. */
  readonly words: PartWords;
  /** The windows of a unit that it holds. */
  readonly windows: (unit: number) => Promise<readonly Int32Array[]>;
  /** The sums of a layer over a unit that it holds; matrices stay in the file. */
  readonly sums: (layer: number, unit: number) => Promise<UnitSums>;
}

const count = z.number().int().min(0);
const partWords = z.object({
  schema: z.literal("gprune.statistics-part/1"),
  shard: z.object({ index: z.number().int().positive(), count: z.number().int().positive() }),
  model: z.object({
    source: z.string(),
    fingerprint: z.string(),
    layers: z.array(layerShape),
    headSize: z.number().int().positive(),
  }),
  conditions: z.array(z.object({ name: z.string(), value: z.string() })),
  request: requestShape,
  seed: z.number(),
  samples: count,
  seqLen: count,
  gram: z.boolean(),
  learn: z.boolean(),
  texts: z.array(z.object({ name: z.string(), sha256: z.string() })),
  units: z.array(z.object({ domain: z.string(), heldOut: z.boolean(), first: count, count })),
  own: z.array(count),
});

/**
 * The tensors of the sums over one unit.
 *
 * @param layer Counted from 0
 * @param unit The unit's number
 * @param sums Its sums
 * @returns Entries of a file
 */
export function unitEntries(layer: number, unit: number, sums: UnitSums): readonly TensorEntry[] {
  return STRUCTURES.flatMap((structure) =>
    sumEntries(`layers.${layer}.${structure}.${unit}`, sums[structure])
  );
}

/**
 * Writes a part to a file.
 *
 * @param path The file; replaced if it is there
 * @param words What it says
 * @param windows Windows of its units, in the order of `words.own`
 * @param entries Tensors that {@linkcode unitEntries} made
 * @throws {ExportError} if the disk refuses
 */
export async function savePart(
  path: string,
  words: PartWords,
  windows: readonly (readonly Int32Array[])[],
  entries: readonly TensorEntry[],
): Promise<void> {
  const tokens = words.own.map((unit, index): TensorEntry => ({
    name: `windows.${unit}`,
    dataType: "I32",
    shape: [windows[index].length, words.seqLen],
    bytes: () => new Uint8Array(joinWindows(windows[index]).buffer),
  }));
  const metadata = { [partKey]: JSON.stringify(words) };
  await writeSafetensors(path, [...tokens, ...entries], { metadata });
}

/**
 * Reads a part from a file. Sums stay there until they are asked for.
 *
 * @param path A file that {@linkcode savePart} wrote
 * @returns The part
 * @throws {StatisticsError} if the file is missing, damaged or something else
 */
export async function loadPart(path: string): Promise<StatisticsPart> {
  try {
    const { tensors, metadata } = await readSafetensorsHeader(path);
    const text = metadata[partKey];
    if (text === undefined) {
      throw new Error(
        "gprune" in metadata
          ? "it holds whole statistics, which need no merging"
          : "it holds no part of statistics; 'gprune calibrate --shard I/N' writes them",
      );
    }
    const parsed = partWords.safeParse(parseJson(text));
    if (!parsed.success) throw new Error(z.prettifyError(parsed.error).replaceAll("\n", " "));
    const words = parsed.data;
    const stranger = words.own.find((unit) => words.units[unit] === undefined);
    if (stranger !== undefined) throw new Error(`it names unit ${stranger}, which there is not`);
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    const tensor = (name: string, dataType: string, shape: readonly number[]): TensorView => {
      const found = byName.get(name);
      if (found?.dataType === dataType && found.shape.join() === shape.join()) return found;
      throw new StatisticsError(
        `Cannot read statistics part '${path}': '${name}' is missing or has another shape; calibrate this part again`,
      );
    };
    const doubles = async (name: string, channels: number) =>
      new Float64Array((await readTensorBytes(tensor(name, "F64", [channels]))).buffer);
    const { headSize } = words.model;
    const kind = async (
      layer: number,
      structure: "ffn" | "heads",
      unit: number,
    ): Promise<DomainSums> => {
      const { ffnWidth, queryHeads } = words.model.layers[layer];
      const n = structure === "ffn" ? ffnWidth : queryHeads * headSize;
      const prefix = `layers.${layer}.${structure}.${unit}`;
      return {
        tokens: words.units[unit].count * words.seqLen,
        sum: await doubles(`${prefix}.sum`, n),
        sumOfSquares: await doubles(`${prefix}.sumOfSquares`, n),
        gram: words.gram ? tensor(`${prefix}.gram`, "F32", [halfLength(n)]) : undefined,
      };
    };
    return {
      path,
      words,
      windows: async (unit) => {
        const shape = [words.units[unit].count, words.seqLen];
        const bytes = await readTensorBytes(tensor(`windows.${unit}`, "I32", shape));
        return cutWindows(new Int32Array(bytes.buffer), words.seqLen);
      },
      sums: async (layer, unit) => ({
        ffn: await kind(layer, "ffn", unit),
        heads: await kind(layer, "heads", unit),
      }),
    };
  } catch (cause) {
    if (cause instanceof StatisticsError) throw cause;
    throw new StatisticsError(
      `Cannot read statistics part '${path}': ${(cause as Error).message}`,
      { cause },
    );
  }
}
