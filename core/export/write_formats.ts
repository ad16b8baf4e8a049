/**
 * Several formats in one folder, as on the hub: config, tokenizer and card once, the weights of each format beside them.
 * @module
 */
import type { PlannedCut } from "./planned_cut.ts";
import { join } from "@std/path";
import { type OutputDataType, writeCompanions } from "../apply/model_folder.ts";
import { isUniform } from "../model/inspect.ts";
import type { Model } from "../model/types.ts";
import { doEveryStep, type ResumableOptions } from "../progress.ts";
import { exportFormats, type ExportTarget } from "./formats.ts";
import { exportHuggingFace } from "./hf.ts";
import { exportZeroPadded } from "./zero_pad.ts";

/** Options of {@linkcode writeFormats}. */
export interface WriteFormatsOptions extends ResumableOptions {
  /** The model's name, which some files are called after. */
  readonly name: string;
  /** How the numbers of the `hf` format are stored. Default `keep`. */
  readonly dataType?: OutputDataType;
  /** Whether the `hf` format is padded with zero units, so that stock classes load what is adaptive. Default false. */
  readonly zeroPad?: boolean;
  /** Called with what a user should know of the files. */
  readonly onNote?: (message: string) => void;
}

/** The folder inside an output folder where weights lie while other formats are made of them. */
const WORK = ".weights";

/**
 * Where the weights in the Hugging Face layout go while an output folder is filled: to their place if they are asked
 * for, else to a folder that {@linkcode removeWork} takes away.
 *
 * @param directory The output folder
 * @param targets What is asked for
 * @param options Whether the place is for padded weights
 * @returns The folder for the weights
 */
export function weightsFolder(
  directory: string,
  targets: readonly ExportTarget[],
  { zeroPad = false }: Pick<WriteFormatsOptions, "zeroPad"> = {},
): string {
  const inPlace = !zeroPad && targets.some(({ format }) => format === "hf");
  return inPlace ? directory : join(directory, WORK);
}

/**
 * Checks before any work that formats hold a model, and what pruning makes of it.
 *
 * @param model The model
 * @param targets What is asked for
 * @param cut How it is going to be pruned; not at all if absent
 * @throws {ExportError} if one does not; the message names others
 */
export async function requireHolders(
  model: Model,
  targets: readonly ExportTarget[],
  cut?: PlannedCut,
): Promise<void> {
  for (const format of new Set(targets.map(({ format }) => format))) {
    await exportFormats[format].check?.(model, cut);
  }
}

/**
 * Removes what lies in an output folder for the work alone.
 *
 * @param directory The output folder
 */
export async function removeWork(directory: string): Promise<void> {
  await Deno.remove(join(directory, WORK), { recursive: true }).catch(() => undefined);
}

/**
 * Writes a model in several formats into one folder.
 *
 * @param model The model; if it lies in the folder itself, its weights count as written
 * @param directory The folder; see `writeFolder` for one that appears whole or not at all
 * @param targets What to write
 * @param options Name; progress, cancellation
 * @throws {ExportError} if a format cannot hold the model, or the disk refuses
 * @throws {CancelledError} if cancelled
 */
export async function writeFormats(
  model: Model,
  directory: string,
  targets: readonly ExportTarget[],
  options: WriteFormatsOptions,
): Promise<void> {
  const { remember = doEveryStep } = options;
  await remember("write hf", () => writeHuggingFace(model, directory, targets, options));
  for (const { format, quantize } of targets) {
    if (format === "hf") continue;
    await remember(
      `write ${format} in ${quantize}`,
      () => exportFormats[format].write(model, directory, { ...options, quantize }),
    );
  }
}

/** The Hugging Face layout, if it is asked for and not there yet; otherwise what every format needs of it. */
async function writeHuggingFace(
  model: Model,
  directory: string,
  targets: readonly ExportTarget[],
  options: WriteFormatsOptions,
): Promise<void> {
  const inPlace = model.folder === directory;
  const huggingFace = targets.some(({ format }) => format === "hf");
  if (huggingFace && !inPlace) {
    if (options.zeroPad && !isUniform(model.architecture.layers)) {
      await exportZeroPadded(model, directory, options);
      options.onNote?.(
        "model.safetensors is padded with zero units, so that stock classes load it; without --zero-pad it is smaller",
      );
    } else await exportHuggingFace(model, directory, options);
  }
  if (!huggingFace) await writeCompanions(directory, { config: model.config, companionsOf: model });
}
