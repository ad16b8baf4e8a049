/**
 * How fast the WebGPU engine is on the card of this machine, and how near to what the card can do.
 *
 *     deno run -A bench/webgpu.ts [MODEL] [--shape 135m|1b|8b] [--tokens 4096] [--length 512] [--size 2048]
 *
 * Three tables. Products: a large square product with every tile, the best of which is the measure of the card. Kernels:
 * one block, kernel by kernel, timed on the card. Blocks: whole blocks as calibration runs them, beside ONNX Runtime in
 * the same run. With MODEL, a fourth: calibration of that model on both engines.
 *
 * GFLOP/s count a multiplication and an addition as two; half of attention and of a Gram matrix is left out, since
 * half is what there is to do. Bytes are those of every operand once.
 * @module
 */
import { parseArgs } from "node:util";
import { collect } from "../core/calibrate/collect.ts";
import { openOnnxEngine } from "../core/engine/onnx.ts";
import { closeStream, openPassage } from "../core/engine/streams.ts";
import { syntheticBlock, type SyntheticSizes, syntheticStream } from "../core/engine/synthetic.ts";
import type { Capture, Engine, Stream } from "../core/engine/types.ts";
import { Commands } from "../core/engine/webgpu/commands.ts";
import { openWebGpuEngine, type WebGpuEngine } from "../core/engine/webgpu/engine.ts";
import type { TileName } from "../core/engine/webgpu/kernels/product.ts";
import { project, sendRows, temporaryRows } from "../core/engine/webgpu/operations.ts";
import { Profile } from "../core/engine/webgpu/profile.ts";
import { Weights } from "../core/engine/webgpu/weights.ts";
import { openModel } from "../core/model/open.ts";

const SHAPES: Readonly<Record<string, SyntheticSizes>> = {
  tiny: { hiddenSize: 128, headSize: 16, queryHeads: 8, keyValueHeads: 4, ffnWidth: 384 },
  "135m": { hiddenSize: 576, headSize: 64, queryHeads: 9, keyValueHeads: 3, ffnWidth: 1536 },
  "1b": { hiddenSize: 2048, headSize: 64, queryHeads: 32, keyValueHeads: 8, ffnWidth: 8192 },
  "8b": { hiddenSize: 4096, headSize: 128, queryHeads: 32, keyValueHeads: 8, ffnWidth: 14336 },
};

const { values, positionals: [source] } = parseArgs({
  allowPositionals: true,
  options: {
    shape: { type: "string", default: "135m" },
    tokens: { type: "string", default: "4096" },
    length: { type: "string", default: "512" },
    size: { type: "string", default: "2048" },
  },
});
const sizes = SHAPES[values.shape];
const [length, size] = [Number(values.length), Number(values.size)];
const texts = Math.max(1, Math.floor(Number(values.tokens) / length));

const round = (value: number, digits = 1): number => Number(value.toFixed(digits));

/** Waits until the card has done all that it was given. */
async function finish({ context }: WebGpuEngine): Promise<void> {
  await context.graphics.device.queue.onSubmittedWorkDone();
}

/** Seconds for each of so many repetitions of work that is sent, from wall time; the shortest of three rounds. */
async function secondsEach(
  engine: WebGpuEngine,
  repetitions: number,
  work: () => Promise<void>,
): Promise<number> {
  await work();
  await finish(engine);
  let best = Infinity;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    for (let repetition = 0; repetition < repetitions; repetition++) await work();
    await finish(engine);
    best = Math.min(best, (performance.now() - start) / repetitions / 1000);
  }
  return best;
}

interface ProductRate {
  readonly tile: TileName;
  readonly format: string;
  readonly gflops: number;
}

/** A square product with every tile, by wall time over as many products as make 10 ms of waiting small. */
async function measureProducts(engine: WebGpuEngine): Promise<readonly ProductRate[]> {
  const { context } = engine;
  const repetitions = context.graphics.isFallback ? 1 : 20;
  const weights = new Weights(context);
  const matrix = await weights.matrix([{ shape: [size, size], data: syntheticStream(size, size) }]);
  const numbers = syntheticStream(size, size);
  const rates: ProductRate[] = [];
  for (const tile of ["small", "medium", "large"] as const) {
    context.forcedTile = tile;
    const seconds = await secondsEach(engine, 1, async () => {
      const operations = { context, commands: new Commands(context) };
      const input = sendRows(operations, numbers, size);
      const output = temporaryRows(operations, size, size);
      for (let product = 0; product < repetitions; product++) {
        project(operations, input, matrix, output);
      }
      await operations.commands.submit();
    });
    rates.push({ tile, format: "f32", gflops: 2 * size ** 3 * repetitions / seconds / 1e9 });
  }
  context.forcedTile = undefined;
  weights.close();
  return rates;
}

/** Nanoseconds of a tick of the card's clock; not every driver counts in them as it should. */
async function tickLength(engine: WebGpuEngine, kernels: () => Promise<void>): Promise<number> {
  const profile = engine.context.profile!;
  await kernels();
  profile.clear();
  const start = performance.now();
  for (let round = 0; round < 10; round++) await kernels();
  const wall = 1e6 * (performance.now() - start);
  const ticks = profile.times.reduce((sum, time) => sum + time.ticks, 0);
  profile.clear();
  // A clock in nanoseconds counts less than the wall; 10 and 83 are what some cards count in.
  return [83.333, 52.083, 38.46, 10, 1].find((nanoseconds) => ticks * nanoseconds <= wall) ?? 1;
}

