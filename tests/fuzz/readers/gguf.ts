import { exportGguf, openGguf } from "../../../core/export/gguf/mod.ts";
import { readTokenizerFiles } from "../../../core/export/gguf/tokenizer_files.ts";
import { tokenizerKeys } from "../../../core/export/gguf/tokenizer.ts";
import { blockTensors } from "../../../core/model/open.ts";
import { readTensor } from "../../../core/model/tensor_reader.ts";
import { hostileBytes, hostileJsonFiles } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { writeSmallModel } from "./small_model.ts";
import { realTokenizers } from "./tokenizer.ts";

/** A GGUF file, opened with the model that it was made from, and its first block. */
export async function gguf(folder: string): Promise<OpenReader> {
  const model = await writeSmallModel(folder);
  const { path } = await exportGguf(model, folder, { quantize: "f16" });
  const real = await Deno.readFile(path);
  return {
    files: hostileBytes([real]),
    read: async (file) => {
      await Deno.writeFile(path, file);
      const opened = await openGguf(path, model);
      try {
        for (const tensor of blockTensors(opened, 0).values()) await readTensor(tensor);
      } finally {
        await opened.close();
      }
    },
  };
}

/** A tokenizer on its way into a GGUF file. */
export async function ggufTokenizer(folder: string): Promise<OpenReader> {
  const real = await realTokenizers(folder);
  const model = await writeSmallModel(folder);
  return {
    files: hostileJsonFiles(real),
    read: async (file) => {
      await Deno.writeFile(`${folder}/tokenizer.json`, file);
      await readTokenizerFiles(model);
      await tokenizerKeys(model);
    },
  };
}
