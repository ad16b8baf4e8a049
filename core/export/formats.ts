/**
 * The formats that gprune writes: what each can hold, how its numbers can be stored, what it is called in the output
 * folder, and what writes and runs it. A new format is a new entry here.
 *
 * Writers are loaded when they are first needed, so that this file costs nothing to read.
 * @module
 */
import { ExportError, OptionError } from "../errors.ts";
import { familyOf } from "../model/families.ts";
import type { Architecture, Model } from "../model/types.ts";
import type { WorkOptions } from "../progress.ts";
import { llamaCppKinds, whyNotKind } from "./gguf/kinds.ts";
import { ggufFileName, type GgufQuantization } from "./gguf/names.ts";
import { onnxFiles, type OnnxQuantization } from "./onnx/names.ts";
import type { PlannedCut } from "./planned_cut.ts";
import type { RunnableFile } from "./runnable.ts";

/** A format, as `--format` names it. */
export type FormatName = "hf" | "onnx" | "gguf";

/** Something to write: a format, and how its numbers are stored. */
export interface ExportTarget {
  /** The format. */
  readonly format: FormatName;
  /** One of the format's {@linkcode ExportFormat.quantizations}. */
  readonly quantize: string;
}

/** What a format's writer is told. */
export interface FormatWriteOptions extends WorkOptions {
  /** The model's name, which files are called after. */
  readonly name: string;
  /** One of the format's quantisations. */
  readonly quantize: string;
  /** Called with what a user should know of the files. */
  readonly onNote?: (message: string) => void;
}

/** What a format can hold of a model, in words for people. */
export interface FormatWords {
  /** What loads a model whose layers are all alike. */
  readonly uniform: string;
  /** What loads a model whose layers differ. */
  readonly adaptive: string;
  /** Whether there is a place for the biases of `--refit bias`. */
  readonly bias: string;
}

/** What a model card knows of the model when it tells what loads it. */
export interface CardModel {
  /** Whether all layers are alike. */
  readonly uniform: boolean;
  /** The `model_type` of its config. */
  readonly family: string;
  /** Whether the `hf` output is padded with zero units to one size. */
  readonly zeroPadded?: boolean;
}

/** One format. */
export interface ExportFormat {
  /** Its name. */
  readonly name: FormatName;
  /** How its numbers can be stored; the first is the default. */
  readonly quantizations: readonly string[];
  /** Whether this version of gprune writes it. */
  readonly available: boolean;
  /** What it can hold of a model. */
  readonly words: (architecture: Architecture) => FormatWords;
  /** For the model card: what loads the file. */
  readonly loadedBy: (model: CardModel) => string;
  /**
   * The path of its main file in the output folder.
   *
   * @param name The model's name
   * @param quantize One of its quantisations
   */
  readonly file: (name: string, quantize: string) => string;
  /**
   * Checks before any work that the format holds a model, and what pruning makes of it; absent where it holds all.
   *
   * @throws {ExportError} if it does not
   */
  readonly check?: (model: Model, cut?: PlannedCut) => Promise<void>;
  /**
   * Writes its files into a folder that holds config and tokenizer already.
   *
   * @throws {ExportError} if the format cannot hold the model, or the disk refuses
   * @throws {CancelledError} if cancelled
   */
  readonly write: (model: Model, directory: string, options: FormatWriteOptions) => Promise<void>;
  /**
   * Opens a file that was written so that it can be measured; absent where the weights are what gprune runs anyway.
   *
   * @param path The file
   * @param model The model that it was made from
   */
  readonly open?: (path: string, model: Model) => Promise<RunnableFile>;
  /** Whether an open file is whole in memory, since a runtime of its own runs it. */
  readonly isWhole?: boolean;
}

