import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { CancelledError, ExportError } from "../../core/errors.ts";
import { readPaddedRows } from "../../core/export/padding.ts";
import { exportZeroPadded } from "../../core/export/zero_pad.ts";
import { isUniform } from "../../core/model/inspect.ts";
import { openModel } from "../../core/model/open.ts";
import { readTensor } from "../../core/model/safetensors.ts";
import type { LayerShape } from "../../core/model/types.ts";
import { assertClose, wholeLogits, withEngine } from "../engine/helpers.ts";
import { type RandomModelOptions, withRandomModel } from "../helpers/random-model.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const shapes: readonly LayerShape[] = [
  { ffnWidth: 48, keyValueHeads: 2, queryHeads: 4 },
  { ffnWidth: 1, keyValueHeads: 1, queryHeads: 2 },
  { ffnWidth: 37, keyValueHeads: 3, queryHeads: 6 },
];
const tokens = [Int32Array.from({ length: 20 }, (_, index) => (index * 37 + 5) % 250)];

const variants: Readonly<Record<string, RandomModelOptions>> = {
  "float32": {},
  "bfloat16, in several files, untied": { dtype: "bf16", sharded: true, tied: false },
  "biases": { attentionBias: true, mlpBias: true },
  "another activation": { config: { hidden_act: "gelu" } },
  "mistral with a window": { modelType: "mistral", config: { sliding_window: 7 } },
};

for (const [name, options] of Object.entries(variants)) {
  Deno.test(`exportZeroPadded() gives a model of one size with the same logits: ${name}`, () =>
    withRandomModel(
      { seed: 5, ...options, shapes },
      (folder) =>
        withTemporaryFolder((directory) =>
          withEngine(async (engine) => {
            const model = await openModel(folder);
            await exportZeroPadded(model, directory);
            const padded = await openModel(directory);
            const { layers } = padded.architecture;
            assert(isUniform(layers));
            assertEquals(layers[0], { ffnWidth: 48, keyValueHeads: 3, queryHeads: 6 });
            assertEquals(padded.config.per_layer_config, undefined);
            assertEquals(padded.dataType, model.dataType);
            assertEquals(
              (padded.config.gprune as Record<string, unknown>).zero_padded_from,
              model.config.per_layer_config,
            );
            assertClose(
              await wholeLogits(engine, padded, tokens),
              await wholeLogits(engine, model, tokens),
              1e-4,
            );
          })
        ),
    ));
}

Deno.test("exportZeroPadded() leaves a uniform model as it is", () =>
  withRandomModel({}, (folder) =>
    withTemporaryFolder(async (directory) => {
      const model = await openModel(folder);
      await exportZeroPadded(model, directory);
      const copy = await openModel(directory);
      assertEquals(copy.config, model.config);
      for (const [name, view] of model.tensors) {
        assertEquals(await readTensor(copy.tensors.get(name)!), await readTensor(view));
      }
    })));

Deno.test("exportZeroPadded() refuses heads that are shared unequally, and can be cancelled", () =>
  withTemporaryFolder(async (directory) => {
    const unequal = [shapes[0], { ...shapes[0], keyValueHeads: 1 }];
    await withRandomModel({ shapes: unequal }, async (folder) => {
      const model = await openModel(folder);
      await assertRejects(
        () => exportZeroPadded(model, directory),
        ExportError,
        "2 and 4 query heads share a key/value head",
      );
      await assertRejects(() => exportZeroPadded(model, directory), ExportError, "--format onnx");
    });
    await withRandomModel({ shapes }, async (folder) => {
      const model = await openModel(folder);
      const signal = AbortSignal.abort();
      await assertRejects(() => exportZeroPadded(model, directory, { signal }), CancelledError);
    });
  }));

Deno.test("readPaddedRows() has the tensor's numbers at its beginning and zeros elsewhere", async () => {
  const size = fc.integer({ min: 1, max: 6 });
  const more = fc.integer({ min: 0, max: 4 });
  await fc.assert(
    fc.asyncProperty(size, size, more, more, size, async (rows, columns, below, right, step) => {
      const data = Float32Array.from({ length: rows * columns }, (_, index) => index + 1);
      const wanted = [rows + below, columns + right];
      const pieces: number[] = [];
      for (let row = 0; row < wanted[0]; row += step) {
        const count = Math.min(step, wanted[0] - row);
        pieces.push(...await readPaddedRows({ shape: [rows, columns], data }, wanted, row, count));
      }
      const expected = Array.from({ length: wanted[0] * wanted[1] }, (_, at) => {
        const [row, column] = [Math.floor(at / wanted[1]), at % wanted[1]];
        return row < rows && column < columns ? row * columns + column + 1 : 0;
      });
      assertEquals(pieces, expected);
    }),
  );
});
