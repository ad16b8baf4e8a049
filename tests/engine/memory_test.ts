import { assert, assertEquals } from "@std/assert";
import { sampleSelf } from "../../core/calibrate/self.ts";
import { ActivationStore } from "../../core/engine/activations.ts";
import {
  limitsFor,
  MemoryBudget,
  type MemoryLimits,
  memoryOf,
  ordinaryLimits,
} from "../../core/engine/memory.ts";
import { openOnnxEngine } from "../../core/engine/onnx.ts";
import type { Engine } from "../../core/engine/types.ts";
import { openModel } from "../../core/model/open.ts";
import type { Model } from "../../core/model/types.ts";
import { type RandomModelOptions, withRandomModel } from "../helpers/random-model.ts";
import { assertClose, randomStream } from "./helpers.ts";

async function withLimits<T>(
  model: Model,
  limits: Partial<MemoryLimits>,
  use: (engine: Engine, model: Model) => Promise<T>,
): Promise<T> {
  const memory = new MemoryBudget({ ...ordinaryLimits, ...limits });
  const engine = await openOnnxEngine({ memory });
  try {
    return await use(engine, model);
  } finally {
    await engine.close();
  }
}

async function withModel(
  options: RandomModelOptions,
  use: (model: Model) => Promise<void>,
): Promise<void> {
  await withRandomModel(options, async (folder) => await use(await openModel(folder)));
}

Deno.test("MemoryBudget gives streams what is free, and no more", () => {
  const budget = new MemoryBudget({ ...ordinaryLimits, streamBytes: 100 });
  assert(budget.takeStream(60));
  assert(!budget.takeStream(41));
  assert(budget.takeStream(40));
  budget.giveStream(60);
  assert(budget.takeStream(60));
});

Deno.test("limitsFor() changes nothing that a result depends on, whatever is free", () => {
  const { streamBytes: _s, samplingBytes: _p, ...little } = limitsFor(1e8);
  const { streamBytes: _t, samplingBytes: _q, ...much } = limitsFor(1e12);
  const { streamBytes: _u, samplingBytes: _r, ...ordinary } = ordinaryLimits;
  assertEquals(little, much);
  assertEquals(little, ordinary);
});

Deno.test("memoryOf() of an engine without a budget has ordinary limits", () => {
  assertEquals(memoryOf({}).limits, ordinaryLimits);
});

Deno.test("ActivationStore takes from the budget, spills what does not fit, and gives back", async () => {
  const budget = new MemoryBudget({ ...ordinaryLimits, streamBytes: 80 });
  const numbers = Float32Array.from({ length: 10 }, (_, at) => at + 0.5);
  const inMemory = ActivationStore.open([10, 10], budget);
  const spilled = ActivationStore.open([10, 10], budget);
  for (const store of [inMemory, spilled]) {
    await store.put(1, numbers);
    await store.put(0, numbers.toReversed());
    assertEquals(await store.get(1), numbers);
    assertEquals(await store.get(0), numbers.toReversed());
  }
  assert(await inMemory.get(1) === numbers, "what fits stays where it is");
  assert(await spilled.get(1) !== numbers, "what does not fit comes from a file");
  inMemory.close();
  spilled.close();
  assert(budget.takeStream(80), "closed stores hold nothing");
});

for (const options of [{ tied: true }, { tied: false, dtype: "bf16" as const }]) {
  Deno.test(`openHead() in slices gives the whole head's losses and logits, ${JSON.stringify(options)}`, async () => {
    await withModel({ ...options, vocabulary: 301 }, async (model) => {
      const hidden = randomStream(model, 7);
      const targets = Int32Array.of(0, 300, 42, 41, 99, 100, 257);
      const measure = async (engine: Engine) => {
        const head = await engine.openHead(model);
        const losses = await head.negativeLogLikelihoods(hidden, targets);
        const logits = await head.logits(hidden);
        await head.close();
        return { losses, logits };
      };
      const whole = await withLimits(model, {}, measure);
      // 42 rows of 32 numbers a slice, so that a last slice is narrower.
      const sliced = await withLimits(model, { headBytes: 42 * 32 * 4 }, measure);
      assertClose(sliced.logits, whole.logits, 1e-6);
      assertClose(sliced.losses, whole.losses, 1e-5);
    });
  });
}

Deno.test("sampleSelf() draws the same tokens whether blocks stay open or not", async () => {
  await withModel({ layers: 3 }, async (model) => {
    const sample = (engine: Engine) =>
      sampleSelf(engine, model, { windows: 5, seqLen: 20, seed: 3 });
    const kept = await withLimits(model, {}, sample);
    const reopened = await withLimits(model, { samplingBytes: 0 }, sample);
    assertEquals(reopened, kept);
  });
});

Deno.test("sampleSelf() samples one text at a time where caches have no more room", async () => {
  await withModel({}, async (model) => {
    const together = await withLimits(
      model,
      { cacheBytes: 0 },
      (engine) => sampleSelf(engine, model, { windows: 3, seqLen: 8, seed: 3 }),
    );
    assertEquals(together.map((tokens) => tokens.length), [8, 8, 8]);
    assert(new Set(together.map((tokens) => tokens.join())).size === 3);
  });
});

Deno.test("openEmbedding() gives the same rows from its file as from memory", async () => {
  await withModel({ dtype: "f16" }, async (model) => {
    const rows = async (engine: Engine) => {
      const embedding = await engine.openEmbedding(model);
      const found = await embedding.lookup([3, 256, 0, 3]);
      await embedding.close();
      return found;
    };
    const fromFile = await withLimits(model, { tableBytes: 0 }, rows);
    assertEquals(fromFile, await withLimits(model, {}, rows));
  });
});
