/**
 * Statistics in files: one safetensors file whose metadata hold the words and whose tensors hold the numbers, so that
 * Gram matrices can stay in the file until a layer needs them.
 * @module
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { attentionKinds } from "../model/config/attention.ts";
import { StatisticsError } from "../errors.ts";
import {
  layOutSafetensors,
  readSafetensorsHeader,
  type TensorEntry,
  writeSafetensors,
} from "../model/safetensors.ts";
import { isView, readTensorBytes, tensorPieces } from "../model/tensor_reader.ts";
import type { Tensor, TensorView } from "../model/types.ts";
import { STRUCTURES } from "../model/units.ts";
import { joinWindows } from "../engine/batches.ts";
import { parseJson } from "../json.ts";
import { cutWindows } from "../text/windows.ts";
import { statisticsFault } from "./check_statistics.ts";
import { halfLength, halfPieces } from "./gram_halves.ts";
import { readWhenAsked } from "./stored_numbers.ts";
import type {
  DomainSums,
  DomainWindows,
  KindStatistics,
  LayerStatistics,
  RemovalOrder,
  Statistics,
} from "./types.ts";

const metadataKey = "gprune";

/** The sizes of a layer in a file. */
export const layerShape = z.object({
  ffnWidth: z.number().int().positive(),
  keyValueHeads: z.number().int().positive(),
  queryHeads: z.number().int().positive(),
  attention: z.enum(attentionKinds).optional(),
});
const words = z.object({
  schema: z.literal("gprune.statistics/1"),
  model: z.object({
    source: z.string(),
    fingerprint: z.string(),
    layers: z.array(layerShape),
  }),
  seed: z.number(),
  domains: z.array(z.object({
    name: z.string(),
    tokens: z.number(),
    windows: z.number(),
    heldOutWindows: z.number(),
    seqLen: z.number(),
    sha256: z.string(),
  })),
  orderDomains: z.array(z.string()).optional(),
  learned: z.object({
    domains: z.array(z.string()),
    denseLoss: z.array(z.number()),
    calibrationPasses: z.number(),
    curves: z.array(z.object({
      layer: z.number(),
      structure: z.enum(["ffn", "heads"]),
      fractions: z.array(z.number()),
      relativeErrors: z.array(z.number()),
      damage: z.array(z.number()),
      damagePerDomain: z.array(z.array(z.number())),
    })),
  }).optional(),
  /** Tokens of each domain, by layer: the one number a layer that is no array. */
  layerTokens: z.array(z.record(z.string(), z.array(z.number()))),
});

/**
 * Writes statistics to a file.
 *
 * @param statistics What to write
 * @param path The file; replaced if it is there
 * @throws {ExportError} if the disk refuses
 */
export async function saveStatistics(statistics: Statistics, path: string): Promise<void> {
  const { entries, ...options } = statisticsContents(statistics);
  await writeSafetensors(path, entries, { ...options, hash: false });
}

/** What a file of statistics holds. */
export interface StatisticsContents {
  /** Its tensors, in their order. */
  readonly entries: readonly TensorEntry[];
  /** Its words. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Bytes before the first tensor, at least. */
  readonly leastStart: number;
}

/**
 * What a file of statistics holds.
 *
 * @param statistics The statistics
 * @returns Its contents
 */
export function statisticsContents(statistics: Statistics): StatisticsContents {
  const { layers, windows, ...rest } = statistics;
  const layerTokens = layers.map((layer) =>
    Object.fromEntries(
      STRUCTURES.map((structure) => [structure, layer[structure].domains.map((d) => d.tokens)]),
    )
  );
  const sums = layers.flatMap((layer, index) =>
    STRUCTURES.flatMap((structure) => kindEntries(`layers.${index}.${structure}`, layer[structure]))
  );
  const tokens = (windows ?? []).flatMap(({ name, calibration, heldOut }) => [
    tokenEntry(`windows.${name}.calibration`, calibration),
    tokenEntry(`windows.${name}.heldOut`, heldOut),
  ]);
  const entries = [...tokens, ...sums];
  const wordsOf = (rest: object) => ({ [metadataKey]: JSON.stringify({ ...rest, layerTokens }) });
  return { entries, metadata: wordsOf(rest), leastStart: startOfTensors() };

  /** Matrices are put in their places before it is known what is learned from them: its words have room kept for them. */
  function startOfTensors(): number {
    if (!layers.some(({ ffn }) => ffn.domains.some(({ gram }) => gram !== undefined))) return 0;
    const { header } = layOutSafetensors("", entries, wordsOf({ ...rest, learned: undefined }));
    const domains = statistics.domains.length;
    const perCurve = curveBytes + pointsPerCurve * bytesPerPoint * (3 + domains);
    const learnedBytes = STRUCTURES.length * layers.length * perCurve + curveBytes * (1 + domains);
    return Math.ceil((header.length + learnedBytes) / PAGE) * PAGE;
  }
}

