import { openModel } from "../../core/model/open.ts";
import { embedWindows, runBlocks } from "../../core/engine/forward.ts";
import { familyFixtures } from "../helpers/family-fixtures.ts";
import { assertClose, unpack, wholeLogits, withEngine } from "./helpers.ts";

for (const { name, folder, reference } of familyFixtures) {
  Deno.test(`openOnnxEngine() gives logits and streams of transformers on a random ${name}`, async () => {
    const model = await openModel(folder);
    const windows = reference.tokens.map((row) => Int32Array.from(row));
    await withEngine(async (engine) => {
      const embedding = await engine.openEmbedding(model);
      const embedded = await embedWindows(embedding, windows.slice(0, 1));
      assertClose(embedded, unpack(reference.streams[0]), 1e-5);
      await runBlocks(engine, model, embedded, 1, windows[0].length, {
        onBlock: (layer, { hidden }) =>
          assertClose(hidden, unpack(reference.streams[layer + 1]), 1e-4),
      });
      await embedding.close();
      assertClose(await wholeLogits(engine, model, windows), unpack(reference.logits), 1e-4);
    });
  });
}
