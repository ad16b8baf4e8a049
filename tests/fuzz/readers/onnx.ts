import { decodeModel } from "../../../core/onnx/proto.ts";
import { exportFormats } from "../../../core/export/formats.ts";
import { hostileBytes } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { writeSmallModel } from "./small_model.ts";

/** The protobuf of an ONNX file. */
export async function onnx(folder: string): Promise<OpenReader> {
  const model = await writeSmallModel(`${folder}/model`);
  await Deno.mkdir(`${folder}/out`);
  await Deno.copyFile(`${folder}/model/config.json`, `${folder}/out/config.json`);
  const options = { name: "small", quantize: "none" } as const;
  await exportFormats.onnx.write(model, `${folder}/out`, options);
  const real = await Deno.readFile(`${folder}/out/${exportFormats.onnx.file("small", "none")}`);
  return {
    files: hostileBytes([real, real.slice(0, 4096)]),
    read: async (file) => await Promise.resolve(void decodeModel(file)),
  };
}
