import { assert } from "@std/assert";
import type { FitSums } from "../../../core/engine/types.ts";
import { openModel } from "../../../core/model/open.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { firstBlock, randomStream } from "../helpers.ts";
import { adapterIsMissing, assertSame, withEngines } from "./helpers.ts";

const ignore = await adapterIsMissing();

function assertSameFit(what: string, [actual, expected]: readonly FitSums[]): void {
  assertSame(`${what}: Gram matrix`, actual.gram, expected.gram);
  assertSame(`${what}: cross sums`, actual.cross, expected.cross);
  assert(Math.abs(actual.targetEnergy / expected.targetEnergy - 1) < 1e-4, `${what}: energy`);
}

Deno.test({
  name: "fits sum what ONNX Runtime sums, in parts too",
  ignore,
  fn: async () => {
    for (const bindingBytes of [undefined, 16_384]) {
      await withEngines(async (webgpu, onnx) => {
        const options = { layers: 1, hidden: 30, headSize: 10, ffnWidth: 45, mlpBias: true };
        await withRandomModel(options, async (folder) => {
          const model = await openModel(folder);
          const [texts, length] = [5, 33];
          const hidden = randomStream(model, texts * length, 1);
          const stream = randomStream(model, texts * length, 2);
          const tokenScale = Float32Array.from(
            { length: texts * length },
            (_, token) => 0.5 + (token % 7) / 7,
          );
          for (const structure of ["ffn", "heads"] as const) {
            const fits: FitSums[] = [];
            for (const engine of [webgpu, onnx]) {
              const block = await engine.openFittingBlock(firstBlock(model), structure);
              fits.push(await block.run(hidden, texts, length, { stream, tokenScale }));
              await block.close();
            }
            assertSameFit(structure, fits);
          }
          const norm = firstBlock(model).tensors.get("ffnNorm.weight")!;
          const fits: FitSums[] = [];
          for (const engine of [webgpu, onnx]) {
            const fit = await engine.openStreamFit(model.architecture, norm);
            fits.push(await fit.run(hidden, stream, tokenScale));
            await fit.close();
          }
          assertSameFit("stream", fits);
        });
      }, { bindingBytes });
    }
  },
});
