import { assertEquals, assertRejects } from "@std/assert";
import { openEmbedding } from "../../core/engine/embedding.ts";
import { EngineError } from "../../core/errors.ts";
import { outerTensor } from "../../core/model/open.ts";
import { openRows, readTensor } from "../../core/model/tensor_reader.ts";
import { withModel } from "./helpers.ts";

Deno.test("Embedding.lookup() reads single rows of a table that is too large to keep", async () => {
  // 9 M numbers: more than are kept in float32.
  await withModel(
    { vocabulary: 70_000, hidden: 128, layers: 1, dtype: "bf16" } as never,
    async (_, model) => {
      const { hiddenSize, vocabularySize } = model.architecture;
      assertEquals(4 * vocabularySize * hiddenSize > 32 * 2 ** 20, true);
      const table = await readTensor(outerTensor(model, "embedding.weight"));
      const tokens = [69_999, 3, 3, 0, 69_999, 41_234];
      const embedding = await openEmbedding(model);
      const rows = await embedding.lookup(tokens);
      tokens.forEach((token, at) =>
        assertEquals(
          rows.subarray(at * hiddenSize, (at + 1) * hiddenSize),
          table.subarray(token * hiddenSize, (token + 1) * hiddenSize),
        )
      );
      await assertRejects(() => embedding.lookup([70_000]), EngineError, "token '70000'");
      await embedding.close();
      await embedding.close();
      const reader = openRows(outerTensor(model, "embedding.weight"));
      const row = new Float32Array(hiddenSize);
      reader.read(5, row);
      assertEquals(row, table.slice(5 * hiddenSize, 6 * hiddenSize));
      reader.close();
    },
  );
});
