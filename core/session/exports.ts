/**
 * What files in other formats are worth: each is measured as it stands on the disk, beside the dense model in the same
 * format and quantisation.
 * @module
 */
import { basename, dirname, join } from "@std/path";
import type { Engine } from "../engine/types.ts";
import { ExportError } from "../errors.ts";
import type { EvaluationText } from "../evaluate/perplexity.ts";
import type { ExportRow, FilePerplexity, FileSpeed } from "../evaluate/report.ts";
import { exportFormats, type ExportTarget } from "../export/formats.ts";
import type { RunnableFile } from "../export/runnable.ts";
import { removeWork, writeFormats, type WriteFormatsOptions } from "../export/write_formats.ts";
import type { Model } from "../model/types.ts";
import { doEveryStep, type ResumableOptions, throwIfCancelled } from "../progress.ts";
import { wholeFilesBytes } from "./memory/whole_files.ts";
import type { ReportStage } from "./report.ts";
import type { Stopwatch } from "./setup.ts";

/** Rounds in which the files are timed in turn, at least and at most, and milliseconds after which it is enough. */
const ROUNDS = { least: 3, most: 50, milliseconds: 500 };

/** Options of {@linkcode measureExports}. */
export interface MeasureExportsOptions extends ResumableOptions {
  /** gprune's own engine. */
  readonly engine: Engine;
  /** The name that files are called after. */
  readonly name: string;
  /** What was written. */
  readonly targets: readonly ExportTarget[];
  /** The output folder; dense files are made in a folder inside it and removed. */
  readonly directory: string;
  /** The model as it was. */
  readonly dense: Model;
  /** The model whose files are in the folder; absent where the dense model's own are. */
  readonly pruned?: Model;
  /** Texts to measure perplexity on; none for speed alone. */
  readonly texts: readonly EvaluationText[];
  /** Bytes of memory that were promised. Default: what is free. */
  readonly memory?: number;
  /** Called with what a reader should know. */
  readonly onNote: (message: string) => void;
}

/** What {@linkcode measureExports} found. */
export interface MeasuredExports {
  /** Size and speed, one row per file. */
  readonly rows: readonly ExportRow[];
  /** Perplexities of all files for each text, in the texts' order. */
  readonly perplexity: readonly (readonly FilePerplexity[])[];
}

/** Options of {@linkcode writeAndMeasure}. */
export interface WriteAndMeasureOptions
  extends MeasureExportsOptions, Pick<WriteFormatsOptions, "dataType" | "zeroPad"> {
  /** Times both halves of the work. */
  readonly watch: Stopwatch<ReportStage>;
}

/**
 * Writes a model in every format that was asked for, measures the files, and removes what lay there for the work alone.
 *
 * @param options What to write, of which models, where
 * @returns Size, speed and perplexity
 * @throws {ExportError} if a format cannot hold the model, or the disk refuses
 * @throws {EngineError} if a runtime refuses a file
 * @throws {CancelledError} if cancelled
 */
export async function writeAndMeasure(options: WriteAndMeasureOptions): Promise<MeasuredExports> {
  const { dense, pruned, directory, targets, watch } = options;
  await watch.time("export", () => writeFormats(pruned ?? dense, directory, targets, options));
  const files = await watch.time("evaluate", () => measureExports(options));
  await removeWork(directory);
  return files;
}

/**
 * Measures the files of an output folder. Where something was pruned, the dense model is written in the same ways, and
 * in each format's smallest too: a cut must stand up to rounding alone.
 *
 * @param options What was written, of which models; what remembers finished files
 * @returns Size, speed and perplexity
 * @throws {ExportError} if the disk refuses
 * @throws {EngineError} if a runtime refuses a file
 * @throws {CancelledError} if cancelled
 */
export async function measureExports(options: MeasureExportsOptions): Promise<MeasuredExports> {
  const rows: ExportRow[] = [];
  const perplexity: FilePerplexity[][] = options.texts.map(() => []);
  const { remember = doEveryStep } = options;
  for (const { target, written } of measuredTargets(options)) {
    throwIfCancelled(options.signal);
    const result = await remember(
      `measure ${target.format} in ${target.quantize}`,
      async () => await measureTarget(options, target, written) ?? null,
    );
    if (result === null) continue;
    rows.push(result.row);
    for (const [index, file] of (result.files ?? []).entries()) perplexity[index].push(file);
  }
  return { rows, perplexity };
}

interface MeasuredTarget {
  readonly target: ExportTarget;
  /** Whether the folder has its file. */
  readonly written: boolean;
}

function measuredTargets(
  { targets, pruned }: MeasureExportsOptions,
): readonly MeasuredTarget[] {
  const others = targets.filter(({ format }) => format !== "hf");
  const formats = [...new Set(others.map(({ format }) => format))];
  const smallest = formats
    .map((format) => ({ format, quantize: exportFormats[format].quantizations.at(-1)! }))
    .filter(({ format, quantize }) =>
      !others.some((each) => each.format === format && each.quantize === quantize)
    );
  return [
    ...others.map((target) => ({ target, written: true })),
    ...(pruned === undefined ? [] : smallest.map((target) => ({ target, written: false }))),
  ];
}

interface TargetResult {
  readonly row: ExportRow;
  readonly files?: readonly FilePerplexity[];
}

