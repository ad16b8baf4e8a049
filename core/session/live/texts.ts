/**
 * A folder of texts as calibration domains: one for each thing that lies in it.
 * @module
 */
import { join } from "@std/path";
import { TextError } from "../../errors.ts";
import type { NamedPath } from "../types.ts";

/** Files that are texts. */
const textNames = /\.(txt|md|jsonl)$/i;

/**
 * Names the texts of a folder: every text file and every folder in it is a domain.
 *
 * @param folder The folder
 * @returns Named paths, by name
 * @throws {TextError} if there is no folder, or no text in it
 */
export async function textsIn(folder: string): Promise<readonly NamedPath[]> {
  const found: NamedPath[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (name.startsWith(".") || (!isDirectory && !textNames.test(name))) continue;
      const base = name.replace(textNames, "").replace(/[^\p{L}\p{N}_.-]+/gu, "-");
      found.push({ name: base, path: join(folder, name) });
    }
  } catch (cause) {
    throw new TextError(
      `Cannot read texts from '${folder}': ${
        (cause as Error).message
      }; give a folder of text files`,
      { cause },
    );
  }
  if (found.length === 0) {
    throw new TextError(
      `Cannot find a text in '${folder}': put .txt, .md or .jsonl files, or folders of them, there`,
    );
  }
  const twice = found.find(({ name }, at) => found.findIndex((each) => each.name === name) !== at);
  if (twice !== undefined) {
    throw new TextError(
      `Cannot tell two texts named '${twice.name}' in '${folder}' apart: rename one of them`,
    );
  }
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}
