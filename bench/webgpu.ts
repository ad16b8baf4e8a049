/**
 * How fast the WebGPU engine is on the card of this machine, and how near to what the card can do. In one command:
 *
 *     deno run -A bench/webgpu.ts [MODEL] [--shape 135m,1b] [--dtype bf16] [--tokens 4096] [--length 512] [--size 2048]
 *
 * It prints Markdown for `bench/WEBGPU.md`. Products: a large square product with every tile and format, the best of
 * which is the measure of the card. For each shape: kernels, one block kernel by kernel, timed on the card by timestamp
 * queries; blocks, as calibration runs them, beside ONNX Runtime in the same run; uploads, what sending the next block's
 * weights ahead saves. Then calibration of MODEL (default: the embedded one) on both engines, and whether the goal is met.
 *
 * GFLOP/s count a multiplication and an addition as two; half of attention and of a Gram matrix is left out, since
 * half is what there is to do. Bytes are those of every operand once.
 * @module
 */
import { join } from "@std/path";
import { parseArgs } from "node:util";
import { collect } from "../core/calibrate/collect.ts";
import { openOnnxEngine } from "../core/engine/onnx.ts";
import { closeStream, openPassage } from "../core/engine/streams.ts";
import { syntheticBlock, type SyntheticSizes, syntheticStream } from "../core/engine/synthetic.ts";
import type { BlockSpecification, Capture, Engine, Stream } from "../core/engine/types.ts";
import { Commands } from "../core/engine/webgpu/commands.ts";
import { openWebGpuEngine, type WebGpuEngine } from "../core/engine/webgpu/engine.ts";
import { type TileName, TILES } from "../core/engine/webgpu/kernels/product.ts";
import { project, sendRows, temporaryRows } from "../core/engine/webgpu/operations.ts";
import { Profile } from "../core/engine/webgpu/profile.ts";
import { Weights } from "../core/engine/webgpu/weights.ts";
import { encode, type FloatDataType } from "../core/model/number_formats.ts";
import { openModel } from "../core/model/open.ts";
import type { BlockRole, MemoryTensor, TensorView } from "../core/model/types.ts";

/** The share of the card's best product that a whole block should reach. */
const GOAL = 0.6;

const SHAPES: Readonly<Record<string, SyntheticSizes>> = {
  tiny: { hiddenSize: 128, headSize: 16, queryHeads: 8, keyValueHeads: 4, ffnWidth: 384 },
  "135m": { hiddenSize: 576, headSize: 64, queryHeads: 9, keyValueHeads: 3, ffnWidth: 1536 },
  "1b": { hiddenSize: 2048, headSize: 64, queryHeads: 32, keyValueHeads: 8, ffnWidth: 8192 },
  "8b": { hiddenSize: 4096, headSize: 128, queryHeads: 32, keyValueHeads: 8, ffnWidth: 14336 },
};

const { values, positionals: [source] } = parseArgs({
  allowPositionals: true,
  options: {
    shape: { type: "string" },
    dtype: { type: "string", default: "bf16" },
    tokens: { type: "string", default: "4096" },
    length: { type: "string", default: "512" },
    size: { type: "string", default: "2048" },
  },
});
const dataType = values.dtype.toUpperCase() as FloatDataType;
const [length, size] = [Number(values.length), Number(values.size)];
const texts = Math.max(1, Math.floor(Number(values.tokens) / length));

const round = (value: number, digits = 1): number => Number(value.toFixed(digits));
const share = (part: number, whole: number): string => `${round(100 * part / whole)} %`;

/** Prints a table in Markdown. */
function print(title: string, rows: readonly Readonly<Record<string, string | number>>[]): void {
  console.log(`\n### ${title}\n`);
  if (rows.length === 0) return console.log("This card has no timestamp queries.");
  const names = Object.keys(rows[0]);
  console.log(`| ${names.join(" | ")} |\n| ${names.map(() => "---").join(" | ")} |`);
  for (const row of rows) console.log(`| ${names.map((name) => row[name]).join(" | ")} |`);
}

/** Waits until the card has done all that it was given. */
async function finish({ context }: WebGpuEngine): Promise<void> {
  await context.graphics.device.queue.onSubmittedWorkDone();
}