/** The longest words about damage: names of fields, and numbers of up to 24 characters with what is between them. */
const curveBytes = 256, bytesPerPoint = 26, pointsPerCurve = 4;
/** A little more or less to say in words moves no tensor. */
const PAGE = 4096;

/** Options of {@linkcode loadStatistics}. */
export interface LoadStatisticsOptions {
  /**
   * Whether the numbers of each channel stay in the file too, and are read at every look at them: for whoever looks at
   * one layer at a time and leaves the file alone. They are checked all the same. Default false.
   */
  readonly leavesNumbers?: boolean;
}

/**
 * Reads statistics from a file. Gram matrices stay there until they are asked for.
 *
 * @param path A file that {@linkcode saveStatistics} wrote
 * @param options What else stays there
 * @returns The statistics
 * @throws {StatisticsError} if the file is missing, damaged or something else
 */
export async function loadStatistics(
  path: string,
  options: LoadStatisticsOptions = {},
): Promise<Statistics> {
  try {
    const { tensors, metadata } = await readSafetensorsHeader(path);
    const text = metadata[metadataKey];
    if (text === undefined) {
      throw new Error(
        "gprune.part" in metadata
          ? "it holds one part of statistics; give all parts to 'gprune merge' first"
          : "it holds no statistics of gprune",
      );
    }
    const parsed = words.safeParse(parseJson(text, { repeatedKeys: "refuse" }));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new Error(`field '${issue.path.join(".")}': ${issue.message}`);
    }
    const { layerTokens, ...rest } = parsed.data;
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    const layers: LayerStatistics[] = [];
    for (const [index, tokens] of layerTokens.entries()) {
      const kind = (structure: "ffn" | "heads") =>
        readKind(byName, `layers.${index}.${structure}`, tokens[structure], options);
      layers.push({ ffn: await kind("ffn"), heads: await kind("heads") });
    }
    const windows = await readWindows(byName, rest.domains.map(({ name }) => name));
    const statistics = { ...rest, windows, layers };
    const fault = statisticsFault(statistics);
    if (fault !== undefined) throw new Error(fault);
    return statistics;
  } catch (cause) {
    const reason = (cause as Error).message.replace(`Cannot read '${path}': `, "");
    throw new StatisticsError(
      `Cannot read statistics '${path}': ${reason}`,
      { cause },
    );
  }
}

/**
 * A hash that tells statistics apart without reading their matrices: of everything that the file says in words, and of
 * where its numbers lie.
 *
 * @param path A file that {@linkcode saveStatistics} wrote
 * @returns SHA-256 as hexadecimal digits
 * @throws {ModelError} if the file cannot be read
 */
export async function hashStatistics(path: string): Promise<string> {
  const { tensors, metadata, fileBytes } = await readSafetensorsHeader(path);
  const hash = createHash("sha256").update(JSON.stringify([metadata, fileBytes]));
  for (const tensor of tensors) {
    // Matrices are in single precision, tokens are integers.
    if (tensor.dataType === "F64") hash.update(await readTensorBytes(tensor));
  }
  return hash.digest("hex");
}

function kindEntries(prefix: string, kind: KindStatistics): readonly TensorEntry[] {
  const { weights, obs, heldOutGram } = kind;
  return [
    ...kind.domains.flatMap((domain, index) => sumEntries(`${prefix}.${index}`, domain)),
    ...(heldOutGram === undefined ? [] : [matrix(`${prefix}.heldOutGram`, heldOutGram)]),
    doubles(`${prefix}.columnNorm`, weights.columnNorm),
    doubles(`${prefix}.columnMeanAbsolute`, weights.columnMeanAbsolute),
    doubles(`${prefix}.rowNorm`, weights.rowNorm),
    ...(obs === undefined ? [] : [
      doubles(`${prefix}.obs.order`, Float64Array.from(obs.order)),
      doubles(`${prefix}.obs.refittedError`, obs.refittedError),
      doubles(`${prefix}.obs.plainError`, obs.plainError),
    ]),
  ];
}

