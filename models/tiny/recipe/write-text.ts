/**
 * Writes the text that trains and tests the tiny model, one file for each kind and part.
 *
 * Usage: `deno run --allow-write models/tiny/recipe/write-text.ts <folder> [<train characters>]`
 *
 * @module
 */

import { embeddedKinds, generateEmbeddedText } from "../../../core/text/embedded/mod.ts";

const [folder, trainCharacters = "14000000"] = Deno.args;
if (folder === undefined) {
  console.error("Name the folder to write to.");
  Deno.exit(2);
}
Deno.mkdirSync(folder, { recursive: true });
for (const kind of embeddedKinds) {
  for (
    const [part, characters] of [["train", Number(trainCharacters)], ["held-out", 60_000]] as const
  ) {
    Deno.writeTextFileSync(
      `${folder}/${kind}.${part}.txt`,
      generateEmbeddedText(kind, part, characters, 0),
    );
  }
}
