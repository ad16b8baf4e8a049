/**
 * Writing a model folder in the Hugging Face layout: weights tensor by tensor, in several files where they are large.
 * @module
 */
import { ExportError } from "../errors.ts";
import { decimalFields, stringifyWithDecimals } from "../model/config/decimals.ts";
import {
  bytesPerNumber,
  encode,
  type FloatDataType,
  isFloat,
  numberCount,
  readRows,
  type TensorEntry,
  tensorPieces,
  writeSafetensors,
} from "../model/safetensors.ts";
import type { DataType, Model, TensorView } from "../model/types.ts";
import { throwIfCancelled, type WorkOptions } from "../progress.ts";

/** How the numbers of a written model are stored: as they were, or all alike. */
export type OutputDataType = "keep" | "f32" | "f16" | "bf16";

/** Bytes of weights that go into one file at most, as the hub recommends. */
export const largestShard = 5_000_000_000;

/** Bytes in float32 that are converted at a time. */
const PIECE = 32 << 20;

const STORED: Readonly<Record<Exclude<OutputDataType, "keep">, FloatDataType>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
};

const TORCH_NAMES: Readonly<Partial<Record<DataType, string>>> = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

/** What a model folder is made of. */
export interface ModelFolder {
  /** The fields of its `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Its tensors, in the order in which they are written. */
  readonly entries: readonly TensorEntry[];
  /** The model whose tokenizer and other companion files it takes over. */
  readonly companionsOf: Model;
}

/** Options of {@linkcode writeModelFolder}. */
export interface WriteModelOptions extends WorkOptions {
  /** The stage that progress is reported for. */
  readonly stage: "apply" | "export";
  /** Bytes of weights in one file at most. Default {@linkcode largestShard}. */
  readonly largestShard?: number;
}

/**
 * How a tensor will be stored.
 *
 * @param stored How it is stored now
 * @param wanted What was asked for
 * @returns The data type; integers stay as they are
 */
export function outputDataType(stored: DataType, wanted: OutputDataType): DataType {
  return wanted === "keep" || !isFloat(stored) ? stored : STORED[wanted];
}

/**
 * A tensor of a model as an entry of a new file, copied byte by byte unless its data type changes.
 *
 * @param view The tensor
 * @param wanted How to store it
 * @returns The entry
 */
export function copiedEntry(view: TensorView, wanted: OutputDataType): TensorEntry {
  const dataType = outputDataType(view.dataType, wanted);
  const { name, shape } = view;
  const raw = dataType === view.dataType && view.layout === undefined;
  const bytes = () => raw ? tensorPieces(view) : convertedPieces(view, dataType as FloatDataType);
  return { name, shape, dataType, bytes };
}

/**
 * The fields of a config with the data type's name changed.
 *
 * @param config The fields as they stand
 * @param wanted How the numbers will be stored
 * @returns The fields
 */
export function withDataType(
  config: Readonly<Record<string, unknown>>,
  wanted: OutputDataType,
): Record<string, unknown> {
  if (wanted === "keep") return { ...config };
  // Newer writers call the field `dtype`.
  const key = "dtype" in config && !("torch_dtype" in config) ? "dtype" : "torch_dtype";
  return { ...config, [key]: TORCH_NAMES[STORED[wanted]] };
}

/**
 * Writes a model folder: companion files, `config.json`, and weights as `model.safetensors` or as several files with
 * an index. One tensor is in memory at a time.
 *
 * @param directory The folder; made if it is missing
 * @param folder What to write
 * @param options Size of files; progress, cancellation
 * @throws {ExportError} if the disk refuses, or the folder is the one that the model is read from
 * @throws {CancelledError} if the signal is aborted
 */
