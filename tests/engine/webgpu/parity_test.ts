import { assertEquals, assertNotEquals } from "@std/assert";
import { checkedEngine } from "../../../core/engine/checked.ts";
import { openOnnxEngine } from "../../../core/engine/onnx.ts";
import { resilientEngine } from "../../../core/engine/resilient.ts";
import { embedWindows, runBlocks } from "../../../core/engine/forward.ts";
import type { BlockOutput, Engine } from "../../../core/engine/types.ts";
import { openModel } from "../../../core/model/open.ts";
import type { Model } from "../../../core/model/types.ts";
import { type RandomModelOptions, withRandomModel } from "../../helpers/random-model.ts";
import { SHARED, sharedIsMissing } from "../../helpers/temporary.ts";
import {
  assertClose,
  firstBlock,
  FIXTURES,
  randomStream,
  unpack,
  wholeLogits,
} from "../helpers.ts";
import { adapterIsMissing, assertSame, withEngines } from "./helpers.ts";

const ignore = await adapterIsMissing();

/** Fails where two engines report different numbers of a block. */
function assertSameOutput(name: string, actual: BlockOutput, expected: BlockOutput): void {
  assertSame(`${name}: hidden`, actual.hidden, expected.hidden);
  for (const kind of ["ffn", "heads"] as const) {
    const [own, other] = [actual.sums![kind], expected.sums![kind]];
    assertEquals(own.tokens, other.tokens);
    assertSame(`${name}: Σ x of ${kind}`, own.sum, other.sum);
    assertSame(`${name}: Σ x² of ${kind}`, own.sumOfSquares, other.sumOfSquares);
    assertSame(`${name}: Gram matrix of ${kind}`, own.gram!, other.gram!);
  }
}

/** What all blocks of a model report on windows. */
async function allOutputs(
  engine: Engine,
  model: Model,
  windows: readonly Int32Array[],
): Promise<readonly BlockOutput[]> {
  const embedding = await engine.openEmbedding(model);
  const embedded = await embedWindows(embedding, windows);
  const outputs: BlockOutput[] = [];
  await runBlocks(engine, model, embedded, windows.length, windows[0].length, {
    capture: "gram",
    onBlock: (_, output) => void outputs.push(output),
  });
  await embedding.close();
  return outputs;
}

Deno.test({
  name: "openWebGpuEngine() gives the logits of transformers and the captures of ONNX Runtime",
  ignore,
  fn: async (t) => {
    const folders = [...Deno.readDirSync(new URL("random/", FIXTURES))].map(({ name }) => name);
    await withEngines(async (webgpu, onnx) => {
      for (const variant of folders.sort()) {
        await t.step(variant, async () => {
          const folder = new URL(`random/${variant}/`, FIXTURES);
          const file = await Deno.readTextFile(new URL("logits.json", folder));
          const { tokens, logits } = JSON.parse(file);
          const model = await openModel(folder.pathname);
          const windows = tokens.map((row: number[]) => Int32Array.from(row));
          assertClose(await wholeLogits(webgpu, model, windows), unpack(logits), 1e-4);
          const expected = await allOutputs(onnx, model, windows);
          const actual = await allOutputs(webgpu, model, windows);
          expected.forEach((output, layer) => assertSameOutput(variant, actual[layer], output));
        });
      }
    });
  },
});

/** Head sizes with and without a multiple of four, widths that fill no tile, groups of all kinds. */
const shapes: readonly RandomModelOptions[] = [
  { headSize: 6, queryHeads: 3, keyValueHeads: 1, hidden: 30, ffnWidth: 37 },
  { headSize: 10, queryHeads: 5, keyValueHeads: 5, hidden: 22, ffnWidth: 5, attentionBias: true },
  { headSize: 80, queryHeads: 2, keyValueHeads: 1, hidden: 40, dtype: "f16", mlpBias: true },
  { headSize: 96, queryHeads: 2, keyValueHeads: 2, dtype: "bf16" },
  { headSize: 128, queryHeads: 4, keyValueHeads: 1, ffnWidth: 85 },
  {
    headSize: 256,
    queryHeads: 2,
    keyValueHeads: 1,
    modelType: "mistral",
    config: { sliding_window: 9 },
  },
  { headSize: 64, ropeScaling: { rope_type: "yarn", factor: 4 }, queryHeads: 4, keyValueHeads: 2 },
];

/** Runs the first block of a random model on both engines. */
async function compareBlocks(webgpu: Engine, onnx: Engine, options: RandomModelOptions) {
  await withRandomModel({ ...options, layers: 1 }, async (folder) => {
    const model = await openModel(folder);
    const [texts, length] = [2, 41];
    const hidden = randomStream(model, texts * length);
    const outputs: BlockOutput[] = [];
    for (const engine of [webgpu, onnx]) {
      const block = await engine.openBlock(firstBlock(model, "gram"));
      outputs.push(await block.run(hidden, texts, length));
      await block.close();
    }
    assertSameOutput(JSON.stringify(options), outputs[0], outputs[1]);
  });
}

Deno.test({
  name: "Block.run() gives the numbers of ONNX Runtime for heads of any size",
  ignore,
  fn: async (t) => {
    await withEngines(async (webgpu, onnx) => {
      for (const options of shapes) {
        await t.step(JSON.stringify(options), () => compareBlocks(webgpu, onnx, options));
      }
    });
  },
});

