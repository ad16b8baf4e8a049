/**
 * What the tests of ONNX files share.
 * @module
 */
import { writeCompanions } from "../../../core/apply/model_folder.ts";
import { type Decoder, openDecoder } from "../../../core/engine/decoder.ts";
import { onnxFiles, type OnnxQuantization } from "../../../core/export/onnx/names.ts";
import { exportOnnx } from "../../../core/export/onnx/write.ts";
import type { Model } from "../../../core/model/types.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";

/** Every quantisation of an ONNX file. */
export const quantizations: readonly OnnxQuantization[] = ["none", "f16", "q8", "q4"];

/** Writes a model to a folder as ONNX, opens the file, hands it to a function, and closes it. */
export async function withDecoder<T>(
  model: Model,
  quantize: OnnxQuantization,
  use: (decoder: Decoder, path: string) => Promise<T>,
): Promise<T> {
  return await withTemporaryFolder(async (folder) => {
    await writeCompanions(folder, { config: model.config, companionsOf: model });
    await exportOnnx(model, folder, { quantize });
    const path = `${folder}/${onnxFiles[quantize]}`;
    const { vocabularySize } = model.architecture;
    const decoder = await openDecoder(path, { vocabularySize });
    try {
      return await use(decoder, path);
    } finally {
      await decoder.close();
    }
  });
}

/** Logits of a text that grows by some tokens at a time. */
export async function logitsInSteps(
  decoder: Decoder,
  tokens: Int32Array,
  steps: readonly number[],
): Promise<Float32Array> {
  const parts: number[] = [];
  let cache: Awaited<ReturnType<Decoder["run"]>>["cache"] | undefined;
  let at = 0;
  for (const step of steps) {
    const output = await decoder.run(tokens.subarray(at, at + step), 1, cache);
    cache = output.cache;
    at += step;
    parts.push(...output.logits);
  }
  return Float32Array.from(parts);
}

/** Root of the summed squared differences, relative to the expected numbers' own. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  let [error, size] = [0, 0];
  for (let at = 0; at < expected.length; at++) {
    error += (actual[at] - expected[at]) ** 2;
    size += expected[at] ** 2;
  }
  return Math.sqrt(error / size);
}