export async function writeModelFolder(
  directory: string,
  folder: ModelFolder,
  options: WriteModelOptions,
): Promise<void> {
  throwIfCancelled(options.signal);
  await writeCompanions(directory, folder);
  const shards = intoShards(folder.entries, options.largestShard ?? largestShard);
  const weightMap: Record<string, string> = {};
  let done = 0;
  for (const [index, entries] of shards.entries()) {
    const file = shards.length === 1
      ? "model.safetensors"
      : `model-${padded(index + 1)}-of-${padded(shards.length)}.safetensors`;
    const onTensor = (detail: string) => {
      const { stage } = options;
      const total = folder.entries.length;
      options.onProgress?.({ stage, done: ++done, total, unit: "tensors", detail });
    };
    await writeSafetensors(`${directory}/${file}`, entries, { signal: options.signal, onTensor });
    for (const { name } of entries) weightMap[name] = file;
  }
  if (shards.length === 1) return;
  const metadata = { total_size: folder.entries.reduce((sum, entry) => sum + sizeOf(entry), 0) };
  const index = { metadata, weight_map: weightMap };
  await writeJson(`${directory}/model.safetensors.index.json`, index);
}

/**
 * Writes what belongs to a model beside its weights: `config.json`, tokenizer and other companion files.
 *
 * @param directory The folder; made if it is missing
 * @param folder What to write; entries are not looked at
 * @throws {ExportError} if the disk refuses, or the folder is the one that the model is read from
 */
export async function writeCompanions(
  directory: string,
  { config, companionsOf: model }: Omit<ModelFolder, "entries">,
): Promise<void> {
  await makeFolder(directory, model);
  for (const name of model.companionFiles) {
    const path = `${directory}/${name}`;
    await writing(
      path,
      async () => await Deno.writeFile(path, await Deno.readFile(`${model.folder}/${name}`)),
    );
  }
  // What is said there about ONNX files is said of the files beside it, which are not those of another folder.
  // Code from the hub is not copied, and stock classes need none: a config that asks for it would load nothing.
  const { "transformers.js_config": _, auto_map: __, ...own } = config;
  const source = await Deno.readTextFile(`${model.folder}/config.json`).catch(() => "{}");
  const text = stringifyWithDecimals(own, decimalFields(source));
  const path = `${directory}/config.json`;
  await writing(path, () => Deno.writeTextFile(path, `${text}\n`));
}

async function makeFolder(directory: string, model: Model): Promise<void> {
  await writing(directory, () => Deno.mkdir(directory, { recursive: true }));
  if (await Deno.realPath(directory) === await Deno.realPath(model.folder)) {
    throw new ExportError(
      `Cannot write to '${directory}': the model is read from there; choose another folder`,
    );
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writing(path, () => Deno.writeTextFile(path, `${JSON.stringify(value, null, 2)}\n`));
}

async function writing(path: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    throw new ExportError(`Cannot write '${path}': ${(error as Error).message}`, { cause: error });
  }
}

/** Tensors in their order, in files that do not grow past a size. */
function intoShards(entries: readonly TensorEntry[], largest: number): readonly TensorEntry[][] {
  const shards: TensorEntry[][] = [[]];
  let size = 0;
  for (const entry of entries) {
    if (size > 0 && size + sizeOf(entry) > largest) {
      shards.push([]);
      size = 0;
    }
    shards[shards.length - 1].push(entry);
    size += sizeOf(entry);
  }
  return shards;
}

function sizeOf({ shape, dataType }: TensorEntry): number {
  return numberCount(shape) * bytesPerNumber(dataType);
}

function padded(number: number): string {
  return String(number).padStart(5, "0");
}

async function* convertedPieces(
  view: TensorView,
  dataType: FloatDataType,
): AsyncGenerator<Uint8Array> {
  const rows = view.shape[0] ?? 1;
  const rowsAtOnce = Math.max(1, Math.floor(PIECE / 4 / numberCount(view.shape.slice(1))));
  for (let row = 0; row < rows; row += rowsAtOnce) {
    yield encode(await readRows(view, row, Math.min(rowsAtOnce, rows - row)), dataType);
  }
}
