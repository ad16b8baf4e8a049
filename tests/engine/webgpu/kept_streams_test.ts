import { assert, assertEquals } from "@std/assert";
import { collect } from "../../../core/calibrate/collect.ts";
import { windowLosses } from "../../../core/engine/batches.ts";
import { openOnnxEngine } from "../../../core/engine/onnx.ts";
import { resilientEngine } from "../../../core/engine/resilient.ts";
import { closeStream, numbersOf } from "../../../core/engine/streams.ts";
import type { Stream } from "../../../core/engine/types.ts";
import { openWebGpuEngine } from "../../../core/engine/webgpu/engine.ts";
import { measurePerplexity } from "../../../core/evaluate/perplexity.ts";
import { openModel } from "../../../core/model/open.ts";
import type { MemoryTensor, Model } from "../../../core/model/types.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { firstBlock, randomStream } from "../helpers.ts";
import { adapterIsMissing, assertSame, withEngines } from "./helpers.ts";

const ignore = await adapterIsMissing();

/** Windows of numbers that look random. */
function windowsOf(count: number, length: number, seed: number): readonly Int32Array[] {
  return Array.from(
    { length: count },
    (_, window) => Int32Array.from({ length }, (_, at) => (at * at * 7 + window * 31 + seed) % 257),
  );
}

Deno.test({
  name: "Block.keep() leaves streams and sums on the card, which are those of Block.run()",
  ignore,
  fn: async () => {
    // The smaller bindings cut the batch into texts.
    for (const bindingBytes of [undefined, 4 * 9 * 68]) {
      await withEngines(async (webgpu) => {
        const options = { layers: 1, hidden: 34, headSize: 6, ffnWidth: 33 };
        await withRandomModel(options, async (folder) => {
          const model = await openModel(folder);
          const [texts, length] = [3, 9];
          const hidden = randomStream(model, texts * length);
          const block = await webgpu.openBlock(firstBlock(model, "gram"));
          assertEquals(await block.takeSums!(), undefined);
          const once = await block.run(hidden, texts, length);
          const twice = await block.run(once.hidden, texts, length);
          const first = await block.keep!(hidden, texts, length);
          const second = await block.keep!(first, texts, length);
          assert(!(first instanceof Float32Array) && !(second instanceof Float32Array));
          assertEquals(second.length, hidden.length);
          assertSame("first", await first.read(), once.hidden, 0);
          assertSame("second", await second.read(), twice.hidden, 0);
          const sums = (await block.takeSums!())!;
          for (const kind of ["ffn", "heads"] as const) {
            const expected = [once.sums![kind], twice.sums![kind]];
            assertEquals(sums[kind].tokens, 2 * texts * length);
            for (const name of ["sum", "sumOfSquares", "gram"] as const) {
              const added = Float64Array.from(
                expected[0][name]!,
                (value, at) => value + expected[1][name]![at],
              );
              assertSame(`${kind} ${name}`, sums[kind][name]!, added, 1e-5);
            }
          }
          assertEquals(await block.takeSums!(), undefined);
          first.close();
          second.close();
          second.close();
          assertEquals(webgpu.context.residentBytes, 0);
          await block.close();
          assertEquals(webgpu.context.pool.counts.inUse, 1);
        });
      }, { bindingBytes });
    }
  },
});

Deno.test({
  name: "windowLosses() gives the same for streams on the card",
  ignore,
  fn: async () => {
    await withEngines(async (webgpu, onnx) => {
      await withRandomModel({ layers: 1 }, async (folder) => {
        const model = await openModel(folder);
        const windows = windowsOf(3, 11, 1);
        const hidden = randomStream(model, 33);
        const results: Float64Array[] = [];
        for (const engine of [webgpu, onnx]) {
          const head = await engine.openHead(model);
          const block = await engine.openBlock(firstBlock(model));
          const stream: Stream = await block.keep?.(hidden, 3, 11) ??
            (await block.run(hidden, 3, 11)).hidden;
          results.push(await windowLosses(head, stream, windows));
          assertEquals((await numbersOf(stream)).length, hidden.length);
          closeStream(stream);
          await block.close();
          await head.close();
        }
        assertSame("losses", results[0], results[1]);
      });
    });
  },
});

