/**
 * Export as GGUF, the format of llama.cpp and the runtimes on it.
 * @module
 */
import { join } from "@std/path";
import { ExportError } from "../../errors.ts";
import type { Model } from "../../model/types.ts";
import type { WorkOptions } from "../../progress.ts";
import { architectureKeys, contextLength, ggufArchitecture, storedLayers } from "./architecture.ts";
import type { GgufMetadata, GgufTensorType, GgufValue } from "./format.ts";
import { type GgufArchitecture, whyNotAfter } from "./kinds.ts";
import type { PlannedCut } from "../planned_cut.ts";
import { ggufFileName, type GgufQuantization } from "./names.ts";
import { ggufTensors } from "./tensors.ts";
import { tokenizerKeys } from "./tokenizer.ts";
import { type GgufTensor, writeGguf } from "./writer.ts";

/** Options of {@linkcode exportGguf}. */
export interface GgufOptions extends WorkOptions {
  /** The model's name in the file, and the beginning of the file's. Default: the model's own. */
  readonly name?: string;
  /** How numbers are stored. Default `f16`. */
  readonly quantize?: GgufQuantization;
}

/** A GGUF file that was written. */
export interface GgufFile {
  /** Where it is. */
  readonly path: string;
  /** Its size. */
  readonly bytes: number;
  /** llama.cpp's name for what the model computes. */
  readonly architecture: GgufArchitecture;
  /** How many numbers are stored in which way. */
  readonly numbers: Readonly<Partial<Record<GgufTensorType, number>>>;
  /** What a user should know, a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Writes a model, dense or pruned, uniform or adaptive, as one GGUF file. Tensors are read, converted and written piece
 * by piece. The file's name is `NAME-q8_0.gguf`, with the kind of its numbers.
 *
 * @param model The model
 * @param directory The folder, which must exist. See `writeFolder` for one that appears whole or not at all
 * @param options Name, quantization; progress, cancellation
 * @returns The file
 * @throws {ExportError} if llama.cpp has no architecture or tokenizer that computes the same, a number does not fit, or
 * the disk refuses; no file is left behind then
 * @throws {ModelError} if a tensor cannot be read
 * @throws {CancelledError} if the signal is aborted
 *
 * @example
 * ```ts
 * import { exportGguf } from "./export.ts";
 * import { openModel } from "../../model/open.ts";
 * const directory = await Deno.makeTempDir();
 * const file = await exportGguf(await openModel(), directory, { quantize: "q8_0" });
 * console.log(file.architecture, file.bytes);
 * await Deno.remove(directory, { recursive: true });
 * ```
 */
export async function exportGguf(
  model: Model,
  directory: string,
  options: GgufOptions = {},
): Promise<GgufFile> {
  const { name = model.name, quantize = "f16", signal, onProgress } = options;
  const { architecture } = model;
  const kind = ggufArchitecture(model.name, architecture);
  const layers = storedLayers(architecture, quantize);
  const metadata: GgufMetadata = new Map<string, GgufValue>([
    ...architectureKeys(kind, { name, architecture, layers, quantization: quantize }),
    ...await tokenizerKeys(model),
  ]);
  const tensors = ggufTensors(model, kind, layers, quantize);
  const path = join(directory, ggufFileName(name, quantize));
  const bytes = await writeGguf(path, metadata, tensors, {
    signal,
    onTensor: (detail, done, total) =>
      onProgress?.({
        stage: "export",
        done,
        total,
        unit: "tensors",
        subject: `gguf ${quantize}`,
        detail,
      }),
  });
  const numbers = countNumbers(tensors);
  const notes = notesOn(model, kind, quantize, layers, numbers);
  return { path, bytes, architecture: kind, numbers, notes };
}

/**
 * Checks before any work that llama.cpp has an architecture and a tokenizer for a model.
 *
 * @param model The model
 * @param cut How it is going to be pruned; not at all if absent
 * @throws {ExportError} if it has not; the message names the formats that hold the model
 */
export async function requireGguf(model: Model, cut?: PlannedCut): Promise<void> {
  const { name, architecture } = model;
  const kind = ggufArchitecture(name, architecture);
  const reason = cut && whyNotAfter(kind, architecture, cut);
  if (reason !== undefined) throw new ExportError(`Cannot write '${name}' as GGUF: ${reason}`);
  await tokenizerKeys(model);
}

function countNumbers(
  tensors: readonly GgufTensor[],
): Readonly<Partial<Record<GgufTensorType, number>>> {
  const counts: Partial<Record<GgufTensorType, number>> = {};
  for (const { type, shape } of tensors) {
    const count = shape.reduce((product, size) => product * size, 1);
    counts[type] = (counts[type] ?? 0) + count;
  }
  return counts;
}

function notesOn(
  { name, architecture }: Model,
  kind: GgufArchitecture,
  quantize: GgufQuantization,
  layers: readonly { readonly ffnWidth: number }[],
  numbers: Readonly<Partial<Record<GgufTensorType, number>>>,
): readonly string[] {
  const notes: string[] = [];
  const context = contextLength(architecture, kind);
  if (context < architecture.maxPositions) {
    notes.push(
      `GGUF ${quantize}: the context length of '${name}' is ${context} tokens, as far as its attention looks back, since llama.cpp would look further`,
    );
  }
  const padded =
    layers.filter(({ ffnWidth }, layer) => ffnWidth !== architecture.layers[layer].ffnWidth).length;
  if (padded > 0) {
    notes.push(
      `GGUF ${quantize}: neurons of zeros fill the FFN widths of ${padded} layers up to multiples of 32, so that blocks can hold them; prune with --multiple 32 to need none`,
    );
  }
  const halves = numbers.F16 ?? 0;
  const total = Object.values(numbers).reduce((sum, count) => sum + count, 0);
  // Less than a hundredth is not worth a person's time.
  if (halves >= total / 100 && (quantize === "q8_0" || quantize === "q4_0")) {
    notes.push(
      `GGUF ${quantize}: ${
        (100 * halves / total).toFixed(0)
      } % of the numbers stay in f16, since their rows are no multiples of 32`,
    );
  }
  return notes;
}
