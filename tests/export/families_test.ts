/** What every family becomes in formats: stock classes of transformers, and ONNX files. */
import { assert, assertEquals } from "@std/assert";
import { familyOf } from "../../core/model/families.ts";
import { openModel } from "../../core/model/open.ts";
import { familyFixtures, prunedFamily } from "../helpers/family-fixtures.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { assertClose, unpack, wholeLogits, withEngine } from "../engine/helpers.ts";
import { logitsInSteps, withDecoder } from "./onnx/helpers.ts";

/** What PyTorch transformers computes from folders that gprune pruned; bench/pruned_reference.py makes it. */
const reference: {
  readonly models: Readonly<
    Record<string, { class: string; tokens: readonly (readonly number[])[]; logits: string }>
  >;
} = JSON.parse(
  await Deno.readTextFile(new URL("../fixtures/families-pruned.json", import.meta.url)),
);

for (const { name } of familyFixtures) {
  Deno.test(`A uniform cut of a random ${name} gives the logits of transformers' stock class`, () =>
    withTemporaryFolder((folder) =>
      withEngine(async (engine) => {
        for (const path of await prunedFamily(name, `${folder}/${name}`)) {
          const expected = reference.models[path.split("/").at(-1)!];
          const pruned = await openModel(path);
          assertEquals(expected.class, familyOf(pruned.architecture.family).stockClass);
          const windows = expected.tokens.map((tokens) => Int32Array.from(tokens));
          const logits = await wholeLogits(engine, pruned, windows);
          assertClose(logits, unpack(expected.logits), 1e-4);
        }
      })
    ));
}

for (const { name, folder, reference: { tokens, logits } } of familyFixtures) {
  Deno.test(`exportOnnx() writes a random ${name} that computes what transformers does, whole and in steps`, async () => {
    const model = await openModel(folder);
    const [text] = tokens.map((row) => Int32Array.from(row));
    const expected = unpack(logits).subarray(0, text.length * model.architecture.vocabularySize);
    await withDecoder(model, "none", async (decoder) => {
      const whole = await decoder.run(text, 1);
      assertClose(whole.logits, expected, 1e-4);
      assertClose(await logitsInSteps(decoder, text, [5, 1, 1, text.length - 7]), expected, 1e-4);
    });
    for (const quantize of ["f16", "q8", "q4"] as const) {
      await withDecoder(model, quantize, async (decoder) => {
        const { logits: rounded } = await decoder.run(text, 1);
        assert(rounded.every(Number.isFinite), quantize);
        if (quantize === "f16") assertClose(rounded, expected, 2e-2);
      });
    }
  });
}

Deno.test("exportOnnx() writes cut models of every family: logits are the engine's", () =>
  withTemporaryFolder((folder) =>
    withEngine(async (engine) => {
      for (const { name, reference: { tokens } } of familyFixtures) {
        const [path] = await prunedFamily(name, `${folder}/${name}`);
        const pruned = await openModel(path);
        const text = Int32Array.from(tokens[0]);
        const expected = await wholeLogits(engine, pruned, [text]);
        await withDecoder(pruned, "none", async (decoder) => {
          assertClose((await decoder.run(text, 1)).logits, expected, 1e-4);
        });
      }
    })
  ));