/** Weights as they lie in a model's file, so that every format goes its own way to the card. */
async function storedBlock(
  sizes: SyntheticSizes,
  capture: Capture,
  name: string,
): Promise<BlockSpecification> {
  const block = syntheticBlock(sizes, capture);
  const path = join(folder, name);
  const tensors = new Map<BlockRole, TensorView>();
  const file = await Deno.open(path, { create: true, write: true, truncate: true });
  let offset = 0;
  for (const [role, tensor] of block.tensors as ReadonlyMap<BlockRole, MemoryTensor>) {
    const bytes = encode(tensor.data, dataType);
    for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
    const { shape } = tensor;
    const byteLength = bytes.length;
    tensors.set(role, { name: role, dataType, shape, path, offset, byteLength });
    offset += byteLength;
  }
  file.close();
  return { ...block, tensors };
}

interface ProductRate {
  readonly tile: TileName;
  readonly format: string;
  readonly wallGflops: number;
  /** Nanoseconds of wall time for each tick of the card's clock. */
  readonly nanosecondsPerTick?: number;
  readonly ticks?: number;
}

/** A square product with every tile and format: as many as make 10 ms of waiting small. */
async function measureProducts(engine: WebGpuEngine): Promise<readonly ProductRate[]> {
  const { context } = engine;
  const repetitions = context.graphics.isFallback ? 1 : 20;
  const numbers = syntheticStream(size, size);
  const rates: ProductRate[] = [];
  for (const format of ["F32", "F16", "BF16"] as const) {
    const path = join(folder, "square");
    const bytes = encode(numbers, format);
    await Deno.writeFile(path, bytes);
    const view = { name: "square", dataType: format, shape: [size, size], path, offset: 0 };
    const weights = new Weights(context);
    const matrix = await weights.matrix([{ ...view, byteLength: bytes.length }]);
    for (const tile of context.graphics.isFallback ? context.tiles : tileNames) {
      context.forcedTile = tile;
      const profile = context.profile = context.graphics.hasTimestamps ? new Profile() : undefined;
      let best = Infinity;
      let ticks = Infinity;
      for (let turn = 0; turn < 4; turn++) {
        profile?.clear();
        const start = performance.now();
        const operations = { context, commands: new Commands(context) };
        const input = sendRows(operations, numbers, size);
        const output = temporaryRows(operations, size, size);
        for (let product = 0; product < repetitions; product++) {
          project(operations, input, matrix, output);
        }
        await operations.commands.submit();
        await finish(engine);
        // The first one compiles.
        if (turn === 0) continue;
        best = Math.min(best, (performance.now() - start) / repetitions / 1000);
        const own = profile?.times.map((time) => time.ticks) ?? [];
        if (own.length > 0) ticks = Math.min(ticks, own.reduce((a, b) => a + b) / own.length);
      }
      rates.push({
        tile,
        format: format.toLowerCase(),
        wallGflops: 2 * size ** 3 / best / 1e9,
        ...(Number.isFinite(ticks) ? { ticks, nanosecondsPerTick: 1e9 * best / ticks } : {}),
      });
    }
    weights.close();
  }
  context.forcedTile = undefined;
  context.profile = undefined;
  return rates;
}

/** Ticks are nanoseconds by the standard; these are what some cards count in. */
const TICKS: readonly number[] = [1, 10, 38.46, 40, 52.083, 83.333];

/** The length of a tick, from the wall time of the products that took longest, in which the card did nothing else. */
function tickLength(rates: readonly ProductRate[]): number {
  const slowest = rates.reduce((a, b) => a.wallGflops < b.wallGflops ? a : b);
  const ratio = slowest.nanosecondsPerTick ?? 1;
  const distance = (tick: number) => Math.abs(Math.log(tick / ratio));
  return TICKS.reduce((best, tick) => distance(tick) < distance(best) ? tick : best);
}

/** The rate of a product from the card's clock, or the wall's where it has none. */
function gflopsOf({ ticks, wallGflops }: ProductRate, nanoseconds: number): number {
  return ticks === undefined ? wallGflops : 2 * size ** 3 / (ticks * nanoseconds);
}

