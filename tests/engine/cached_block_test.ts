import { assertEquals, assertRejects } from "@std/assert";
import type { KeyValueCache } from "../../core/engine/types.ts";
import { EngineError } from "../../core/errors.ts";
import { openModel } from "../../core/model/open.ts";
import {
  assertClose,
  firstBlock,
  FIXTURES,
  randomStream,
  runOnce,
  withEngine,
  withModel,
} from "./helpers.ts";

for (const variant of ["multi-query", "head-12", "head-12-window", "window", "attention-bias"]) {
  Deno.test(`CachedBlock.run() token by token equals Block.run() on random model ${variant}`, async () => {
    const model = await openModel(new URL(`random/${variant}/`, FIXTURES).pathname);
    const { hiddenSize } = model.architecture;
    const batch = 3, length = 75;
    const hidden = randomStream(model, batch * length);
    await withEngine(async (engine) => {
      const whole = await runOnce(engine, firstBlock(model), hidden, length);
      const block = await engine.openCachedBlock(firstBlock(model));
      const actual = new Float32Array(hidden.length);
      let cache: KeyValueCache | undefined;
      // First several tokens at once, then one by one, then several again.
      for (const [from, to] of [[0, 5], ...steps(5, 70), [70, 75]]) {
        const output = await block.run(
          rowsOf(hidden, batch, from, to),
          batch,
          to - from,
          cache,
        );
        cache = output.cache;
        assertEquals(cache?.length, to);
        for (let text = 0; text < batch; text++) {
          const own = output.hidden.subarray(
            text * (to - from) * hiddenSize,
            (text + 1) * (to - from) * hiddenSize,
          );
          actual.set(own, (text * length + from) * hiddenSize);
        }
      }
      await block.close();
      assertClose(actual, whole.hidden, 1e-4);
    });

    function rowsOf(stream: Float32Array, texts: number, from: number, to: number): Float32Array {
      const rows = new Float32Array(texts * (to - from) * hiddenSize);
      for (let text = 0; text < texts; text++) {
        const start = (text * length + from) * hiddenSize;
        const own = stream.subarray(start, start + (to - from) * hiddenSize);
        rows.set(own, text * (to - from) * hiddenSize);
      }
      return rows;
    }
  });
}

function steps(from: number, to: number): [number, number][] {
  return Array.from({ length: to - from }, (_, index) => [from + index, from + index + 1]);
}

Deno.test("CachedBlock.run() continues one cache twice with the same result", async () => {
  await withModel({}, async (engine, model) => {
    const block = await engine.openCachedBlock(firstBlock(model));
    const { cache } = await block.run(randomStream(model, 6, 1), 2, 3);
    const one = randomStream(model, 2, 2);
    const first = await block.run(one, 2, 1, cache);
    await block.run(randomStream(model, 2, 3), 2, 1, cache);
    const again = await block.run(one, 2, 1, cache);
    assertEquals(again.hidden, first.hidden);
    const next = randomStream(model, 2, 4);
    const afterFirst = await block.run(next, 2, 1, first.cache);
    const afterAgain = await block.run(next, 2, 1, again.cache);
    assertEquals(afterFirst.hidden, afterAgain.hidden);
    await block.close();
  });
});

Deno.test("CachedBlock.run() refuses a cache of other texts", async () => {
  await withModel({}, async (engine, model) => {
    const block = await engine.openCachedBlock(firstBlock(model));
    const { cache } = await block.run(randomStream(model, 2), 2, 1);
    const run = () => block.run(randomStream(model, 3), 3, 1, cache);
    await assertRejects(run, EngineError, "Cannot continue 3 texts: their cache holds 2");
    const strange = () => block.run(randomStream(model, 2), 2, 1, { length: 1 });
    await assertRejects(strange, EngineError, "another engine");
    await block.close();
  });
});
