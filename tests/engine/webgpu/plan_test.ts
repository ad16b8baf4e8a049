import { assertEquals } from "@std/assert";
import type { Engine } from "../../../core/engine/types.ts";
import { openModel } from "../../../core/model/open.ts";
import type { Model } from "../../../core/model/types.ts";
import { makePlan } from "../../../core/plan/make_plan.ts";
import { smallModel, smallStatistics } from "../../helpers/pipeline.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { SHARED, sharedIsMissing } from "../../helpers/temporary.ts";
import { adapterIsMissing, withEngines } from "./helpers.ts";

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
    await withEngines(async (webgpu, onnx) => {
      await withRandomModel(smallModel, async (folder) => {
        const model = await openModel(folder);
        assertEquals(await keptUnits(webgpu, model), await keptUnits(onnx, model));
      });
    });
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