Deno.test({
  name: "Block.run() cuts batches, weights, FFN rows and Gram matrices where bindings are small",
  ignore,
  fn: async (t) => {
    for (
      const { bindingBytes, ...options } of [
        // One text of 41 tokens with 5 heads of 6 channels, filled up to 32 numbers.
        { bindingBytes: 4 * 41 * 32, headSize: 6, queryHeads: 3, keyValueHeads: 1, hidden: 30 },
        { bindingBytes: 4 * 41 * 384, headSize: 64, queryHeads: 4, keyValueHeads: 1, hidden: 60 },
        // 64 rows of the FFN: both texts in one part, whose FFN goes in two.
        { bindingBytes: 4 * 64 * 300, headSize: 8, queryHeads: 1, keyValueHeads: 1, ffnWidth: 300 },
      ]
    ) {
      await t.step(JSON.stringify({ bindingBytes, ...options }), async () => {
        await withEngines(
          (webgpu, onnx) => compareBlocks(webgpu, onnx, options),
          { bindingBytes },
        );
      });
    }
  },
});

Deno.test({
  name: "Block.run() gives the stream between attention and FFN",
  ignore,
  fn: async () => {
    await withEngines(async (webgpu, onnx) => {
      await withRandomModel({ layers: 1, hidden: 30, headSize: 6 }, async (folder) => {
        const model = await openModel(folder);
        const hidden = randomStream(model, 3 * 7);
        const middles: Float32Array[] = [];
        for (const engine of [webgpu, onnx]) {
          const block = await engine.openBlock(firstBlock(model, "middle"));
          middles.push((await block.run(hidden, 3, 7)).middle!);
          await block.close();
        }
        assertSame("middle", middles[0], middles[1]);
      });
    });
  },
});

Deno.test({
  name: "Head gives the losses and logits of ONNX Runtime, slice of the vocabulary by slice",
  ignore,
  fn: async () => {
    // 262,144 bytes hold the logits of 64 tokens for 1,024 rows.
    for (const bindingBytes of [undefined, 262_144]) {
      await withEngines(async (webgpu, onnx) => {
        await withRandomModel({ vocabulary: 301, hidden: 26, dtype: "f16" }, async (folder) => {
          const model = await openModel(folder);
          const rows = 1100;
          const hidden = randomStream(model, rows);
          const targets = Int32Array.from({ length: rows }, (_, row) => (row * 7) % 301);
          const found: { losses: Float32Array; logits: Float32Array }[] = [];
          for (const engine of [webgpu, onnx]) {
            const head = await engine.openHead(model);
            const losses = await head.negativeLogLikelihoods(hidden, targets);
            found.push({ losses, logits: await head.logits(hidden.subarray(0, 26 * 50)) });
            await head.close();
          }
          assertSame("losses", found[0].losses, found[1].losses);
          assertSame("logits", found[0].logits, found[1].logits);
        });
      }, { bindingBytes });
    }
  },
});

Deno.test({
  name: "engines around engines hand another final norm on to the head",
  ignore,
  fn: async () => {
    await withEngines(async (webgpu, onnx) => {
      await withRandomModel({ layers: 1 }, async (folder) => {
        const model = await openModel(folder);
        const { hiddenSize } = model.architecture;
        const norm = {
          shape: [hiddenSize],
          data: Float32Array.from({ length: hiddenSize }, (_, at) => 0.5 + at / hiddenSize),
        };
        const hidden = randomStream(model, 3);
        const logits = async (engine: Engine, finalNorm?: typeof norm) => {
          const head = await engine.openHead(model, finalNorm);
          const numbers = await head.logits(hidden);
          await head.close();
          return numbers;
        };
        const expected = await logits(onnx, norm);
        assertNotEquals(expected, await logits(onnx));
        const checked = checkedEngine(webgpu, openOnnxEngine);
        for (const engine of [webgpu, checked, resilientEngine(checked, openOnnxEngine)]) {
          assertSame("logits", await logits(engine, norm), expected);
        }
      });
    });
  },
});

const noShared = sharedIsMissing();

for (const name of ["stories260K", "mixlm"]) {
  Deno.test({
    name: `openWebGpuEngine() gives the captures and losses of ONNX Runtime on ${name}`,
    ignore: ignore || noShared,
    fn: async () => {
      const model = await openModel(new URL(`models/${name}`, SHARED).pathname);
      const tokenizer = await model.tokenizer();
      const text = await Deno.readTextFile(new URL("text/wiki.held.txt", SHARED));
      const tokens = tokenizer.encode(text.slice(0, 4000));
      const length = 80;
      const windows = [0, 1].map((at) =>
        Int32Array.from(tokens.slice(at * length, (at + 1) * length))
      );
      await withEngines(async (webgpu, onnx) => {
        const expected = await allOutputs(onnx, model, windows);
        const actual = await allOutputs(webgpu, model, windows);
        expected.forEach((output, layer) =>
          assertSameOutput(`${name} ${layer}`, actual[layer], output)
        );
        const losses: Float32Array[] = [];
        const targets = Int32Array.from(windows.flatMap((window) => [...window]));
        for (const engine of [webgpu, onnx]) {
          const head = await engine.openHead(model);
          losses.push(await head.negativeLogLikelihoods(expected.at(-1)!.hidden, targets));
          await head.close();
        }
        assertSame("losses", losses[0], losses[1]);
      });
    },
  });
}
