/**
 * Prunes the small random models of tests/fixtures by fixed plans and writes the folders, so that
 * bench/pruned_reference.py can let PyTorch transformers compute their logits.
 *
 *     deno run -A bench/pruned_folders.ts DIR
 *     python bench/pruned_reference.py DIR tests/fixtures/pruned.json
 *
 * With `--families`, the small models of every family, for tests/fixtures/families-pruned.json; those whose heads must fill
 * the stream lose neurons alone, and in a second folder heads too, padded with zeros.
 *
 * Also writes the logits of any folder in the Hugging Face layout as gprune computes them:
 *
 *     deno run -A bench/pruned_folders.ts --logits MODEL FILE
 *
 * That is also how a padded copy is checked: the logits of an adaptive folder, which stock classes do not load, against
 * what PyTorch computes from its copy.
 *
 *     gprune export ADAPTIVE --zero-pad --out PADDED
 *     deno run -A bench/pruned_folders.ts --logits ADAPTIVE FILE
 *     python bench/pruned_reference.py --check PADDED FILE
 *
 * @module
 */
import { join } from "@std/path";
import { openEngine } from "../core/engine/open.ts";
import { openModel } from "../core/model/open.ts";
import { Random } from "../core/random.ts";
import { wholeLogits } from "../tests/engine/helpers.ts";
import { familyFixtures, prunedFamily } from "../tests/helpers/family-fixtures.ts";
import { prunedFixture, prunedFixtureNames } from "../tests/helpers/pruned-fixture.ts";

const [first, ...rest] = Deno.args;
if (first === "--logits") {
  const [folder, file] = rest;
  const model = await openModel(folder);
  const engine = await openEngine("onnx");
  const random = Random.of("parity");
  const tokens = Int32Array.from(
    { length: Math.min(64, model.architecture.maxPositions) },
    () => random.below(model.architecture.vocabularySize),
  );
  const logits = await wholeLogits(engine, model, [tokens]);
  await Deno.writeTextFile(file, JSON.stringify({ tokens: [[...tokens]], logits: [...logits] }));
  await engine.close();
} else if (first === "--families") {
  for (const { name } of familyFixtures) {
    for (const folder of await prunedFamily(name, join(rest[0], name))) console.log(folder);
  }
} else {
  for (const name of prunedFixtureNames) {
    console.log((await prunedFixture(name, join(first, name))).folder);
  }
}