/** One block, kernel by kernel. */
async function measureKernels(engine: WebGpuEngine, best: number, capture: Capture) {
  if (!engine.context.graphics.hasTimestamps) return [];
  const profile = engine.context.profile = new Profile();
  const block = await engine.openBlock(syntheticBlock(sizes, capture));
  const stream = syntheticStream(texts * length, sizes.hiddenSize);
  const run = async () => void (await block.run(stream, texts, length));
  const nanoseconds = await tickLength(engine, run);
  const rounds = 5;
  for (let round = 0; round < rounds; round++) await run();
  const groups = new Map<string, { ticks: number; operations: number; bytes: number }>();
  for (const { kernel, ticks, cost } of profile.times) {
    const known = groups.get(kernel) ?? { ticks: 0, operations: 0, bytes: 0 };
    known.ticks += ticks;
    known.operations += cost.operations;
    known.bytes += cost.bytes;
    groups.set(kernel, known);
  }
  engine.context.profile = undefined;
  await block.close();
  return [...groups].map(([kernel, { ticks, operations, bytes }]) => {
    const seconds = ticks * nanoseconds / 1e9;
    const gflops = operations / seconds / 1e9;
    return {
      kernel,
      milliseconds: round(1000 * seconds / rounds, 3),
      gflops: round(gflops),
      "share of best": `${round(100 * gflops / best)} %`,
      "GB/s": round(bytes / seconds / 1e9),
    };
  });
}

/** Numbers of a block's projections. */
function parametersOf(
  { hiddenSize, headSize, queryHeads, keyValueHeads, ffnWidth }: SyntheticSizes,
) {
  return hiddenSize * (2 * headSize * (queryHeads + keyValueHeads) + 3 * ffnWidth);
}

/** Additions and multiplications of a token in a block. */
function operationsPerToken(capture: Capture): number {
  const { headSize, queryHeads, ffnWidth } = sizes;
  const heads = headSize * queryHeads;
  const gram = capture === "gram" ? ffnWidth ** 2 + heads ** 2 : 0;
  return 2 * parametersOf(sizes) + 2 * heads * length + gram;
}

/** Batch after batch through one block, as calibration runs them: streams and sums stay where they are. */
async function measureBlock(engine: Engine, capture: Capture, batches: number) {
  const block = await engine.openBlock(syntheticBlock(sizes, capture));
  const passage = openPassage(block);
  const streams: Stream[] = Array.from(
    { length: 2 },
    () => syntheticStream(texts * length, sizes.hiddenSize),
  );
  const pass = async (count: number) => {
    for (let batch = 0; batch < count; batch++) {
      const at = batch % streams.length;
      const after = await passage.run(streams[at], texts, length);
      closeStream(streams[at]);
      streams[at] = after;
    }
    await passage.flush();
  };
  await pass(2);
  const start = performance.now();
  await pass(batches);
  if ("context" in engine) await finish(engine as WebGpuEngine);
  const seconds = (performance.now() - start) / 1000;
  for (const stream of streams) closeStream(stream);
  await block.close();
  const tokens = batches * texts * length;
  return {
    milliseconds: 1000 * seconds / batches,
    tokensPerSecond: tokens / seconds,
    gflops: tokens * operationsPerToken(capture) / seconds / 1e9,
  };
}

async function measureBlocks(webgpu: WebGpuEngine, onnx: Engine, best: number) {
  const rows = [];
  const batches = webgpu.context.graphics.isFallback ? 2 : 40;
  for (const capture of ["none", "sums", "gram"] as const) {
    for (const engine of [webgpu, onnx]) {
      const rate = await measureBlock(engine, capture, engine === webgpu ? batches : 4);
      rows.push({
        capture,
        engine: engine.name,
        "ms / batch": round(rate.milliseconds, 2),
        "tokens/s": Math.round(rate.tokensPerSecond),
        gflops: round(rate.gflops),
        "share of best": engine === webgpu ? `${round(100 * rate.gflops / best)} %` : "",
      });
    }
  }
  return rows;
}

async function measureCalibration(engines: readonly Engine[], path: string) {
  const model = await openModel(path);
  const { vocabularySize } = model.architecture;
  const windows = Array.from(
    { length: 4 * texts },
    (_, window) =>
      Int32Array.from({ length }, (_, at) => (at * 7919 + window * 104_729) % vocabularySize),
  );
  const rows = [];
  for (const engine of engines) {
    const start = performance.now();
    const domains = [{ name: "numbers", calibration: windows, heldOut: [] }];
    await collect(engine, model, domains, { gram: true });
    const seconds = (performance.now() - start) / 1000;
    rows.push({
      engine: engine.name,
      tokens: windows.length * length,
      seconds: round(seconds, 2),
      "tokens/s": Math.round(windows.length * length / seconds),
    });
  }
  return rows;
}

const webgpu = await openWebGpuEngine();
const onnx = await openOnnxEngine();
console.log(
  `${webgpu.device}${
    webgpu.context.graphics.isFallback ? " (software)" : ""
  }; ${values.shape} block, ${texts} texts of ${length} tokens`,
);
const products = await measureProducts(webgpu);
const best = Math.max(...products.map(({ gflops }) => gflops));
console.table(products.map((row) => ({ ...row, gflops: round(row.gflops) })));
console.table(await measureKernels(webgpu, best, "gram"));
console.table(await measureBlocks(webgpu, onnx, best));
if (source !== undefined) console.table(await measureCalibration([webgpu, onnx], source));
await onnx.close();
await webgpu.close();
