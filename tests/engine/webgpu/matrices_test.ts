import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { multiplier } from "../../../core/engine/multiply.ts";
import { openOnnxEngine } from "../../../core/engine/onnx.ts";
import { resilientEngine } from "../../../core/engine/resilient.ts";
import { openWebGpuEngine } from "../../../core/engine/webgpu/engine.ts";
import { fitError, fitWeights } from "../../../core/linear/fit.ts";
import { multiplyTransposed, part, whole } from "../../../core/linear/product.ts";
import { normalNumbers } from "../../helpers/random-model.ts";
import { adapterIsMissing, assertSame } from "./helpers.ts";

const ignore = await adapterIsMissing();

function randomMatrix(rows: number, columns: number, seed: number): Float64Array {
  const next = normalNumbers(seed);
  return Float64Array.from({ length: rows * columns }, next);
}

Deno.test({
  name: "Engine.multiply() multiplies parts of matrices of any size, in stripes too",
  ignore,
  fn: async () => {
    for (const bindingBytes of [undefined, 65_536]) {
      const engine = await openWebGpuEngine({ bindingBytes, sendFrom: 0 });
      const size = fc.integer({ min: 1, max: 140 });
      await fc.assert(
        fc.asyncProperty(fc.tuple(size, size, size), async ([rows, columns, depth]) => {
          const left = part(randomMatrix(rows + 2, depth + 3, 1), depth + 3, [1, rows + 1], [
            2,
            depth + 2,
          ]);
          const right = whole(randomMatrix(columns, depth, 2), columns, depth);
          const expected = await multiplyTransposed(left, right);
          assertSame("product", (await engine.multiply!(left, right))!, expected, 1e-5);
        }),
        { numRuns: 12 },
      );
      assertEquals(engine.context.pool.counts.inUse, 0);
      await engine.close();
    }
  },
});

Deno.test({
  name: "multiplier() fits the weights of the processor on the card, and goes on without it",
  ignore,
  fn: async () => {
    const webgpu = await openWebGpuEngine({ sendFrom: 0 });
    const notes: string[] = [];
    const engine = resilientEngine(webgpu, openOnnxEngine, { onNote: (note) => notes.push(note) });
    const [outputs, channels, tokens] = [40, 96, 400];
    const inputs = whole(randomMatrix(channels, tokens, 3), channels, tokens);
    const targets = whole(randomMatrix(outputs, tokens, 4), outputs, tokens);
    const fit = {
      gram: await multiplyTransposed(inputs, inputs),
      cross: await multiplyTransposed(targets, inputs),
      targetEnergy: targets.data.reduce((sum, value) => sum + value * value, 0),
    };
    const before = randomMatrix(outputs, channels, 5);
    const expected = await fitWeights(before, fit, { ridge: 0.05 });
    const error = await fitError(expected, fit);
    const multiply = multiplier(engine);
    for (const lost of [false, true]) {
      if (lost) webgpu.context.graphics.device.destroy();
      const weights = await fitWeights(before, fit, { ridge: 0.05, multiply });
      assertSame("weights", weights, expected);
      assertSame("error", [await fitError(weights, fit, undefined, multiply)], [error]);
      assertEquals(notes.length, lost ? 1 : 0);
    }
    await engine.close();
  },
});

Deno.test({
  name: "Engine.multiply() of a card leaves what is not worth the way to the processor, in float64",
  ignore,
  fn: async () => {
    const engine = await openWebGpuEngine();
    const [tiny, small] = [10, 100].map((size) => whole(randomMatrix(size, size, 1), size, size));
    assertEquals(await engine.multiply!(tiny, tiny), undefined);
    const product = (await engine.multiply!(small, small))!;
    assertSame("product", product, await multiplyTransposed(small, small), 1e-14);
    await engine.close();
  },
});
