/** What `obs` does in blocks, and with products of a library, against its formulas channel by channel. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { multiplier } from "../../core/engine/multiply.ts";
import { openOnnxEngine } from "../../core/engine/onnx.ts";
import { balancedKindGram, closingProjection } from "../../core/learn/score.ts";
import { type Multiply, multiplyTransposed } from "../../core/linear/product.ts";
import { blockTensors, openModel } from "../../core/model/open.ts";
import { readTensor } from "../../core/model/tensor_reader.ts";
import { STRUCTURES, unitCount } from "../../core/model/units.ts";
import { equalUnits, errorsAlongOrder, obsOrder, type UnitChannels } from "../../core/plan/obs.ts";
import { embeddedIsMissing } from "../helpers/embedded.ts";
import { assertClose, naiveEnergy, randomGram, randomMatrix } from "../helpers/matrices.ts";
import { naiveObs } from "../helpers/naive_obs.ts";
import { smallStatistics } from "../helpers/pipeline.ts";

/** Does something with the engine's products, and with those of the program's own code. */
async function withProducts(use: (multiply: Multiply | undefined) => Promise<void>): Promise<void> {
  await use(undefined);
  const engine = await openOnnxEngine();
  try {
    await use(multiplier(engine));
  } finally {
    await engine.close();
  }
}

async function assertFormulas(
  weight: Float32Array | Float64Array,
  gram: Float64Array,
  units: UnitChannels,
  atOnce: number,
): Promise<void> {
  const expected = naiveObs(weight, gram, units, { ridge: 0.01, atOnce });
  const energy = naiveEnergy(weight, gram);
  await withProducts(async (multiply) => {
    const { order, refittedError } = await obsOrder(weight, gram, units, { atOnce, multiply });
    assertEquals(Array.from(order), expected.order);
    let sum = 0;
    expected.costs.forEach((cost, index) => {
      sum += cost / energy;
      const ratio = refittedError[index + 1] / sum;
      assert(Math.abs(ratio - 1) < 1e-9, `after ${index + 1} units ${ratio} of the error`);
    });
  });
}

// More channels than go before the matrices are brought up to date, several times over, and not in whole blocks.
for (
  const [units, size, atOnce] of [[300, 1, 8], [290, 1, 1], [150, 2, 1], [5, 60, 1], [2, 150, 2]]
) {
  Deno.test(`obsOrder() of ${units} units of ${size}, ${atOnce} at once, is that of its formulas`, async () => {
    const n = units * size;
    const gram = randomGram(n, 2 * n, n);
    await assertFormulas(randomMatrix(4, n, 3), gram, equalUnits(units, size), atOnce);
  });
}

Deno.test("obsOrder() is that of its formulas where samples are fewer than channels", async () => {
  await assertFormulas(randomMatrix(6, 280, 3), randomGram(280, 90, 1), equalUnits(280, 1), 8);
});

Deno.test({
  name: "obsOrder() is that of its formulas on Gram matrices of a model",
  ignore: embeddedIsMissing(),
  fn: async () => {
    const engine = await openOnnxEngine();
    const model = await openModel(new URL("../../models/tiny", import.meta.url).pathname);
    const settings = { samples: 3, seqLen: 64, self: false, gram: true, learn: false };
    const statistics = await smallStatistics(engine, model, settings);
    const layer = 2;
    for (const structure of STRUCTURES) {
      const weight = blockTensors(model, layer).get(closingProjection[structure])!;
      const n = weight.shape[1];
      const units = unitCount(model.architecture.layers[layer], structure);
      const kind = statistics.layers[layer][structure];
      const gram = await balancedKindGram(kind, kind.domains.map(() => 1), n);
      const atOnce = structure === "ffn" ? 8 : 1;
      await assertFormulas(await readTensor(weight), gram, equalUnits(units, n / units), atOnce);
    }
    await engine.close();
  },
});

Deno.test("obsOrder() is the same whatever makes the products, and its errors those along its order", async () => {
  const sizes = fc.record({
    units: fc.integer({ min: 1, max: 70 }),
    size: fc.integer({ min: 1, max: 5 }),
    atOnce: fc.integer({ min: 1, max: 9 }),
    seed: fc.integer({ min: 0, max: 1000 }),
  });
  await withProducts(async (multiply) => {
    await fc.assert(
      fc.asyncProperty(sizes, async ({ units, size, atOnce, seed }) => {
        const n = units * size;
        const gram = randomGram(n, 2 * n, seed);
        const weight = randomMatrix(9, n, seed + 1);
        const partition = equalUnits(units, size);
        const own = await obsOrder(weight, gram, partition, { atOnce });
        const { order, refittedError, plainError } = await obsOrder(weight, gram, partition, {
          atOnce,
          multiply: multiply ?? multiplyTransposed,
        });
        assertEquals(order, own.order);
        const along = await errorsAlongOrder(weight, gram, partition, order, { multiply });
        for (const errors of [own, along]) {
          assertClose(refittedError, errors.refittedError, 1e-10);
          assertClose(plainError, errors.plainError, 1e-10);
        }
      }),
      { numRuns: 15 },
    );
  });
});

Deno.test("obsOrder() gives the very same numbers every time", async () => {
  const gram = randomGram(260, 300, 5);
  const weight = randomMatrix(70, 260, 6);
  await withProducts(async (multiply) => {
    const first = await obsOrder(weight, gram, equalUnits(260, 1), { multiply });
    assertEquals(await obsOrder(weight, gram, equalUnits(260, 1), { multiply }), first);
  });
});