const huggingFace: ExportFormat = {
  name: "hf",
  quantizations: ["none"],
  available: true,
  words: ({ family }) => ({
    uniform: "loads in the stock classes",
    adaptive: "needs a runtime that reads per_layer_config; the stock classes do not",
    bias: biasWords(family),
  }),
  loadedBy: ({ uniform, family, zeroPadded = false }) => {
    const stockClass = `\`${familyOf(family).stockClass}\``;
    if (uniform) {
      return `All layers have the same sizes, so stock \`transformers\` loads this folder as ${stockClass}, and so does gprune.`;
    }
    return zeroPadded
      ? `Layers have different sizes. In \`model.safetensors\` they are padded with zero units to one size, so stock \`transformers\` loads this folder as ${stockClass}, and so does gprune. It computes the same as without the zeros and is larger and slower: it is for checking.`
      : "Layers have different sizes, written as `per_layer_config` in `config.json`. No stock class of `transformers` reads that for this family so far; gprune itself does (`gprune evaluate`, `gprune export`). For `transformers`, `gprune export --zero-pad` writes a copy padded with zero units, which computes the same; for llama.cpp and ONNX Runtime, `gprune export --format gguf` or `--format onnx` keeps the sizes as they are.";
  },
  file: () => "model.safetensors",
  write: async (model, directory, options) => {
    const { exportHuggingFace } = await import("./hf.ts");
    await exportHuggingFace(model, directory, options);
  },
};

function biasWords(modelType: string): string {
  const family = familyOf(modelType);
  const keys = family.biases.flatMap(({ configKey }) => configKey ?? []);
  return keys.length === 0
    ? `${family.name} has no place for biases; use --refit lsq or none`
    : `loads in the stock classes through ${keys.join(" and ")}`;
}

const onnx: ExportFormat = {
  name: "onnx",
  quantizations: Object.keys(onnxFiles),
  available: true,
  words: ({ headSize }) => ({
    uniform: headSize % 8 === 0
      ? "loads in ONNX Runtime, transformers.js and onnxruntime-genai"
      : `loads in the same from ONNX's operator set 23 on, since its head size ${headSize} is no multiple of 8`,
    adaptive: "loads in the same: each layer has its own sizes in the graph",
    bias: "is part of the graph",
  }),
  loadedBy: () =>
    "The files in `onnx/` load in ONNX Runtime, in transformers.js (`dtype` `fp32`, `fp16`, `q8` or `q4`) and, through `genai_config.json`, in onnxruntime-genai.",
  file: (_, quantize) => onnxFiles[quantize as OnnxQuantization],
  check: async (model) => await Promise.resolve(requireTokenizer(model)),
  write: async (model, directory, { quantize, ...options }) => {
    requireTokenizer(model);
    const { exportOnnx } = await import("./onnx/write.ts");
    await exportOnnx(model, directory, { ...options, quantize: quantize as OnnxQuantization });
  },
  open: async (path, model) => {
    const { openDecoderFile } = await import("../evaluate/decoder_file.ts");
    return await openDecoderFile(path, model);
  },
  isWhole: true,
};

function requireTokenizer(model: Model): void {
  if (model.companionFiles.includes("tokenizer.json")) return;
  throw new ExportError(
    `Cannot write '${model.source}' as ONNX: it has no tokenizer.json, which its runtimes read; make one with save_pretrained of transformers`,
  );
}

const gguf: ExportFormat = {
  name: "gguf",
  quantizations: ["f16", "q8_0", "q4_0"],
  available: true,
  words: (architecture) => {
    const kind = llamaCppKinds[familyOf(architecture.family).name];
    const reason = kind === undefined
      ? "llama.cpp has no architecture for it"
      : whyNotKind(kind, architecture);
    if (kind === undefined || reason !== undefined) {
      const none = `none: ${reason}; use hf or onnx`;
      return { uniform: none, adaptive: none, bias: none };
    }
    return {
      uniform: `loads in llama.cpp as ${kind}`,
      adaptive: kind === "llama"
        ? "loads in llama.cpp as deci, with sizes for each layer"
        : `none: ${kind} in llama.cpp has one size for all layers; use hf or onnx`,
      bias: kind === "llama" ? "has places for all of them" : "has places for the family's own",
    };
  },
  loadedBy: ({ uniform, family }) => {
    const kind = llamaCppKinds[familyOf(family).name] ?? "llama";
    return `The \`.gguf\` files load in llama.cpp and the runtimes on it, as architecture \`${
      kind === "llama" && !uniform ? "deci" : kind
    }\`.`;
  },
  file: ggufFileName,
  check: async (model, cut) => {
    const { requireGguf } = await import("./gguf/mod.ts");
    await requireGguf(model, cut);
  },
  write: async (model, directory, { quantize, onNote, ...options }) => {
    const { exportGguf } = await import("./gguf/mod.ts");
    const file = await exportGguf(model, directory, {
      ...options,
      quantize: quantize as GgufQuantization,
    });
    for (const note of file.notes) onNote?.(note);
  },
  open: async (path, model) => {
    const { openGguf } = await import("./gguf/mod.ts");
    const { openWeightsFile } = await import("./weights_file.ts");
    return await openWeightsFile(path, model, openGguf);
  },
};

