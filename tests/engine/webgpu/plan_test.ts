import { assertEquals } from "@std/assert";
import { multiplier } from "../../../core/engine/multiply.ts";
import type { Engine } from "../../../core/engine/types.ts";
import { openModel } from "../../../core/model/open.ts";
import type { Model } from "../../../core/model/types.ts";
import { makePlan } from "../../../core/plan/make_plan.ts";
import { equalUnits, obsOrder } from "../../../core/plan/obs.ts";
import { randomGram, randomMatrix } from "../../helpers/matrices.ts";
import { smallModel, smallStatistics } from "../../helpers/pipeline.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { SHARED, sharedIsMissing } from "../../helpers/temporary.ts";
import { adapterIsMissing, assertSame, withEngines } from "./helpers.ts";

const ignore = await adapterIsMissing();

/** Which units stay where, on statistics that an engine took. */
async function keptUnits(engine: Engine, model: Model): Promise<unknown> {
  const statistics = await smallStatistics(engine, model, { samples: 4, seqLen: 24, learn: false });
  const plan = makePlan(model, statistics, { sparsity: 0.4 });
  return plan.layers;
}

Deno.test({
  name: "makePlan() keeps the same units on statistics of either engine",
  ignore,
  fn: async () => {
    // The small products of such a model are made on the card as well.
    await withEngines(async (webgpu, onnx) => {
      await withRandomModel(smallModel, async (folder) => {
        const model = await openModel(folder);
        assertEquals(await keptUnits(webgpu, model), await keptUnits(onnx, model));
      });
    }, { sendFrom: 0 });
  },
});

Deno.test({
  name: "makePlan() keeps the same units of stories260K on statistics of either engine",
  ignore: ignore || sharedIsMissing(),
  fn: async () => {
    const model = await openModel(new URL("models/stories260K", SHARED).pathname);
    await withEngines(async (webgpu, onnx) => {
      assertEquals(await keptUnits(webgpu, model), await keptUnits(onnx, model));
    });
  },
});

Deno.test({
  name: "obsOrder() is the processor's with every product in float32 on the card",
  ignore,
  fn: async () => {
    await withEngines(async (webgpu, onnx) => {
      const [n, m] = [250, 40];
      const gram = randomGram(n, 120, 1);
      const weight = randomMatrix(m, n, 2);
      for (const size of [1, 50]) {
        const units = equalUnits(n / size, size);
        const onCard = await obsOrder(weight, gram, units, { multiply: multiplier(webgpu) });
        const expected = await obsOrder(weight, gram, units, { multiply: multiplier(onnx) });
        assertEquals(onCard.order, expected.order);
        assertSame("refitted", onCard.refittedError, expected.refittedError);
        assertSame("plain", onCard.plainError, expected.plainError);
      }
    }, { sendFrom: 0 });
  },
});
