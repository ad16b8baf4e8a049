import { assertEquals } from "@std/assert";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { assertClose, unpack, wholeLogits, withEngine } from "../engine/helpers.ts";
import { prunedFixture, prunedFixtureNames } from "../helpers/pruned-fixture.ts";

interface Reference {
  readonly transformers: string;
  readonly models: Readonly<
    Record<
      string,
      {
        readonly class: string;
        readonly tokens: readonly (readonly number[])[];
        readonly logits: string;
      }
    >
  >;
}

/** What PyTorch transformers computed from the folders that gprune wrote; bench/pruned_reference.py makes it. */
const reference: Reference = JSON.parse(
  await Deno.readTextFile(new URL("../fixtures/pruned.json", import.meta.url)),
);

for (const name of prunedFixtureNames) {
  Deno.test(`A uniform cut of '${name}' gives the logits of transformers' stock class`, () =>
    withTemporaryFolder(async (folder) => {
      const expected = reference.models[name];
      const pruned = await prunedFixture(name, folder);
      assertEquals(
        expected.class,
        pruned.architecture.family === "mistral" ? "MistralForCausalLM" : "LlamaForCausalLM",
      );
      await withEngine(async (engine) => {
        const windows = expected.tokens.map((tokens) => Int32Array.from(tokens));
        const logits = await wholeLogits(engine, pruned, windows);
        assertClose(logits, unpack(expected.logits), 1e-4);
      });
    }));
}