/** Every format by its name. */
export const exportFormats: Readonly<Record<FormatName, ExportFormat>> = {
  hf: huggingFace,
  onnx,
  gguf,
};

/** The names of all formats. */
export const formatNames: readonly FormatName[] = ["hf", "onnx", "gguf"];

/** The quantisations of all formats, each once. */
export const quantizationNames: readonly string[] = [
  ...new Set(formatNames.flatMap((name) => exportFormats[name].quantizations)),
];

/**
 * What to write, from two lists: every quantisation goes to each format asked for that has it, and a format that got
 * none takes its default. So `onnx,gguf` with `f16` writes both in f16, and with `q4,q4_0` one of each; several for one
 * format make several files.
 *
 * @param formats Names of formats. Default `hf`
 * @param quantize Quantisations. Default: each format's own
 * @returns What to write, in the formats' order
 * @throws {OptionError} if a name is unknown, or no format asked for has a quantisation
 * @example
 * ```ts
 * import { exportTargets } from "./formats.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(exportTargets(["hf", "onnx"], ["q4"]), [
 *   { format: "hf", quantize: "none" },
 *   { format: "onnx", quantize: "q4" },
 * ]);
 * ```
 */
export function exportTargets(
  formats: readonly string[] = ["hf"],
  quantize: readonly string[] = [],
): readonly ExportTarget[] {
  const asked = [...new Set(formats)].map(formatNamed);
  if (asked.length === 0) {
    throw new OptionError(`Cannot write no format: give --format ${formatNames.join(", ")}`);
  }
  for (const word of quantize) requireHolder(word, asked);
  return asked.flatMap((format) => {
    const own = [...new Set(quantize)].filter((word) => format.quantizations.includes(word));
    const chosen = own.length === 0 ? format.quantizations.slice(0, 1) : own;
    return chosen.map((each) => ({ format: format.name, quantize: each }));
  });
}

function formatNamed(name: string): ExportFormat {
  const format = Object.hasOwn(exportFormats, name) ? exportFormats[name as FormatName] : undefined;
  if (format?.available) return format;
  const available = formatNames.filter((each) => exportFormats[each].available).join(", ");
  throw new OptionError(
    format === undefined
      ? `Cannot write format '${name}': give --format ${available}`
      : `Cannot write format '${name}': it is not in this version yet, which writes ${available}`,
  );
}

/** A quantisation that no format asked for has is a misunderstanding, and often one of another format's names. */
function requireHolder(word: string, asked: readonly ExportFormat[]): void {
  if (asked.some(({ quantizations }) => quantizations.includes(word))) return;
  const list = (formats: readonly ExportFormat[]) =>
    formats.map(({ name, quantizations }) =>
      name === "hf" ? "hf takes --dtype instead" : `${name} takes ${quantizations.join(", ")}`
    ).join("; ");
  const holders = formatNames.filter((name) => exportFormats[name].quantizations.includes(word));
  const elsewhere = holders.length === 0 ? "" : `, which is of ${holders.join(" and ")} alone`;
  throw new OptionError(`Cannot quantise to '${word}'${elsewhere}: ${list(asked)}`);
}
