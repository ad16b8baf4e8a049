import { assert, assertEquals, assertRejects } from "@std/assert";
import { describeEngines } from "../../core/engine/describe.ts";
import { embedWindows, runBlocks } from "../../core/engine/forward.ts";
import { ENGINE_NAMES, openEngine } from "../../core/engine/open.ts";
import { openOnnxEngine } from "../../core/engine/onnx.ts";
import type { ChannelSums, Engine } from "../../core/engine/types.ts";
import { EngineError, ModelError, OptionError } from "../../core/errors.ts";
import { outerTensor } from "../../core/model/open.ts";
import { readRowsSync, readTensor } from "../../core/model/tensor_reader.ts";
import type { BlockRole, MemoryTensor, Model } from "../../core/model/types.ts";
import {
  assertClose,
  firstBlock,
  randomStream,
  runOnce,
  wholeLogits,
  withModel,
} from "./helpers.ts";

/** Σ x, Σ x², Σ x xᵀ of rows. */
function sumsOf(rows: Float32Array, channels: number): ChannelSums & { gram: Float32Array } {
  const tokens = rows.length / channels;
  const sum = new Float64Array(channels), sumOfSquares = new Float64Array(channels);
  const gram = new Float32Array(channels * channels);
  for (let token = 0; token < tokens; token++) {
    const row = rows.subarray(token * channels, (token + 1) * channels);
    row.forEach((x, i) => {
      sum[i] += x;
      sumOfSquares[i] += x * x;
      row.forEach((y, j) => gram[i * channels + j] += x * y);
    });
  }
  return { tokens, sum, sumOfSquares, gram };
}

/** A block whose tensors are in memory, with some of them replaced. */
async function inMemory(
  model: Model,
  replaced: Partial<Readonly<Record<BlockRole, MemoryTensor>>> = {},
) {
  const specification = firstBlock(model);
  const tensors = new Map<BlockRole, MemoryTensor>();
  for (const [role, tensor] of specification.tensors) {
    const own = { shape: tensor.shape, data: await readTensor(tensor) };
    tensors.set(role, replaced[role] ?? own);
  }
  return { ...specification, tensors };
}

