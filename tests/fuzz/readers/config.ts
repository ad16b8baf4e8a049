import { parseConfig, readConfig } from "../../../core/model/config.ts";
import { decimalFields, stringifyWithDecimals } from "../../../core/model/config/decimals.ts";
import { hostileJsonFiles } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { familyFolders, readJson } from "./small_model.ts";

/** A config of every family, to what the model computes, and back to text as exports write it. */
export async function config(folder: string): Promise<OpenReader> {
  const tiny = new URL("../../../models/tiny/", import.meta.url);
  const real = await Promise.all(
    [tiny, ...familyFolders].map((url) => readJson(new URL("config.json", url))),
  );
  const path = `${folder}/config.json`;
  return {
    files: hostileJsonFiles(real),
    read: async (file) => {
      await Deno.writeFile(path, file);
      const config = await readConfig(path);
      parseConfig(config, path);
      stringifyWithDecimals(config, decimalFields(await Deno.readTextFile(path)));
    },
  };
}
