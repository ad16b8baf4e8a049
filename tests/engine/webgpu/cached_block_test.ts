import { assertEquals, assertRejects } from "@std/assert";
import type { KeyValueCache } from "../../../core/engine/types.ts";
import { EngineError } from "../../../core/errors.ts";
import { sampleSelf } from "../../../core/calibrate/self.ts";
import { openModel } from "../../../core/model/open.ts";
import { type RandomModelOptions, withRandomModel } from "../../helpers/random-model.ts";
import { firstBlock, randomStream } from "../helpers.ts";
import { adapterIsMissing, assertSame, withEngines } from "./helpers.ts";

const ignore = await adapterIsMissing();

const variants: readonly RandomModelOptions[] = [
  { headSize: 8, queryHeads: 4, keyValueHeads: 2, attentionBias: true },
  { headSize: 10, queryHeads: 3, keyValueHeads: 1, hidden: 30 },
  {
    headSize: 16,
    queryHeads: 2,
    keyValueHeads: 2,
    modelType: "mistral",
    config: { sliding_window: 5 },
  },
  { headSize: 256, queryHeads: 2, keyValueHeads: 1 },
];

Deno.test({
  name: "CachedBlock.run() continues texts as Block.run() reads them, past its first capacity",
  ignore,
  fn: async (t) => {
    for (const { headSize = 0, keyValueHeads = 0, ...others } of variants) {
      const options = { headSize, keyValueHeads, ...others };
      // The smaller bindings hold the cache of one text of 128 tokens.
      for (const bindingBytes of [undefined, 4 * 128 * 2 * headSize * keyValueHeads]) {
        await t.step(JSON.stringify({ bindingBytes, ...options }), async () => {
          await withEngines(async (webgpu, onnx) => {
            await withRandomModel({ ...options, layers: 1 }, async (folder) => {
              const model = await openModel(folder);
              const { hiddenSize } = model.architecture;
              const [texts, length] = [3, 70];
              const hidden = randomStream(model, texts * length);
              const whole = await onnx.openBlock(firstBlock(model));
              const expected = (await whole.run(hidden, texts, length)).hidden;
              await whole.close();
              const block = await webgpu.openCachedBlock(firstBlock(model));
              const actual = new Float32Array(expected.length);
              let cache: KeyValueCache | undefined;
              for (let from = 0; from < length;) {
                const to = from < 2 ? from + 1 : Math.min(length, from + 10);
                const parts = Array.from({ length: texts }, (_, text) => {
                  const at = (text * length + from) * hiddenSize;
                  return hidden.subarray(at, at + (to - from) * hiddenSize);
                });
                const input = Float32Array.from(parts.flatMap((part) => [...part]));
                const output = await block.run(input, texts, to - from, cache);
                cache = output.cache;
                const size = (to - from) * hiddenSize;
                for (let text = 0; text < texts; text++) {
                  const own = output.hidden.subarray(text * size, (text + 1) * size);
                  actual.set(own, (text * length + from) * hiddenSize);
                }
                from = to;
              }
              await block.close();
              assertEquals(cache!.length, length);
              assertSame("hidden", actual, expected);
            });
          }, { bindingBytes });
        });
      }
    }
  },
});

Deno.test({
  name: "CachedBlock.run() continues one text in two ways, and refuses strange caches",
  ignore,
  fn: async () => {
    await withEngines(async (webgpu, onnx) => {
      await withRandomModel({ layers: 1 }, async (folder) => {
        const model = await openModel(folder);
        const block = await webgpu.openCachedBlock(firstBlock(model));
        const beginning = randomStream(model, 4, 1);
        const [one, other] = [randomStream(model, 1, 2), randomStream(model, 1, 3)];
        const { cache } = await block.run(beginning, 1, 4);
        const first = await block.run(one, 1, 1, cache);
        await block.run(other, 1, 1, cache);
        const again = await block.run(one, 1, 1, cache);
        assertSame("hidden", again.hidden, first.hidden, 0);
        await assertRejects(
          () => block.run(randomStream(model, 2), 2, 1, cache),
          EngineError,
          "Cannot continue 2 texts: their cache holds 1",
        );
        const stranger = await onnx.openCachedBlock(firstBlock(model));
        const { cache: strange } = await stranger.run(beginning, 1, 4);
        await stranger.close();
        await assertRejects(
          () => block.run(one, 1, 1, strange),
          EngineError,
          "its cache was made by another engine",
        );
        await block.close();
      });
    });
  },
});

Deno.test({
  name: "sampleSelf() samples the same text on the card as on the processor",
  ignore,
  fn: async () => {
    await withEngines(async (webgpu, onnx) => {
      await withRandomModel({ layers: 2, hidden: 32 }, async (folder) => {
        const model = await openModel(folder);
        const options = { windows: 6, seqLen: 24, seed: 3 };
        assertEquals(
          await sampleSelf(webgpu, model, options),
          await sampleSelf(onnx, model, options),
        );
      });
    });
  },
});