const domains = ["a", "b"].map((name, index) => ({
  name,
  calibration: windowsOf(5, 16, 3 * index),
  heldOut: windowsOf(2, 16, 3 * index + 1),
}));

async function withLoss(
  model: Model,
  afterSteps: number,
  use: (
    engine: ReturnType<typeof resilientEngine>,
    onProgress: () => void,
    notes: readonly string[],
  ) => Promise<void>,
): Promise<void> {
  const webgpu = await openWebGpuEngine();
  const notes: string[] = [];
  const engine = resilientEngine(webgpu, openOnnxEngine, { onNote: (note) => notes.push(note) });
  let steps = 0;
  const onProgress = () => {
    if (++steps === afterSteps) webgpu.context.graphics.device.destroy();
  };
  assert(model.architecture.layers.length > 0);
  await use(engine, onProgress, notes);
  await engine.close();
}

Deno.test({
  name: "collect() gives the same statistics though the card is lost on the way",
  ignore,
  fn: async () => {
    await withRandomModel({ layers: 3 }, async (folder) => {
      const model = await openModel(folder);
      const onnx = await openOnnxEngine();
      const expected = await collect(onnx, model, domains, { gram: true });
      await onnx.close();
      // Four batches a layer: in the first layer, in the second, in the last, and never.
      for (const afterSteps of [1, 6, 12, Infinity]) {
        await withLoss(model, afterSteps, async (engine, onProgress, notes) => {
          const layers: number[] = [];
          const actual = await collect(engine, model, domains, {
            gram: true,
            onProgress,
            onLayer: (layer, statistics) => {
              layers.push(layer);
              return Promise.resolve(statistics);
            },
          });
          // No finished layer is summed again.
          assertEquals(layers, [0, 1, 2]);
          assertEquals(notes.length, afterSteps === Infinity ? 0 : 1);
          actual.forEach((layer, index) => {
            for (const kind of ["ffn", "heads"] as const) {
              layer[kind].domains.forEach((domain, d) => {
                const other = expected[index][kind].domains[d];
                assertEquals(domain.tokens, other.tokens);
                assertSame("Σ x²", domain.sumOfSquares, other.sumOfSquares);
                const grams = [domain.gram, other.gram] as MemoryTensor[];
                assertSame("Gram matrix", grams[0].data, grams[1].data);
              });
              assertSame(
                "held-out Gram matrix",
                (layer[kind].heldOutGram as MemoryTensor).data,
                (expected[index][kind].heldOutGram as MemoryTensor).data,
              );
            }
          });
        });
      }
    });
  },
});

Deno.test({
  name: "measurePerplexity() counts every window once though the card is lost on the way",
  ignore,
  fn: async () => {
    await withRandomModel({ layers: 2 }, async (folder) => {
      const model = await openModel(folder);
      const texts = domains.map(({ name, calibration: windows }) => {
        return { name, sha256: "", windows, tokens: windows[0] };
      });
      const onnx = await openOnnxEngine();
      const expected = await measurePerplexity(onnx, model, texts);
      await onnx.close();
      // Two batches through two blocks and the head: lost in the first block, in the second, between the heads, never.
      for (const afterSteps of [1, 3, 5, Infinity]) {
        await withLoss(model, afterSteps, async (engine, onProgress) => {
          const actual = await measurePerplexity(engine, model, texts, { onProgress });
          actual.texts.forEach(({ perplexity, tokens }, index) => {
            assertSame("perplexity", [perplexity], [expected.texts[index].perplexity]);
            assertEquals(tokens, expected.texts[index].tokens);
          });
        });
      }
    });
  },
});