/** One block, kernel by kernel, and all of them together. */
async function measureKernels(
  engine: WebGpuEngine,
  specification: BlockSpecification,
  { best, nanoseconds }: Measure,
) {
  if (!engine.context.graphics.hasTimestamps) return [];
  const profile = engine.context.profile = new Profile();
  const block = await engine.openBlock(specification);
  const stream = syntheticStream(texts * length, specification.architecture.hiddenSize);
  await block.run(stream, texts, length);
  profile.clear();
  const rounds = engine.context.graphics.isFallback ? 1 : 5;
  for (let turn = 0; turn < rounds; turn++) await block.run(stream, texts, length);
  engine.context.profile = undefined;
  await block.close();
  const groups = new Map<string, { ticks: number; operations: number; bytes: number }>();
  for (const { kernel, ticks, cost } of profile.times) {
    for (const name of [kernel, "all of the block"]) {
      const known = groups.get(name) ?? { ticks: 0, operations: 0, bytes: 0 };
      known.ticks += ticks;
      known.operations += cost.operations;
      known.bytes += cost.bytes;
      groups.set(name, known);
    }
  }
  const all = groups.get("all of the block")!;
  groups.delete("all of the block");
  return [...groups, ["all of the block", all] as const].map(([kernel, group]) => {
    const { ticks, operations, bytes } = group;
    const seconds = ticks * nanoseconds / 1e9;
    const gflops = operations / seconds / 1e9;
    return {
      kernel,
      milliseconds: round(1000 * seconds / rounds, 3),
      "of the time": share(ticks, all.ticks),
      "GFLOP/s": round(gflops),
      "of the best product": share(gflops, best),
      MB: round(bytes / rounds / 1e6),
      "GB/s": round(bytes / seconds / 1e9),
    };
  });
}

/** Additions and multiplications of a token in a block. */
function operationsPerToken(sizes: SyntheticSizes, capture: Capture): number {
  const { hiddenSize, headSize, queryHeads, keyValueHeads, ffnWidth } = sizes;
  const heads = headSize * queryHeads;
  const projections = hiddenSize * (2 * headSize * (queryHeads + keyValueHeads) + 3 * ffnWidth);
  const gram = capture === "gram" ? ffnWidth ** 2 + heads ** 2 : 0;
  return 2 * projections + 2 * heads * length + gram;
}

/** Batch after batch through one block, as calibration runs them: streams and sums stay where they are. */
async function measureBlock(engine: Engine, specification: BlockSpecification, batches: number) {
  const block = await engine.openBlock(specification);
  const passage = openPassage(block);
  const { hiddenSize } = specification.architecture;
  const streams: Stream[] = [0, 1].map(() => syntheticStream(texts * length, hiddenSize));
  const pass = async (count: number) => {
    for (let batch = 0; batch < count; batch++) {
      const at = batch % streams.length;
      const after = await passage.run(streams[at], texts, length);
      closeStream(streams[at]);
      streams[at] = after;
    }
    await passage.flush();
    if ("context" in engine) await finish(engine as WebGpuEngine);
  };
  await pass(2);
  const start = performance.now();
  await pass(batches);
  const seconds = (performance.now() - start) / 1000;
  for (const stream of streams) closeStream(stream);
  await block.close();
  return { milliseconds: 1000 * seconds / batches, rate: batches * texts * length / seconds };
}

async function measureBlocks(sizes: SyntheticSizes, { best }: Measure) {
  const rows = [];
  const quick = webgpu.context.graphics.isFallback;
  for (const capture of ["none", "sums", "gram"] as const) {
    const specification = await storedBlock(sizes, capture, "block");
    for (const engine of [webgpu, onnx]) {
      const batches = quick ? 1 : engine === webgpu ? 40 : 4;
      const { milliseconds, rate } = await measureBlock(engine, specification, batches);
      const gflops = rate * operationsPerToken(sizes, capture) / 1e9;
      if (engine === webgpu && capture === "none") shares.push(gflops / best);
      rows.push({
        capture,
        engine: engine.name,
        "ms / batch": round(milliseconds, 2),
        "tokens/s": Math.round(rate),
        "GFLOP/s": round(gflops),
        "of the best product": engine === webgpu ? share(gflops, best) : "",
      });
    }
  }
  return rows;
}