function zeros(shape: readonly number[]): MemoryTensor {
  return { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
}

/**
 * The inputs of down_proj (or o_proj), read off the output of a block in which that projection shows one channel after
 * the other in place of its output, and nothing else is added.
 */
async function projectionInputs(
  engine: Engine,
  model: Model,
  projection: "down_proj" | "o_proj",
  hidden: Float32Array,
  length: number,
): Promise<Float32Array> {
  const { hiddenSize } = model.architecture;
  const role = `${projection}.weight` as const;
  const specification = await inMemory(model);
  const channels = specification.tensors.get(role)!.shape[1];
  const tokens = hidden.length / hiddenSize;
  const inputs = new Float32Array(tokens * channels);
  const plain = await runOnce(
    engine,
    {
      ...specification,
      tensors: new Map(specification.tensors).set(role, zeros([hiddenSize, channels])),
    },
    hidden,
    length,
  );
  for (let channel = 0; channel < channels; channel++) {
    const picked = zeros([hiddenSize, channels]);
    picked.data[channel] = 1;
    const others = projection === "down_proj" ? [] : ["down_proj.weight"] as const;
    const tensors = new Map(specification.tensors).set(role, picked);
    for (const other of others) tensors.set(other, zeros(tensors.get(other)!.shape));
    const { hidden: output } = await runOnce(
      engine,
      { ...specification, tensors },
      hidden,
      length,
    );
    for (let token = 0; token < tokens; token++) {
      const base = projection === "down_proj" ? plain.hidden : hidden;
      inputs[token * channels + channel] = output[token * hiddenSize] - base[token * hiddenSize];
    }
  }
  return inputs;
}

for (const options of [{ headSize: 8 }, { headSize: 12, ffnWidth: 21, dtype: "bf16" }] as const) {
  Deno.test(`Block.run() sums the inputs of both projections with ${JSON.stringify(options)}`, async () => {
    await withModel(options, async (engine, model) => {
      const length = 5;
      const hidden = randomStream(model, 3 * length);
      const expected = {
        ffn: await projectionInputs(engine, model, "down_proj", hidden, length),
        heads: await projectionInputs(engine, model, "o_proj", hidden, length),
      };
      const { shape, architecture } = firstBlock(model);
      const channels = {
        ffn: shape.ffnWidth,
        heads: shape.queryHeads * architecture.headSize,
      };
      const plain = await runOnce(engine, firstBlock(model), hidden, length);
      for (const capture of ["sums", "gram"] as const) {
        const output = await runOnce(engine, firstBlock(model, capture), hidden, length);
        assertClose(output.hidden, plain.hidden, 1e-6);
        for (const kind of ["ffn", "heads"] as const) {
          const sums = sumsOf(expected[kind], channels[kind]);
          const actual = output.sums![kind];
          assertEquals(actual.tokens, 15);
          assertClose(actual.sum, sums.sum, 1e-4);
          assertClose(actual.sumOfSquares, sums.sumOfSquares, 1e-4);
          if (capture === "gram") assertClose(actual.gram!, sums.gram, 1e-4);
          else assertEquals(actual.gram, undefined);
        }
      }
    });
  });
}

Deno.test("Block.run() gives the same for tensors in memory and in files", async () => {
  for (const dtype of ["f32", "f16", "bf16", "f64"] as const) {
    await withModel({ dtype, attentionBias: true, mlpBias: true }, async (engine, model) => {
      const hidden = randomStream(model, 14);
      const mapped = await runOnce(engine, firstBlock(model), hidden, 7);
      const fed = await runOnce(engine, await inMemory(model), hidden, 7);
      assertClose(fed.hidden, mapped.hidden, 1e-5);
    });
  }
});

Deno.test("Block.run() takes batches of any size and length with one session", async () => {
  await withModel({}, async (engine, model) => {
    const { hiddenSize } = model.architecture;
    const block = await engine.openBlock(firstBlock(model, "sums"));
    const length = 300;
    const hidden = randomStream(model, 2 * length);
    const { hidden: both, sums } = await block.run(hidden, 2, length);
    const second = hidden.slice(length * hiddenSize);
    assertClose((await block.run(second, 1, length)).hidden, both.slice(length * hiddenSize), 1e-5);
    const short = hidden.slice(0, 9 * hiddenSize);
    assertClose((await block.run(short, 1, 9)).hidden, both.slice(0, 9 * hiddenSize), 1e-5);
    assertEquals(sums!.ffn.tokens, 600);
    await block.close();
  });
});

Deno.test("Block.run() runs a batch in parts where its attention scores are large", async () => {
  await withModel({ layers: 1, queryHeads: 8, keyValueHeads: 1 }, async (engine, model) => {
    const { hiddenSize } = model.architecture;
    const length = 2048;
    const hidden = randomStream(model, 3 * length);
    const output = await runOnce(engine, firstBlock(model, "gram"), hidden, length);
    assertEquals(output.sums!.heads.tokens, 3 * length);
    const third = hidden.slice(2 * length * hiddenSize);
    const alone = await runOnce(engine, firstBlock(model), third, length);
    assertClose(alone.hidden, output.hidden.slice(2 * length * hiddenSize), 1e-5);
    const { gram, sumOfSquares } = output.sums!.ffn;
    const diagonal = sumOfSquares.map((_, j) => gram![j * sumOfSquares.length + j]);
    assertClose(diagonal, sumOfSquares, 1e-4);
  });
});

Deno.test("Block.run() refuses a residual stream of the wrong size", async () => {
  await withModel({}, async (engine, model) => {
    const block = await engine.openBlock(firstBlock(model));
    await assertRejects(
      () => block.run(new Float32Array(100), 2, 3),
      EngineError,
      "2 texts of 3 tokens are 192 numbers, and 100 were given",
    );
    await block.close();
  });
});

Deno.test("Embedding.lookup() gives rows of the table and refuses strangers", async () => {
  await withModel({ dtype: "f16" }, async (engine, model) => {
    const embedding = await engine.openEmbedding(model);
    const rows = await embedding.lookup([5, 0, 5, 256]);
    const table = outerTensor(model, "embedding.weight");
    const expected = [5, 0, 5, 256].flatMap((token) => [...readRowsSync(table, token, 1)]);
    assertEquals([...rows], expected);
    await assertRejects(() => embedding.lookup([257]), EngineError, "Cannot look up token '257'");
    await embedding.close();
  });
});

for (const tied of [true, false]) {
  Deno.test(`Head.negativeLogLikelihoods() agrees with logits over several chunks, tied ${tied}`, async () => {
    await withModel({ tied }, async (engine, model) => {
      const rows = 600;
      const hidden = randomStream(model, rows);
      const targets = Int32Array.from({ length: rows }, (_, row) => (row * 7) % 257);
      const head = await engine.openHead(model);
      const losses = await head.negativeLogLikelihoods(hidden, targets);
      const logits = await head.logits(hidden);
      const expected = Float32Array.from(targets, (target, row) => {
        const own = logits.subarray(row * 257, (row + 1) * 257);
        return Math.log(own.reduce((sum, logit) => sum + Math.exp(logit), 0)) - own[target];
      });
      assertClose(losses, expected, 1e-5);
      const short = () => head.negativeLogLikelihoods(hidden, targets.subarray(1));
      await assertRejects(short, EngineError, "600 rows have 599 targets");
      const strange = () => head.negativeLogLikelihoods(hidden, new Int32Array(rows).fill(-1));
      await assertRejects(strange, EngineError, "Cannot compute the loss of token '-1'");
      await head.close();
    });
  });
}

Deno.test("openOnnxEngine() runs layers of different sizes and sharded files", async () => {
  const shapes = [
    { ffnWidth: 48, keyValueHeads: 2, queryHeads: 4 },
    { ffnWidth: 17, keyValueHeads: 1, queryHeads: 2 },
    { ffnWidth: 1, keyValueHeads: 1, queryHeads: 1 },
  ];
  await withModel({ shapes, sharded: true }, async (engine, model) => {
    const windows = [Int32Array.of(1, 2, 3, 4), Int32Array.of(9, 8, 7, 6)];
    const logits = await wholeLogits(engine, model, windows);
    assertEquals(logits.length, 8 * 257);
    assert(logits.every(Number.isFinite));
  });
});

Deno.test("runBlocks() runs a range of blocks and reports each", async () => {
  await withModel({ layers: 3 }, async (engine, model) => {
    const embedding = await engine.openEmbedding(model);
    const embedded = await embedWindows(embedding, [Int32Array.of(1, 2, 3)]);
    await embedding.close();
    const seen: number[] = [];
    const all = await runBlocks(engine, model, embedded, 1, 3, {
      capture: "sums",
      onBlock: (layer, { sums }) => void seen.push(layer, sums!.ffn.tokens),
    });
    assertEquals(seen, [0, 3, 1, 3, 2, 3]);
    const first = await runBlocks(engine, model, embedded, 1, 3, { to: 1 });
    assertEquals(await runBlocks(engine, model, first, 1, 3, { from: 1 }), all);
  });
});

Deno.test("Block.run() does not let memory grow over 3000 runs", async () => {
  await withModel({ ffnWidth: 512, hidden: 64 }, async (engine, model) => {
    const block = await engine.openBlock(firstBlock(model, "sums"));
    const hidden = randomStream(model, 4 * 64);
    for (let run = 0; run < 200; run++) await block.run(hidden, 4, 64);
    const before = Deno.memoryUsage().rss;
    for (let run = 0; run < 3000; run++) await block.run(hidden, 4, 64);
    await block.close();
    const grown = (Deno.memoryUsage().rss - before) / 2 ** 20;
    // Kept outputs alone would be 195 MB; what waits to be collected comes to 30 to 50.
    assert(grown < 90, `memory grew by ${grown.toFixed(1)} MB`);
  });
});

Deno.test("openBlock() and close() do not let memory grow over 300 blocks", async () => {
  await withModel({ ffnWidth: 512, hidden: 64 }, async (engine, model) => {
    const hidden = randomStream(model, 16);
    const specification = await inMemory(model);
    for (let run = 0; run < 50; run++) await runOnce(engine, specification, hidden, 16);
    const before = Deno.memoryUsage().rss;
    for (let run = 0; run < 300; run++) await runOnce(engine, specification, hidden, 16);
    const grown = (Deno.memoryUsage().rss - before) / 2 ** 20;
    assert(grown < 60, `memory grew by ${grown.toFixed(1)} MB`);
  });
});

Deno.test("openOnnxEngine() refuses senseless threads", async () => {
  await assertRejects(
    () => openOnnxEngine({ threads: 0 }),
    OptionError,
    "Cannot run with '0' threads",
  );
});

Deno.test("openBlock() and openCachedBlock() say in one sentence what is refused", async () => {
  await withModel({}, async (engine, model) => {
    const specification = firstBlock(model);
    const tensors = new Map(specification.tensors);
    const view = tensors.get("q_proj.weight")!;
    tensors.set("q_proj.weight", { ...view, path: "/no/such/file" } as typeof view);
    const error = await assertRejects(
      () => engine.openCachedBlock({ ...specification, tensors }),
      EngineError,
      "Cannot prepare a decoder block: ONNX Runtime says '",
    );
    assert(error.cause instanceof Error);
    await assertRejects(
      () => engine.openBlock({ ...specification, tensors }),
      ModelError,
      "of '/no/such/file': the file has gone",
    );
  });
});

Deno.test("openEngine() opens by name and says what is missing", async () => {
  assertEquals(ENGINE_NAMES, ["auto", "onnx", "webgpu"]);
  const onnx = await openEngine("onnx");
  assertEquals([onnx.name, onnx.device], ["onnx", "cpu"]);
  await onnx.close();
  const auto = await openEngine("auto");
  const adapter = await navigator.gpu.requestAdapter();
  // An adapter in software is never chosen; a real card is where it is faster.
  if (adapter === null || adapter.info.isFallbackAdapter) assertEquals(auto.name, "onnx");
  await auto.close();
  await assertRejects(() => openEngine("tpu" as "onnx"), OptionError, "Cannot open engine 'tpu'");
});

Deno.test("describeEngines() tells the runtime's version and never throws", async () => {
  const { onnx, webgpu, auto } = await describeEngines();
  assertEquals([onnx.available, onnx.version], [true, "1.30.0"]);
  assert(onnx.providers.includes("cpu"));
  assert(onnx.threads >= 1);
  assert(webgpu.available || webgpu.problem !== undefined);
  if (!webgpu.available) assertEquals(auto, "onnx");
  // Where kernels run at all, their numbers and their speed were looked at.
  if (webgpu.trial !== undefined) {
    assert(webgpu.trial.tokensPerSecond > 0 && webgpu.trial.referenceTokensPerSecond > 0);
    assert(webgpu.adapters.some(({ name }) => name === webgpu.adapter));
    assert(webgpu.limits!.maxStorageBufferBindingSize >= 1 << 27);
  }
});
