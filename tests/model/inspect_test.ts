import { assert, assertEquals } from "@std/assert";
import { inspectModel, isUniform } from "../../core/model/inspect.ts";
import { openModel } from "../../core/model/open.ts";
import { withRandomModel } from "../helpers/random-model.ts";

Deno.test("inspectModel() sums a model up in plain data", async () => {
  await withRandomModel({ dtype: "f16", attentionBias: true }, async (folder) => {
    const model = await openModel(folder);
    const summary = inspectModel(model);
    assertEquals(JSON.parse(JSON.stringify(summary)), summary);
    assertEquals(summary.family, "llama");
    assertEquals(summary.dataType, "F16");
    assertEquals(summary.layers, 2);
    assertEquals(summary.shapes[0], {
      ffnWidth: 48,
      keyValueHeads: 2,
      queryHeads: 4,
      queriesPerGroup: 2,
    });
    assertEquals(summary.uniform, true);
    assertEquals(summary.biases.length, 4);
    assertEquals(summary.parameters.total, model.parameters);
    const { ffn, heads, all } = summary.parameters.prunable;
    assertEquals(ffn, 2 * 48 * 3 * 32);
    // Two groups a layer: 32 × 8 × (2 × 2 + 2) weights, and biases of two query heads, a key and a value head.
    assertEquals(heads, 2 * 2 * (32 * 8 * 6 + 8 * 4));
    assertEquals(all, ffn + heads);
  });
});

Deno.test("inspectModel() tells a model whose layers differ, and its window", async () => {
  const shapes = [
    { ffnWidth: 5, keyValueHeads: 1, queryHeads: 2 },
    { ffnWidth: 5, keyValueHeads: 2, queryHeads: 4 },
  ];
  const config = { sliding_window: 64 };
  await withRandomModel({ modelType: "mistral", shapes, config }, async (folder) => {
    const summary = inspectModel(await openModel(folder));
    assertEquals(summary.uniform, false);
    assertEquals(summary.slidingWindow, 64);
    assertEquals(summary.shapes.map(({ keyValueHeads }) => keyValueHeads), [1, 2]);
  });
});

Deno.test("inspectModel() says where a compensation bias has a place", async () => {
  const biasOf = (modelType: string) =>
    withRandomModel({ modelType }, async (folder) => {
      const { exports } = inspectModel(await openModel(folder));
      assertEquals(exports.map(({ format }) => format), ["hf", "onnx", "gguf"]);
      return exports[0].bias;
    });
  assert((await biasOf("llama")).includes("attention_bias and mlp_bias"));
  assert((await biasOf("mistral")).includes("no place for biases"));
});

Deno.test("isUniform() compares every size", () => {
  const shape = { ffnWidth: 4, keyValueHeads: 2, queryHeads: 4 };
  assert(isUniform([shape, { ...shape }]));
  for (const key of ["ffnWidth", "keyValueHeads", "queryHeads"] as const) {
    assert(!isUniform([shape, { ...shape, [key]: 8 }]));
  }
});
