/**
 * How fast the engine runs a model: tokens per second of a forward pass with losses, and of generation.
 *
 *     deno run --allow-read --allow-env --allow-sys --allow-ffi=./node_modules bench/engine.ts MODEL [BATCH] [LENGTH]
 *
 * GFLOP/s count the matrix products of weights alone, so that they can be held against those of a plain sgemm.
 * @module
 */
import { openOnnxEngine } from "../core/engine/onnx.ts";
import { runBlocks } from "../core/engine/forward.ts";
import type { Block, Capture, Engine, KeyValueCache } from "../core/engine/types.ts";
import { blockTensors, openModel } from "../core/model/open.ts";
import type { Model } from "../core/model/types.ts";

const ROUNDS = 12;
const GENERATED = 100;

async function openBlocks(engine: Engine, model: Model, capture: Capture): Promise<Block[]> {
  const { architecture } = model;
  const blocks: Block[] = [];
  for (const [layer, shape] of architecture.layers.entries()) {
    const tensors = blockTensors(model, layer);
    blocks.push(await engine.openBlock({ architecture, shape, tensors, capture }));
  }
  return blocks;
}

/** The shortest of several rounds, in milliseconds: other work on the machine only ever adds. */
async function shortest(work: () => Promise<unknown>): Promise<number> {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await work();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** Numbers in the projections of all blocks. */
function blockParameters({ architecture: { hiddenSize, headSize, layers } }: Model): number {
  return layers.reduce(
    (sum, { ffnWidth, keyValueHeads, queryHeads }) =>
      sum + hiddenSize * (2 * headSize * (queryHeads + keyValueHeads) + 3 * ffnWidth),
    0,
  );
}

async function measureForward(engine: Engine, model: Model, batch: number, length: number) {
  const { hiddenSize, vocabularySize } = model.architecture;
  const tokens = batch * length;
  const embedding = await engine.openEmbedding(model);
  const numbers = Int32Array.from({ length: tokens }, (_, at) => (at * 31) % vocabularySize);
  const embedded = await embedding.lookup(numbers);
  const last = await runBlocks(engine, model, embedded, batch, length);
  const row = (name: string, milliseconds: number, parameters: number) => ({
    what: name,
    milliseconds: Number(milliseconds.toFixed(1)),
    tokensPerSecond: Math.round(1000 * tokens / milliseconds),
    gflops: Number((2 * tokens * parameters / milliseconds / 1e6).toFixed(1)),
  });
  const rows = [];
  for (const capture of ["none", "sums", "gram"] as const) {
    const blocks = await openBlocks(engine, model, capture);
    const milliseconds = await shortest(async () => {
      let hidden = embedded;
      for (const block of blocks) hidden = (await block.run(hidden, batch, length)).hidden;
    });
    rows.push(row(`blocks, capture ${capture}`, milliseconds, blockParameters(model)));
    for (const block of blocks) await block.close();
  }
  const head = await engine.openHead(model);
  const losses = await shortest(() => head.negativeLogLikelihoods(last, numbers));
  rows.push(row("head with losses", losses, hiddenSize * vocabularySize));
  await head.close();
  return rows;
}

async function measureGeneration(engine: Engine, model: Model, batch: number) {
  const { architecture } = model;
  const embedding = await engine.openEmbedding(model);
  const head = await engine.openHead(model);
  const blocks = await Promise.all(
    architecture.layers.map((shape, layer) => {
      const tensors = blockTensors(model, layer);
      return engine.openCachedBlock({ architecture, shape, tensors, capture: "none" });
    }),
  );
  const caches: (KeyValueCache | undefined)[] = blocks.map(() => undefined);
  const start = performance.now();
  for (let step = 0; step < GENERATED; step++) {
    let hidden = await embedding.lookup(new Int32Array(batch).fill(step));
    for (const [layer, block] of blocks.entries()) {
      const output = await block.run(hidden, batch, 1, caches[layer]);
      caches[layer] = output.cache;
      hidden = output.hidden;
    }
    await head.logits(hidden);
  }
  const milliseconds = performance.now() - start;
  for (const block of blocks) await block.close();
  await head.close();
  return {
    what: `generation, ${batch} texts`,
    milliseconds: Number(milliseconds.toFixed(1)),
    tokensPerSecond: Math.round(1000 * batch * GENERATED / milliseconds),
  };
}

const [source, batch = "16", length = "192"] = Deno.args;
const engine = await openOnnxEngine();
const model = await openModel(source);
const rows = await measureForward(engine, model, Number(batch), Number(length));
console.table([...rows, await measureGeneration(engine, model, 64)]);
