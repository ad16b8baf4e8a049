/**
 * Export in the Hugging Face layout: `config.json`, `*.safetensors`, and the files of the tokenizer.
 * @module
 */
import {
  copiedEntry,
  type OutputDataType,
  withDataType,
  writeModelFolder,
} from "../apply/model_folder.ts";
import type { Model } from "../model/types.ts";
import type { WorkOptions } from "../progress.ts";

/** Options of {@linkcode exportHuggingFace}. */
export interface HuggingFaceOptions extends WorkOptions {
  /** How numbers are stored. Default `keep`: as they are. */
  readonly dataType?: OutputDataType;
  /** Bytes of weights in one file at most. Default 5 GB. */
  readonly largestShard?: number;
}

/**
 * Writes a model, dense or pruned, as a folder in the Hugging Face layout. Unless their data type changes, tensors are
 * copied byte by byte.
 *
 * @param model The model
 * @param directory The folder; made if it is missing. See `writeFolder` for one that appears whole or not at all
 * @param options Data type; progress, cancellation
 * @throws {ExportError} if the disk refuses, or the folder is the model's own
 * @throws {ModelError} if a tensor cannot be read
 * @throws {CancelledError} if the signal is aborted
 *
 * @example
 * ```ts
 * import { exportHuggingFace } from "./hf.ts";
 * import { openModel } from "../model/open.ts";
 * const directory = await Deno.makeTempDir();
 * await exportHuggingFace(await openModel(), directory, { dataType: "bf16" });
 * await Deno.remove(directory, { recursive: true });
 * ```
 */
export async function exportHuggingFace(
  model: Model,
  directory: string,
  options: HuggingFaceOptions = {},
): Promise<void> {
  const { dataType = "keep", signal, onProgress, largestShard } = options;
  const entries = [...model.tensors.values()].map((view) => copiedEntry(view, dataType));
  const folder = { config: withDataType(model.config, dataType), entries, companionsOf: model };
  await writeModelFolder(directory, folder, { stage: "export", signal, onProgress, largestShard });
}
