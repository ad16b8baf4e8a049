import { assert, assertEquals, assertRejects } from "@std/assert";
import { sampleSelf } from "../../../core/calibrate/self.ts";
import { checkSmallBlock } from "../../../core/engine/check.ts";
import { checkedEngine } from "../../../core/engine/checked.ts";
import { openOnnxEngine } from "../../../core/engine/onnx.ts";
import { openEngine } from "../../../core/engine/open.ts";
import { closeStream } from "../../../core/engine/streams.ts";
import { resilientEngine } from "../../../core/engine/resilient.ts";
import { syntheticBlock, syntheticStream } from "../../../core/engine/synthetic.ts";
import type { BlockOutput, Engine } from "../../../core/engine/types.ts";
import { openWebGpuEngine } from "../../../core/engine/webgpu/engine.ts";
import { EngineError, GraphicsError } from "../../../core/errors.ts";
import { openModel } from "../../../core/model/open.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { firstBlock, randomStream, runOnce } from "../helpers.ts";
import { adapterIsMissing, assertSame, withEngines } from "./helpers.ts";

const ignore = await adapterIsMissing();

const sizes = { hiddenSize: 16, headSize: 4, queryHeads: 2, keyValueHeads: 1, ffnWidth: 20 };

Deno.test({
  name: "Block.close() leaks no buffers over 1,000 blocks",
  ignore,
  fn: async () => {
    const engine = await openWebGpuEngine();
    const { device } = engine.context.graphics;
    let made = 0;
    const createBuffer = device.createBuffer.bind(device);
    device.createBuffer = (description) => {
      made++;
      return createBuffer(description);
    };
    const specification = syntheticBlock(sizes, "gram");
    const stream = syntheticStream(6, 16);
    for (let block = 0; block < 1000; block++) {
      const opened = await engine.openBlock(specification);
      // Waiting for the card takes 10 ms: most blocks leave their output there.
      if (block % 10 === 0) await opened.run(stream, 2, 3);
      const first = await opened.keep!(stream, 2, 3);
      const second = await opened.keep!(first, 2, 3);
      if (block % 10 === 5) await opened.takeSums!();
      closeStream(first);
      closeStream(second);
      await opened.close();
    }
    const { buffers, inUse } = engine.context.pool.counts;
    assertEquals(made, buffers);
    // All blocks took the same buffers; the rotation tables alone stay in use.
    assert(buffers < 80, `${buffers} buffers`);
    assertEquals(inUse, 1);
    await engine.close();
    assertEquals(engine.context.pool.counts, { buffers: 0, inUse: 0, bytes: 0 });
  },
});

Deno.test({
  name: "an engine whose card is lost says so in one sentence",
  ignore,
  fn: async () => {
    const engine = await openWebGpuEngine();
    const block = await engine.openBlock(syntheticBlock(sizes, "none"));
    const stream = syntheticStream(6, 16);
    await block.run(stream, 2, 3);
    engine.context.graphics.device.destroy();
    for (
      const work of [
        () => block.run(stream, 2, 3),
        () => engine.openBlock(syntheticBlock(sizes, "none")),
      ]
    ) {
      const error = await assertRejects(work, GraphicsError, "it was lost");
      assert(!error.message.includes("\n"));
      assert(error instanceof EngineError);
    }
    await block.close();
    await engine.close();
  },
});

Deno.test({
  name: "an engine whose limits are too small says which",
  ignore,
  fn: async () => {
    await withEngines(async (webgpu) => {
      const block = await webgpu.openBlock(syntheticBlock(sizes, "none"));
      await assertRejects(
        () => block.run(syntheticStream(400, 16), 1, 400),
        GraphicsError,
        "they need bindings of 25600 bytes, and it allows 16384",
      );
      await block.close();
    }, { bindingBytes: 16_384 });
    await withEngines((webgpu) => {
      const { pool, graphics: { limits } } = webgpu.context;
      const error = (() => {
        try {
          pool.acquire(limits.maxBufferSize + 4);
        } catch (thrown) {
          return thrown;
        }
      })();
      assert(error instanceof GraphicsError);
      return Promise.resolve();
    });
  },
});

Deno.test({
  name: "an engine whose card is out of memory, or refuses a command, says so",
  ignore,
  fn: async () => {
    const engine = await openWebGpuEngine();
    const { context } = engine;
    const { device } = context.graphics;
    await assertRejects(
      () =>
        context.guard("test", () => {
          device.createBuffer({
            size: 16,
            usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE,
          });
          return Promise.resolve();
        }),
      GraphicsError,
      "refuses (",
    );
    // No test can fill a card; what a full one reports is put in its place.
    const popErrorScope = device.popErrorScope.bind(device);
    let pops = 0;
    device.popErrorScope = async () => {
      const error = await popErrorScope();
      return pops++ === 0 ? new GPUOutOfMemoryError("full") : error;
    };
    const error = await assertRejects(
      () => engine.openBlock(syntheticBlock(sizes, "none")),
      GraphicsError,
      "is out of memory",
    );
    assert(error.cause instanceof GPUOutOfMemoryError);
    device.popErrorScope = popErrorScope;
    assertEquals(context.pool.counts.inUse, 0);
    await engine.close();
  },
});

/** An engine that says what another one says, but for what a function changes. */
function distorted(engine: Engine, change: (output: BlockOutput) => void): Engine {
  return {
    ...engine,
    openBlock: async (specification) => {
      const block = await engine.openBlock(specification);
      return {
        run: async (...inputs) => {
          const output = await block.run(...inputs);
          change(output);
          return output;
        },
        close: () => block.close(),
      };
    },
  };
}

