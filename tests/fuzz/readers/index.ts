import { readWeights } from "../../../core/model/files.ts";
import { hostileJsonFiles } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { readJson, writeSmallModel } from "./small_model.ts";

/** The index of a model in two files, with what it sends to: a file outside, a link, a folder. */
export async function index(folder: string): Promise<OpenReader> {
  await writeSmallModel(folder, true);
  const path = `${folder}/model.safetensors.index.json`;
  const real = await readJson(path);
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  await Deno.mkdir(`${folder}/folder.safetensors`);
  await Deno.symlink("model-00001-of-00002.safetensors", `${folder}/link.safetensors`);
  await Deno.symlink("nowhere", `${folder}/dangling.safetensors`);
  await Deno.symlink("/dev/zero", `${folder}/zero.safetensors`);
  const map = (name: string) =>
    Object.fromEntries(
      Object.keys(real.weight_map as object).map((key, i) => [
        key,
        i === 0 ? name : shards[i % 2],
      ]),
    );
  const others = ["folder", "link", "dangling", "zero", "../inside/model-00001-of-00002", "/x"]
    .map((name) => ({ weight_map: map(`${name}.safetensors`) }));
  return {
    files: hostileJsonFiles([real, real, real, ...others]),
    read: async (file) => {
      await Deno.writeFile(path, file);
      await readWeights(folder);
    },
  };
}
