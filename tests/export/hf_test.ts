import { assert, assertEquals, assertRejects } from "@std/assert";
import { CancelledError, ExportError } from "../../core/errors.ts";
import { exportHuggingFace } from "../../core/export/hf.ts";
import { openModel } from "../../core/model/open.ts";
import { encode, readTensor, readTensorBytes } from "../../core/model/safetensors.ts";
import { withRandomModel } from "../helpers/random-model.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

Deno.test("exportHuggingFace() copies a model bit for bit", async () => {
  await withRandomModel({ dtype: "bf16", sharded: true, tied: false }, async (folder) => {
    await withTemporaryFolder(async (directory) => {
      const model = await openModel(folder);
      await exportHuggingFace(model, directory);
      const copy = await openModel(directory);
      assertEquals(copy.config, model.config);
      assertEquals(copy.companionFiles, model.companionFiles);
      assertEquals([...copy.tensors.keys()], [...model.tensors.keys()]);
      for (const [name, view] of model.tensors) {
        assertEquals(await readTensorBytes(copy.tensors.get(name)!), await readTensorBytes(view));
      }
      for (const name of model.companionFiles) {
        assertEquals(
          await Deno.readFile(`${directory}/${name}`),
          await Deno.readFile(`${folder}/${name}`),
        );
      }
    });
  });
});

Deno.test("exportHuggingFace() round-trips through every data type that holds the numbers", async () => {
  await withRandomModel({ dtype: "bf16" }, async (folder) => {
    await withTemporaryFolder(async (directory) => {
      const model = await openModel(folder);
      await exportHuggingFace(model, `${directory}/f32`, { dataType: "f32" });
      const wide = await openModel(`${directory}/f32`);
      assertEquals([wide.dataType, wide.config.torch_dtype], ["F32", "float32"]);
      await exportHuggingFace(wide, `${directory}/bf16`, { dataType: "bf16" });
      const back = await openModel(`${directory}/bf16`);
      assertEquals(back.config.torch_dtype, "bfloat16");
      for (const [name, view] of model.tensors) {
        assertEquals(await readTensorBytes(back.tensors.get(name)!), await readTensorBytes(view));
      }
    });
  });
});

Deno.test("exportHuggingFace() rounds as encode() does", async () => {
  await withRandomModel({ dtype: "f32" }, async (folder) => {
    await withTemporaryFolder(async (directory) => {
      const model = await openModel(folder);
      await exportHuggingFace(model, directory, { dataType: "f16", largestShard: 30_000 });
      const half = await openModel(directory);
      for (const [name, view] of half.tensors) {
        const dense = await readTensor(model.tensors.get(name)!);
        assertEquals(await readTensorBytes(view), encode(dense, "F16"));
      }
      assert(half.bytes < 0.6 * model.bytes);
      const index = JSON.parse(
        await Deno.readTextFile(`${directory}/model.safetensors.index.json`),
      );
      const total = [...half.tensors.values()].reduce((sum, view) => sum + view.byteLength, 0);
      assertEquals(index.metadata.total_size, total);
    });
  });
});

Deno.test("exportHuggingFace() refuses its own folder and a folder under a file, and can be cancelled", async () => {
  await withRandomModel({}, async (folder) => {
    const model = await openModel(folder);
    await assertRejects(() => exportHuggingFace(model, folder), ExportError, "read from there");
    const under = `${folder}/config.json/out`;
    await assertRejects(() => exportHuggingFace(model, under), ExportError, under);
    const signal = AbortSignal.abort();
    await withTemporaryFolder((directory) =>
      assertRejects(() => exportHuggingFace(model, directory, { signal }), CancelledError)
    );
  });
});