const wrong: Readonly<Record<string, (output: BlockOutput) => void>> = {
  "one hidden number": ({ hidden }) => hidden[5] += 0.1,
  "NaN": ({ hidden }) => hidden[0] = NaN,
  "one sum": ({ sums }) => sums && (sums.ffn.sum[2] += 1),
  "one number of a Gram matrix": ({ sums }) => sums?.heads.gram && (sums.heads.gram[7] *= 1.5),
};

Deno.test("checkSmallBlock() tells a driver that gives wrong numbers", async () => {
  const engine = await openOnnxEngine();
  await checkSmallBlock(engine, engine);
  for (const change of Object.values(wrong)) {
    await assertRejects(
      () => checkSmallBlock(distorted(engine, change), engine),
      GraphicsError,
      "Cannot trust graphics card",
    );
  }
});

Deno.test("checkedEngine() checks the first block of each kind of attention, and no other", async () => {
  await withRandomModel({}, async (folder) => {
    const model = await openModel(folder);
    const engine = await openOnnxEngine();
    let references = 0;
    const reference = () => {
      references++;
      return openOnnxEngine();
    };
    const sound = checkedEngine(engine, reference);
    for (let block = 0; block < 3; block++) {
      await (await sound.openBlock(firstBlock(model))).close();
    }
    assertEquals(references, 1);
    // Layers of one model may attend in different ways: the first of each is checked.
    const first = firstBlock(model);
    for (const attention of ["global", "unrotated", "global"] as const) {
      const block = { ...first, shape: { ...first.shape, attention } };
      await (await sound.openBlock(block)).close();
    }
    assertEquals(references, 3);
    const unsound = checkedEngine(distorted(engine, wrong["one sum"]), reference);
    await assertRejects(
      () => unsound.openCachedBlock(firstBlock(model)),
      GraphicsError,
      "Cannot trust",
    );
  });
});

Deno.test({
  name: "resilientEngine() goes on with the processor from the batch in hand, and says so once",
  ignore,
  fn: async () => {
    await withRandomModel({ layers: 1 }, async (folder) => {
      const model = await openModel(folder);
      const webgpu = await openWebGpuEngine();
      const notes: string[] = [];
      const engine = resilientEngine(webgpu, openOnnxEngine, {
        onNote: (note) => notes.push(note),
      });
      const hidden = randomStream(model, 10);
      const block = await engine.openBlock(firstBlock(model, "gram"));
      const head = await engine.openHead(model);
      const before = await block.run(hidden, 2, 5);
      assertEquals([engine.name, notes.length], ["webgpu", 0]);
      webgpu.context.graphics.device.destroy();
      const after = await block.run(hidden, 2, 5);
      assertSame("hidden", after.hidden, before.hidden);
      assertEquals(after.sums!.ffn.tokens, 10);
      assertSame("Gram matrix", after.sums!.ffn.gram!, before.sums!.ffn.gram!);
      assertEquals((await head.logits(hidden)).length, 10 * model.architecture.vocabularySize);
      assertEquals([engine.name, engine.device, notes.length], ["onnx", "cpu", 1]);
      assert(notes[0].startsWith("The graphics card failed, and the processor goes on: "));
      await block.close();
      await head.close();
      await engine.close();
    });
  },
});

Deno.test({
  name: "resilientEngine() does not hide errors that the processor would have too",
  ignore,
  fn: async () => {
    await withRandomModel({ layers: 1 }, async (folder) => {
      const model = await openModel(folder);
      const engine = resilientEngine(await openWebGpuEngine(), openOnnxEngine);
      const block = await engine.openBlock(firstBlock(model));
      await assertRejects(() => block.run(new Float32Array(7), 1, 3), EngineError, "7 were given");
      assertEquals(engine.name, "webgpu");
      await block.close();
      await engine.close();
    });
  },
});

Deno.test({
  name: "sampleSelf() samples the same text though the card is lost on the way",
  ignore,
  fn: async () => {
    await withRandomModel({ layers: 2 }, async (folder) => {
      const model = await openModel(folder);
      const options = { windows: 3, seqLen: 12, seed: 1 };
      const onnx = await openOnnxEngine();
      const expected = await sampleSelf(onnx, model, options);
      const webgpu = await openWebGpuEngine();
      const notes: string[] = [];
      const engine = resilientEngine(webgpu, openOnnxEngine, {
        onNote: (note) => notes.push(note),
      });
      let steps = 0;
      const onProgress = () => {
        if (++steps === 5) webgpu.context.graphics.device.destroy();
      };
      assertEquals(await sampleSelf(engine, model, { ...options, onProgress }), expected);
      assertEquals([steps, notes.length, engine.name], [16, 1, "onnx"]);
      await engine.close();
      await onnx.close();
    });
  },
});

Deno.test({
  name: "openEngine('webgpu') opens, checks itself, and tells of an adapter in software",
  ignore,
  fn: async () => {
    await withRandomModel({ layers: 1 }, async (folder) => {
      const model = await openModel(folder);
      const notes: string[] = [];
      const engine = await openEngine("webgpu", { onNote: (note) => notes.push(note) });
      assertEquals(engine.name, "webgpu");
      const { isFallbackAdapter } = (await navigator.gpu.requestAdapter())!.info;
      assertEquals(notes.length, isFallbackAdapter ? 1 : 0);
      const output = await runOnce(engine, firstBlock(model), randomStream(model, 6), 3);
      assertEquals(output.hidden.length, 6 * model.architecture.hiddenSize);
      await engine.close();
    });
  },
});
