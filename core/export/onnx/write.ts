/**
 * Export to ONNX: a decoder with a key/value cache, and the fields that transformers.js and onnxruntime-genai read.
 * @module
 */
import { basename, dirname, join } from "@std/path";
import { blockTensors, outerTensor } from "../../model/open.ts";
import type { Model, TensorView } from "../../model/types.ts";
import type { BlockWeights } from "../../onnx/block.ts";
import { decoderGraph } from "../../onnx/decoder.ts";
import { writeGraph, type WrittenGraph } from "../../onnx/file.ts";
import type { WorkOptions } from "../../progress.ts";
import { writeRuntimeConfigs } from "./configs.ts";
import { onnxFiles, type OnnxQuantization } from "./names.ts";
import { matrixWeight, outerMatrix, plainWeight } from "./weights.ts";

/** Options of {@linkcode exportOnnx}. */
export interface OnnxOptions extends WorkOptions {
  /** How the matrices are stored: `none` is float32. Default `none`. */
  readonly quantize?: OnnxQuantization;
  /** Bytes of one file at most; past it, weights go to `NAME_data`. Default 2 GB. */
  readonly largestFile?: number;
}

/**
 * Writes a model as an ONNX decoder into a folder that holds its config and tokenizer. Weights are read, rounded and
 * written one after the other.
 *
 * @param model The model; layers may differ
 * @param directory The folder
 * @param options Quantisation, size of files; progress, cancellation
 * @throws {ExportError} if a number is too large for f16, or the disk refuses
 * @throws {ModelError} if a tensor cannot be read
 * @throws {CancelledError} if cancelled
 */
export async function exportOnnx(
  model: Model,
  directory: string,
  options: OnnxOptions = {},
): Promise<void> {
  const { quantize = "none", signal, onProgress } = options;
  const path = join(directory, onnxFiles[quantize]);
  await Deno.mkdir(dirname(path), { recursive: true });
  const written = await writeDecoder(model, path, quantize, {
    ...options,
    signal,
    onWeight: (detail, done, total) =>
      onProgress?.({
        stage: "export",
        done,
        total,
        unit: "tensors",
        subject: quantize === "none" ? "onnx" : `onnx ${quantize}`,
        detail,
      }),
  });
  await writeRuntimeConfigs(model, directory, {
    file: onnxFiles[quantize],
    dataFiles: written.dataFiles.length,
  });
}

async function writeDecoder(
  model: Model,
  path: string,
  quantize: OnnxQuantization,
  options: Parameters<typeof writeGraph>[3],
): Promise<WrittenGraph> {
  const { architecture } = model;
  const embedding = outerMatrix(outerTensor(model, "embedding.weight"), quantize);
  const graph = decoderGraph({
    architecture,
    embedding,
    blocks: architecture.layers.map((_, layer) => blockWeights(model, layer, quantize)),
    positions: architecture.positionOffset === undefined
      ? undefined
      : plainWeight(outerTensor(model, "positions.weight")),
    finalNorm: plainWeight(outerTensor(model, "finalNorm.weight")),
    finalNormBias: architecture.norm === "layer"
      ? plainWeight(outerTensor(model, "finalNorm.bias"))
      : undefined,
    outputHead: architecture.tiedEmbedding
      ? embedding
      : outerMatrix(outerTensor(model, "outputHead.weight"), quantize),
  });
  return await writeGraph(path, graph, basename(path, ".onnx"), options);
}

function blockWeights(model: Model, layer: number, quantize: OnnxQuantization): BlockWeights {
  const tensors = [...blockTensors(model, layer)] as [string, TensorView][];
  return new Map(
    tensors.map(([role, view]) => [
      role,
      view.shape.length === 2 ? matrixWeight(view, quantize) : plainWeight(view),
    ]),
  ) as BlockWeights;
}
