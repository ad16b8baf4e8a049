import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { clusterWindows, drawToken, sampleSelf } from "../../core/calibrate/self.ts";
import { openEngine } from "../../core/engine/open.ts";
import { openModel } from "../../core/model/open.ts";
import { Random } from "../../core/random.ts";
import { withRandomModel } from "../helpers/random-model.ts";

Deno.test("drawToken() draws as often as softmax says", () => {
  const random = Random.of("draw");
  const logits = Float32Array.of(0, Math.log(3), -Infinity, Math.log(6));
  const counts = [0, 0, 0, 0];
  for (let draw = 0; draw < 50_000; draw++) counts[drawToken(logits, random.next())]++;
  assertEquals(counts[2], 0);
  assertAlmostEquals(counts[0] / 50_000, 0.1, 0.01);
  assertAlmostEquals(counts[1] / 50_000, 0.3, 0.01);
  assertAlmostEquals(counts[3] / 50_000, 0.6, 0.01);
});

Deno.test("drawToken() stands large logits", () => {
  assertEquals(drawToken(Float32Array.of(1e4, 0), 0.999), 0);
});

Deno.test("clusterWindows() tells windows of different tokens apart and loses none", () => {
  const windows = Array.from(
    { length: 12 },
    (_, index) => Int32Array.from({ length: 8 }, (_, at) => index % 2 * 100 + (index + at) % 5),
  );
  const groups = clusterWindows(windows, 2, 3);
  assertEquals(groups.flat().length, 12);
  for (const group of groups) {
    assertEquals(new Set(group.map((window) => Math.floor(window[0] / 100))).size, 1);
  }
});

Deno.test("sampleSelf() gives the same windows for the same seed, and others for another", () =>
  withRandomModel({ vocabulary: 300 }, async (folder) => {
    const model = await openModel(folder);
    const engine = await openEngine("onnx");
    const sample = (seed: number) => sampleSelf(engine, model, { windows: 3, seqLen: 8, seed });
    const first = await sample(1);
    assertEquals(first, await sample(1));
    assert(first.join() !== (await sample(2)).join());
    assertEquals(first.map((window) => window.length), [8, 8, 8]);
    assert(first.every((window) => window.every((token) => token >= 0 && token < 300)));
    await engine.close();
  }));
