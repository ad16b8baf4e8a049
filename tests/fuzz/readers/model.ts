import fc from "fast-check";
import { inspectModel } from "../../../core/model/inspect.ts";
import { blockTensors, openModel, outerTensor } from "../../../core/model/open.ts";
import { readTensor } from "../../../core/model/tensor_reader.ts";
import { outerRoles } from "../../../core/model/units.ts";
import { type Bytes, bytesOf, hostileJson } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { hostileSafetensors } from "./safetensors_files.ts";
import { familyFolders, readJson, writeSmallModel } from "./small_model.ts";

/** A whole folder, one of whose two files is hostile: the config starts with `{`, the weights with their length. */
export async function model(folder: string): Promise<OpenReader> {
  await writeSmallModel(folder);
  const [weights, config] = ["model.safetensors", "config.json"].map((name) => `${folder}/${name}`);
  const real = await Deno.readFile(weights);
  const realConfig = await readJson(config);
  const families = await Promise.all(
    familyFolders.map((url) => readJson(new URL("config.json", url))),
  );
  const configs: fc.Arbitrary<Bytes> = hostileJson([realConfig, realConfig, ...families])
    .map((text) => bytesOf(`{${text.replace(/^\{/, "")}`));
  return {
    files: fc.oneof(configs, hostileSafetensors([real])),
    read: async (file) => {
      const isConfig = file[0] === 0x7b && file[1] === 0x22;
      await Deno.writeFile(isConfig ? config : weights, file);
      await Deno.writeFile(
        isConfig ? weights : config,
        isConfig ? real : bytesOf(JSON.stringify(realConfig)),
      );
      const opened = await openModel(folder);
      inspectModel(opened);
      for (const layer of opened.architecture.layers.keys()) {
        for (const tensor of blockTensors(opened, layer).values()) await readTensor(tensor);
      }
      for (const role of outerRoles(opened.architecture)) {
        await readTensor(outerTensor(opened, role));
      }
    },
  };
}
