/** What `auto` takes, on an adapter in software that says it is a real card. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describeEngines } from "../../../core/engine/describe.ts";
import { openOnnxEngine } from "../../../core/engine/onnx.ts";
import { openBestEngine, openEngine } from "../../../core/engine/open.ts";
import type { Engine } from "../../../core/engine/types.ts";
import { openWebGpuEngine, type WebGpuEngine } from "../../../core/engine/webgpu/engine.ts";
import { GraphicsError } from "../../../core/errors.ts";
import { openModel } from "../../../core/model/open.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { firstBlock, randomStream, runOnce } from "../helpers.ts";
import { adapterIsMissing } from "./helpers.ts";

const ignore = await adapterIsMissing();

/** Lets the adapter say that it is hardware, or a fallback. */
async function withAdapterThatIs<T>(kind: "card" | "fallback", use: () => Promise<T>): Promise<T> {
  const { requestAdapter } = navigator.gpu;
  const info = { isFallbackAdapter: kind === "fallback", description: `a ${kind}` };
  const changed = (target: object, changes: Readonly<Record<string, unknown>>) =>
    new Proxy(target, {
      get: (object, name) => {
        if (Object.hasOwn(changes, name)) return changes[name as string];
        const value = Reflect.get(object, name, object);
        return typeof value === "function" ? value.bind(object) : value;
      },
    });
  navigator.gpu.requestAdapter = async function (options) {
    const adapter = await requestAdapter.call(navigator.gpu, options);
    return adapter && changed(adapter, { info: changed(adapter.info, info) }) as GPUAdapter;
  };
  try {
    return await use();
  } finally {
    navigator.gpu.requestAdapter = requestAdapter;
  }
}

/** An engine every batch of which takes so much longer. */
function slowed(engine: Engine, milliseconds: number): Engine {
  return {
    ...engine,
    openBlock: async (specification) => {
      const block = await engine.openBlock(specification);
      return {
        run: async (...inputs) => {
          const output = await block.run(...inputs);
          await new Promise((resolve) => setTimeout(resolve, milliseconds));
          return output;
        },
        close: () => block.close(),
      };
    },
  };
}

/** The engines without the check of every tile, whose large ones compilers in software take seconds over. */
function cardAndProcessor(milliseconds: number): {
  openCard: () => Promise<WebGpuEngine>;
  openProcessor: () => Promise<Engine>;
} {
  return {
    openCard: async () => {
      const engine = await openWebGpuEngine();
      engine.context.forcedTile = "small";
      return engine;
    },
    openProcessor: async () => slowed(await openOnnxEngine(), milliseconds),
  };
}

Deno.test({
  name: "openBestEngine() takes a card that is faster than the processor, and no other",
  ignore,
  fn: async () => {
    await withRandomModel({ layers: 1, hidden: 16, ffnWidth: 16 }, async (folder) => {
      const model = await openModel(folder);
      const { architecture } = model;
      const take = async (kind: "card" | "fallback", milliseconds: number) =>
        await withAdapterThatIs(kind, async () => {
          const engine = await openBestEngine({ architecture }, cardAndProcessor(milliseconds));
          const output = await runOnce(engine, firstBlock(model), randomStream(model, 6), 3);
          assertEquals(output.hidden.length, 6 * architecture.hiddenSize);
          const { name, device } = engine;
          await engine.close();
          return [name, device];
        });
      assertEquals(await take("card", 800), ["webgpu", "a card"]);
      // A card in software never wins over a processor that is let be.
      assertEquals(await take("card", 0), ["onnx", "cpu"]);
      assertEquals(await take("fallback", 800), ["onnx", "cpu"]);
    });
  },
});

Deno.test({
  name: "openBestEngine() says why a card is not taken that gives wrong numbers",
  ignore,
  fn: async () => {
    await withAdapterThatIs("card", async () => {
      const notes: string[] = [];
      const openCard = () => Promise.reject(new GraphicsError("Cannot trust it"));
      const choice = { ...cardAndProcessor(0), openCard };
      const engine = await openBestEngine({ onNote: (note) => notes.push(note) }, choice);
      assertEquals(engine.name, "onnx");
      assertEquals(notes, ["The processor does the work: Cannot trust it"]);
      await engine.close();
    });
  },
});

Deno.test({
  name: "openEngine('auto') leaves an adapter in software alone",
  ignore,
  fn: async () => {
    await withAdapterThatIs("fallback", async () => {
      const engine = await openEngine("auto");
      assertEquals(engine.name, "onnx");
      await engine.close();
    });
  },
});

Deno.test({
  name: "describeEngines() tells the trial of a card, and what auto takes after it",
  ignore,
  fn: async () => {
    await withAdapterThatIs("card", async () => {
      const { webgpu, auto } = await describeEngines({ trialTokens: 16 });
      const { available, adapter, isFallback, trial, problem } = webgpu;
      assertEquals([available, adapter, isFallback, problem], [true, "a card", false, undefined]);
      const faster = trial!.tokensPerSecond > trial!.referenceTokensPerSecond;
      assert(trial!.tokensPerSecond > 0);
      assertEquals(auto, faster ? "webgpu" : "onnx");
    });
    await withAdapterThatIs("fallback", async () => {
      const { webgpu, auto } = await describeEngines({ trialTokens: 16 });
      assertEquals([webgpu.available, webgpu.isFallback, auto], [false, true, "onnx"]);
      assertStringIncludes(webgpu.problem!, "fallback in software");
    });
  },
});
