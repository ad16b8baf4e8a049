/**
 * The small model whose files are made hostile.
 * @module
 */
import { openModel } from "../../../core/model/open.ts";
import type { Model } from "../../../core/model/types.ts";
import { writeRandomModel } from "../../helpers/random-model.ts";

/**
 * Writes it to a folder.
 *
 * @param folder The folder
 * @param sharded Whether its weights are in two files with an index
 * @returns The model
 */
export async function writeSmallModel(folder: string, sharded = false): Promise<Model> {
  const sizes = { hidden: 16, ffnWidth: 12, headSize: 4, queryHeads: 4, keyValueHeads: 2 };
  await writeRandomModel({ ...sizes, maxPositions: 32, folder, sharded });
  return await openModel(folder);
}

/**
 * Reads a file of JSON.
 *
 * @param path The file
 * @returns What it holds
 */
export async function readJson(path: string | URL): Promise<Record<string, unknown>> {
  return JSON.parse(await Deno.readTextFile(path));
}

/** Files of families, as their own writers left them. */
export const familyFolders: readonly URL[] = Array.from(
  Deno.readDirSync(new URL("../../fixtures/families/", import.meta.url)),
  ({ name, isDirectory }) => isDirectory ? [name] : [],
).flat().sort().map((name) => new URL(`../../fixtures/families/${name}/`, import.meta.url));