async function measureTarget(
  options: MeasureExportsOptions,
  target: ExportTarget,
  written: boolean,
): Promise<TargetResult | undefined> {
  const { directory, pruned, name } = options;
  const path = exportFormats[target.format].file(name, target.quantize);
  if (pruned === undefined) {
    const here = join(directory, path);
    return await measureFiles(options, target, { dense: here, path });
  }
  const folder = join(directory, ".dense");
  try {
    if (!await writeDense(options, folder, target)) return undefined;
    return await measureFiles(options, target, {
      dense: join(folder, path),
      ...(written ? { pruned: join(directory, path), path } : {}),
    });
  } finally {
    await Deno.remove(folder, { recursive: true }).catch(() => undefined);
  }
}

/** The dense files are for comparison: where they have no room, the result is not lost for it. */
async function writeDense(
  options: MeasureExportsOptions,
  folder: string,
  target: ExportTarget,
): Promise<boolean> {
  try {
    // What there is to know of the dense files is no news of the result.
    await writeFormats(options.dense, folder, [target], {
      ...options,
      onNote: undefined,
      remember: undefined,
      onProgress: (progress) =>
        options.onProgress?.({
          ...progress,
          subject: `dense ${progress.subject ?? ""}, to compare`,
        }),
    });
    return true;
  } catch (error) {
    if (!(error instanceof ExportError)) throw error;
    options.onNote(
      `The ${target.format} file in ${target.quantize} was not measured, for want of the dense model's to compare it with: ${error.message}`,
    );
    return false;
  }
}

interface TargetFiles {
  readonly dense: string;
  readonly pruned?: string;
  /** The path that the report gives. */
  readonly path?: string;
}

async function measureFiles(
  options: MeasureExportsOptions,
  { format, quantize }: ExportTarget,
  files: TargetFiles,
): Promise<TargetResult> {
  const bytes = {
    dense: await bytesOf(files.dense),
    ...(files.pruned === undefined ? {} : { pruned: await bytesOf(files.pruned) }),
  };
  const row = {
    format,
    quantize,
    ...(files.path === undefined ? {} : { file: files.path }),
    bytes,
  };
  if (exportFormats[format].open === undefined) return { row };
  // What runs in a runtime of its own is whole in memory there.
  const whole = exportFormats[format].isWhole === true;
  const needed = wholeFilesBytes(options.dense.architecture, Object.values(bytes));
  const free = options.memory ?? Deno.systemMemoryInfo().available;
  if (needed > free && (whole || options.memory === undefined)) {
    const than = options.memory === undefined ? "is free" : "--memory allows";
    options.onNote(
      `The ${format} files in ${quantize} were not measured: they take more memory than ${than}`,
    );
    return { row };
  }
  return await withOpen(options, format, files, async (dense, pruned) => {
    const { texts, engine, signal, onProgress } = options;
    const measure = async (file: RunnableFile | undefined, which: string) =>
      file === undefined || texts.length === 0 ? undefined : await file.perplexity(texts, {
        engine,
        signal,
        onProgress,
        label: `${which} ${format} ${quantize}`,
      });
    const before = await measure(dense, "dense");
    const after = await measure(pruned, "pruned");
    const speed = await speedsInTurn(dense, pruned, signal);
    return {
      row: { ...row, ...(speed === undefined ? {} : { speed }) },
      files: before?.map((dense, index) => ({
        format,
        quantize,
        dense,
        ...(after === undefined ? {} : { pruned: after[index] }),
      })),
    };
  });
}

async function withOpen<T>(
  { dense: model, pruned: prunedModel }: MeasureExportsOptions,
  format: ExportTarget["format"],
  files: TargetFiles,
  use: (dense: RunnableFile, pruned: RunnableFile | undefined) => Promise<T>,
): Promise<T> {
  const open = exportFormats[format].open!;
  const dense = await open(files.dense, model);
  try {
    const pruned = files.pruned === undefined
      ? undefined
      : await open(files.pruned, prunedModel ?? model);
    try {
      return await use(dense, pruned);
    } finally {
      await pruned?.close();
    }
  } finally {
    await dense.close();
  }
}

/** In turn, so that dense and pruned have the same chances of an undisturbed machine. */
async function speedsInTurn(
  dense: RunnableFile,
  pruned: RunnableFile | undefined,
  signal?: AbortSignal,
): Promise<ExportRow["speed"]> {
  if (dense.speed === undefined) return undefined;
  const found: { dense: FileSpeed[]; pruned: FileSpeed[] } = { dense: [], pruned: [] };
  await dense.speed();
  await pruned?.speed?.();
  const start = performance.now();
  for (let round = 0; round < ROUNDS.most; round++) {
    throwIfCancelled(signal);
    if (round >= ROUNDS.least && performance.now() - start > ROUNDS.milliseconds) break;
    found.dense.push(await dense.speed());
    const after = await pruned?.speed?.();
    if (after !== undefined) found.pruned.push(after);
  }
  return {
    dense: fastest(found.dense),
    ...(found.pruned.length === 0 ? {} : { pruned: fastest(found.pruned) }),
  };
}

/** Other work on the machine only ever takes time away. */
function fastest(speeds: readonly FileSpeed[]): FileSpeed {
  return {
    promptTokens: speeds[0].promptTokens,
    prefillTokensPerSecond: Math.max(...speeds.map((speed) => speed.prefillTokensPerSecond)),
    decodeTokensPerSecond: Math.max(...speeds.map((speed) => speed.decodeTokensPerSecond)),
  };
}

/**
 * The size of a file and the files of weights beside it, whose names begin with its own.
 *
 * @param path The file
 * @returns Bytes
 */
export async function bytesOf(path: string): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(dirname(path))) {
    if (name === basename(path) || name.startsWith(`${basename(path)}_data`)) {
      bytes += (await Deno.stat(join(dirname(path), name))).size;
    }
  }
  return bytes;
}
