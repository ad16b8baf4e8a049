/**
 * Folders with ONNX files, such as those that gprune writes: which files there are, and what they compute where the
 * weights are in them alone.
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "@std/path";
import { parseConfig, readConfig } from "../../model/config.ts";
import { COMPANION_FILES } from "../../model/files.ts";
import { readTokenizer } from "../../model/tokenizer.ts";
import type { Model } from "../../model/types.ts";
import { parameterCount } from "../../model/units.ts";
import type { ExportTarget } from "../formats.ts";
import { onnxFiles, type OnnxQuantization } from "./names.ts";

/** A folder whose weights are in ONNX files alone. */
export interface OnnxFolder {
  /** What the files compute; it has no tensors of its own. */
  readonly model: Model;
  /** The files. */
  readonly targets: readonly ExportTarget[];
}

/**
 * The decoders of a folder.
 *
 * @param folder The folder
 * @returns Their quantisations, by the names that gprune gives files
 */
export async function writtenDecoders(folder: string): Promise<readonly ExportTarget[]> {
  const targets: ExportTarget[] = [];
  for (const quantize of Object.keys(onnxFiles) as OnnxQuantization[]) {
    const path = join(folder, onnxFiles[quantize]);
    const there = await Deno.stat(path).then(({ isFile }) => isFile, () => false);
    if (there) targets.push({ format: "onnx", quantize });
  }
  return targets;
}

/**
 * Opens a folder that has ONNX files and no other weights.
 *
 * @param folder The folder, or anything else that a model can be named by
 * @returns The folder; undefined if it is another kind of model
 * @throws {ModelError} if its config or tokenizer cannot be read
 */
export async function openOnnxFolder(folder: string | undefined): Promise<OnnxFolder | undefined> {
  if (folder === undefined) return undefined;
  const targets = await writtenDecoders(folder);
  if (targets.length === 0) return undefined;
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  if (names.some((name) => name.endsWith(".safetensors"))) return undefined;
  const path = join(folder, "config.json");
  const config = await readConfig(path);
  const architecture = parseConfig(config, path);
  const sizes = targets.map(({ quantize }) =>
    Deno.statSync(join(folder, onnxFiles[quantize as OnnxQuantization])).size
  );
  const model: Model = {
    name: folder.split(/[/\\]/).filter((part) => part !== "").at(-1) ?? "model",
    source: folder,
    folder,
    architecture,
    config,
    tensors: new Map(),
    dataType: "F32",
    parameters: parameterCount(architecture),
    bytes: sizes[0],
    fingerprint: createHash("sha256").update(JSON.stringify([config, sizes])).digest("hex"),
    companionFiles: COMPANION_FILES.filter((name) => names.includes(name)),
    tokenizer: () => readTokenizer(folder, config),
  };
  return { model, targets };
}