/**
 * The tensors of sums.
 *
 * @param prefix What their names begin with
 * @param sums The sums
 * @returns Entries of a file
 */
export function sumEntries(prefix: string, sums: DomainSums): readonly TensorEntry[] {
  return [
    doubles(`${prefix}.sum`, sums.sum),
    doubles(`${prefix}.sumOfSquares`, sums.sumOfSquares),
    ...(sums.gram === undefined ? [] : [matrix(`${prefix}.gram`, sums.gram)]),
  ];
}

function doubles(name: string, data: Float64Array): TensorEntry {
  const bytes = () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dataType: "F64", shape: [data.length], bytes };
}

/** A matrix in a file stays as it is there; of one in memory, half is written. */
function matrix(name: string, tensor: Tensor): TensorEntry {
  if (isView(tensor)) {
    return { name, dataType: "F32", shape: tensor.shape, bytes: () => tensorPieces(tensor) };
  }
  const [channels] = tensor.shape;
  const bytes = () => halfPieces(tensor.data, channels);
  return { name, dataType: "F32", shape: [halfLength(channels)], bytes };
}

function tokenEntry(name: string, windows: readonly Int32Array[]): TensorEntry {
  const shape = [windows.length, windows[0]?.length ?? 0];
  const bytes = () => new Uint8Array(joinWindows(windows).buffer);
  return { name, dataType: "I32", shape, bytes };
}

async function readWindows(
  tensors: ReadonlyMap<string, TensorView>,
  names: readonly string[],
): Promise<readonly DomainWindows[] | undefined> {
  const windows = async (name: string) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) return [];
    if (tensor.dataType !== "I32") throw new Error(`'${tensor.name}' holds ${tensor.dataType}`);
    const tokens = new Int32Array((await readTensorBytes(tensor)).buffer);
    return cutWindows(tokens, tensor.shape[1] || 1);
  };
  const result: DomainWindows[] = [];
  for (const name of names) {
    const calibration = await windows(`windows.${name}.calibration`);
    if (calibration.length === 0) return undefined;
    result.push({ name, calibration, heldOut: await windows(`windows.${name}.heldOut`) });
  }
  return result;
}

async function readKind(
  tensors: ReadonlyMap<string, TensorView>,
  prefix: string,
  tokens: readonly number[],
  { leavesNumbers = false }: LoadStatisticsOptions,
): Promise<KindStatistics> {
  const view = (name: string): TensorView => {
    const tensor = tensors.get(`${prefix}.${name}`);
    if (tensor?.dataType !== "F64") throw new Error(`'${prefix}.${name}' is missing`);
    return tensor;
  };
  const fields = async <const Field extends string>(
    names: readonly Field[],
    part = "",
  ): Promise<Readonly<Record<Field, Float64Array>>> => {
    const views = names.map((name) => [name, view(`${part}${name}`)] as const);
    if (leavesNumbers) {
      return readWhenAsked(Object.fromEntries(views) as Record<Field, TensorView>);
    }
    const result = {} as Record<Field, Float64Array>;
    for (const [name, tensor] of views) {
      result[name] = new Float64Array((await readTensorBytes(tensor)).buffer);
    }
    return result;
  };
  const domains: DomainSums[] = [];
  for (const [index, count] of tokens.entries()) {
    const sums = await fields(["sum", "sumOfSquares"], `${index}.`);
    // The fields are set on what came, since a spread would read them.
    domains.push(
      Object.assign(sums, { tokens: count, gram: tensors.get(`${prefix}.${index}.gram`) }),
    );
  }
  const order = tensors.has(`${prefix}.obs.order`) ? view("obs.order") : undefined;
  const errors = order && await fields(["refittedError", "plainError"], "obs.");
  const obs: RemovalOrder | undefined = order && Object.assign(
    errors!,
    { order: Int32Array.from(new Float64Array((await readTensorBytes(order)).buffer)) },
  );
  return {
    domains,
    heldOutGram: tensors.get(`${prefix}.heldOutGram`),
    weights: await fields(["columnNorm", "columnMeanAbsolute", "rowNorm"]),
    obs,
  };
}