/** What opening a block costs: from its file, and where it was announced while another one ran. */
async function measureUploads(sizes: SyntheticSizes) {
  const [first, second] = [
    await storedBlock(sizes, "none", "first"),
    await storedBlock(sizes, "none", "second"),
  ];
  const megabytes = [...second.tensors.values()].reduce(
    (sum, tensor) => sum + (tensor as TensorView).byteLength / 1e6,
    0,
  );
  const rows = [];
  for (const ahead of [false, true]) {
    const block = await webgpu.openBlock(first);
    let stream: Stream = syntheticStream(texts * length, sizes.hiddenSize);
    if (ahead) webgpu.announceBlock!(second);
    const start = performance.now();
    for (let batch = 0; batch < (webgpu.context.graphics.isFallback ? 2 : 40); batch++) {
      const after = await block.keep!(stream, texts, length);
      closeStream(stream);
      stream = after;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await finish(webgpu);
    const ran = performance.now();
    const next = await webgpu.openBlock(second);
    await finish(webgpu);
    const opened = performance.now();
    rows.push({
      "sent ahead": ahead ? "yes" : "no",
      MB: round(megabytes),
      "ms of batches": round(ran - start),
      "ms to open the next block": round(opened - ran),
      "GB/s while opening": ahead ? "" : round(megabytes / (opened - ran), 2),
    });
    closeStream(stream);
    await block.close();
    await next.close();
  }
  return rows;
}

async function measureCalibration() {
  const model = await openModel(source);
  const { vocabularySize, maxPositions } = model.architecture;
  const own = Math.min(length, maxPositions);
  const count = (webgpu.context.graphics.isFallback ? 1 : 4) * texts;
  const windows = Array.from(
    { length: count },
    (_, window) =>
      Int32Array.from({ length: own }, (_, at) => (at * 7919 + window * 104_729) % vocabularySize),
  );
  const rows = [];
  for (const engine of [webgpu, onnx]) {
    const domains = [{ name: "numbers", calibration: windows, heldOut: [] }];
    // The first window alone compiles kernels.
    await collect(engine, model, [{ ...domains[0], calibration: windows.slice(0, 1) }], {
      gram: true,
    });
    const start = performance.now();
    await collect(engine, model, domains, { gram: true });
    const seconds = (performance.now() - start) / 1000;
    rows.push({
      model: model.name,
      engine: engine.name,
      tokens: windows.length * own,
      seconds: round(seconds, 2),
      "tokens/s": Math.round(windows.length * own / seconds),
    });
  }
  return rows;
}

interface Measure {
  /** GFLOP/s of the best product. */
  readonly best: number;
  /** Of a tick. */
  readonly nanoseconds: number;
}

const webgpu = await openWebGpuEngine();
const onnx = await openOnnxEngine();
const folder = await Deno.makeTempDir({ prefix: "gprune-bench-" });
const { isFallback, limits } = webgpu.context.graphics;
const tileNames = Object.keys(TILES).filter((name) =>
  webgpu.context.tiles.includes(name as TileName)
) as TileName[];
const shares: number[] = [];
try {
  const mebibytes = (bytes: number) => `${round(bytes / 2 ** 20)} MiB`;
  console.log(
    `## ${webgpu.device}${isFallback ? " (software)" : ""}\n\nBindings up to ${
      mebibytes(limits.maxStorageBufferBindingSize)
    }, ${limits.maxComputeWorkgroupStorageSize} bytes shared by a workgroup; ${texts} texts of ${length} tokens, weights in ${values.dtype}; Deno ${Deno.version.deno}.`,
  );
  const rates = await measureProducts(webgpu);
  const nanoseconds = tickLength(rates);
  const best = Math.max(...rates.map((rate) => gflopsOf(rate, nanoseconds)));
  print(
    `Products of ${size} × ${size} (a tick of the card is ${nanoseconds} ns)`,
    rates.map((rate) => ({
      tile: rate.tile,
      format: rate.format,
      "GFLOP/s on the card": round(gflopsOf(rate, nanoseconds)),
      "GFLOP/s by the wall clock": round(rate.wallGflops),
    })),
  );
  for (const name of (values.shape ?? (isFallback ? "tiny" : "135m,1b")).split(",")) {
    const sizes = SHAPES[name];
    const specification = await storedBlock(sizes, "gram", "block");
    const measure = { best, nanoseconds };
    print(`Kernels of a ${name} block`, await measureKernels(webgpu, specification, measure));
    print(`Blocks of ${name}`, await measureBlocks(sizes, measure));
    print(`Uploads of ${name}`, await measureUploads(sizes));
    const reached = shares[shares.length - 1];
    console.log(
      `\nThe whole block reaches ${share(reached, 1)} of the best product; the goal is ${
        share(GOAL, 1)
      }: ${reached >= GOAL ? "met" : "not met"}${isFallback ? " (in software, no measure)" : ""}.`,
    );
  }
  print("Calibration with Gram matrices", await measureCalibration());
} finally {
  await Deno.remove(folder, { recursive: true });
  await onnx.close();
  await webgpu.close();
}
