import { assert, assertEquals, assertRejects } from "@std/assert";
import { announceBlock } from "../../../core/engine/forward.ts";
import { closeStream } from "../../../core/engine/streams.ts";
import type { Block, Stream } from "../../../core/engine/types.ts";
import { openWebGpuEngine, type WebGpuEngine } from "../../../core/engine/webgpu/engine.ts";
import { aheadBytes } from "../../../core/engine/webgpu/uploads.ts";
import { Weights } from "../../../core/engine/webgpu/weights.ts";
import { encode } from "../../../core/model/number_formats.ts";
import { blockTensors, openModel } from "../../../core/model/open.ts";
import { readTensor } from "../../../core/model/tensor_reader.ts";
import type { Model, TensorView } from "../../../core/model/types.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { randomStream } from "../helpers.ts";
import { adapterIsMissing, assertSame } from "./helpers.ts";

const ignore = await adapterIsMissing();

/** What reaches the card's queue, in order. */
type Event = "weights" | "commands";

/** Writes down what is sent to a card: a piece of weights, or commands. */
function watch({ context }: WebGpuEngine): Event[] {
  const events: Event[] = [];
  const { queue } = context.graphics.device;
  const submit = queue.submit.bind(queue);
  queue.submit = (buffers) => {
    // Weights begin their way with an empty submission; commands are never empty.
    events.push([...buffers].length === 0 ? "weights" : "commands");
    submit(buffers);
  };
  return events;
}

function blockOf(model: Model, layer: number) {
  const { architecture } = model;
  const tensors = blockTensors(model, layer);
  return { architecture, shape: architecture.layers[layer], tensors, capture: "none" as const };
}

/** Runs batches through a block until so many have gone, or what is waited for has happened. */
async function runUntil(block: Block, start: Float32Array, most: number, done: () => boolean) {
  let stream: Stream = start;
  for (let batch = 0; batch < most && !done(); batch++) {
    const after = await block.keep!(stream, 2, 4);
    closeStream(stream);
    stream = after;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  closeStream(stream);
}

/** Makes every reading of a file take a few milliseconds more. */
async function withSlowReader(work: () => Promise<void>) {
  const { read } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.read = async function (bytes) {
    await new Promise((resolve) => setTimeout(resolve, 4));
    return await read.call(this, bytes);
  };
  try {
    await work();
  } finally {
    Deno.FsFile.prototype.read = read;
  }
}

async function withModel(work: (engine: WebGpuEngine, model: Model) => Promise<void>) {
  await withRandomModel({ layers: 3, dtype: "bf16", attentionBias: true }, async (folder) => {
    const model = await openModel(folder);
    const engine = await openWebGpuEngine();
    try {
      await work(engine, model);
    } finally {
      await engine.close();
    }
    assertEquals(engine.context.pool.counts.inUse, 0);
  });
}

Deno.test({
  name: "Engine.announceBlock() sends the next block's weights between this one's commands",
  ignore,
  fn: async () => {
    await withModel(async (engine, model) => {
      const hidden = randomStream(model, 8);
      const expected = await engine.openBlock(blockOf(model, 1));
      const { hidden: numbers } = await expected.run(hidden, 2, 4);
      await expected.close();
      const events = watch(engine);
      const pieces = 7;
      const first = await engine.openBlock(blockOf(model, 0));
      const whole = events.filter((event) => event === "weights").length;
      assert(whole >= pieces, `${whole} pieces`);
      events.length = 0;
      const sent = () => events.filter((event) => event === "weights").length;
      await withSlowReader(async () => {
        announceBlock(engine, model, 1);
        await runUntil(first, hidden, 1000, () => sent() === whole);
      });
      assertEquals(sent(), whole);
      // Commands went between the weights: neither waited for the other.
      const between = events.slice(events.indexOf("weights"), events.lastIndexOf("weights"));
      assert(between.includes("commands"), events.join(" "));
      // What is there already is not sent again, and is what it should be.
      const second = await engine.openBlock(blockOf(model, 1));
      assertEquals(sent(), whole);
      await first.close();
      assertSame("hidden", (await second.run(hidden, 2, 4)).hidden, numbers);
      await second.close();
    });
  },
});

Deno.test({
  name: "Engine.announceBlock() holds one block ahead at most, and drops it unopened",
  ignore,
  fn: async () => {
    await withModel(async (engine, model) => {
      const { pool } = engine.context;
      const block = await engine.openBlock(blockOf(model, 0));
      const one = pool.counts.inUse;
      for (let round = 0; round < 20; round++) {
        announceBlock(engine, model, 1 + round % 2);
        await new Promise((resolve) => setTimeout(resolve, round % 5));
        assert(pool.counts.inUse <= 2 * one, `${pool.counts.inUse} buffers`);
      }
      // Behind the last block there is nothing.
      announceBlock(engine, model, 3);
      await block.close();
    });
  },
});

Deno.test({
  name: "Engine.announceBlock() leaves blocks alone that are too large, missing or not to be had",
  ignore,
  fn: async () => {
    await withModel(async (engine, model) => {
      const events = watch(engine);
      const large = blockOf(model, 1);
      const data = { length: 1, byteLength: aheadBytes + 1 } as unknown as Float32Array;
      large.tensors = new Map([...large.tensors, ["up_proj.weight", { shape: [1, 1], data }]]);
      engine.announceBlock!(large);
      await new Promise((resolve) => setTimeout(resolve, 20));
      assertEquals(events, []);
      const gone = blockOf(model, 1);
      gone.tensors = new Map([...gone.tensors].map(([role, tensor]) => [
        role,
        { ...tensor, path: "/nowhere/model.safetensors" } as TensorView,
      ]));
      engine.announceBlock!(gone);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await assertRejects(() => engine.openBlock(gone), Error, "the file has gone");
    });
  },
});

Deno.test({
  name: "Engine.announceBlock() gives up where the card has no room for two blocks",
  ignore,
  fn: async () => {
    await withModel(async (engine, model) => {
      const { device } = engine.context.graphics;
      const popErrorScope = device.popErrorScope.bind(device);
      let pops = 0;
      device.popErrorScope = async () => {
        const error = await popErrorScope();
        return pops++ === 2 ? new GPUOutOfMemoryError("full") : error;
      };
      announceBlock(engine, model, 1);
      while (engine.context.pool.counts.inUse > 0 || pops < 3) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      // Opening the block is not troubled by it, and nothing is sent ahead any more.
      const block = await engine.openBlock(blockOf(model, 1));
      const before = pops;
      announceBlock(engine, model, 2);
      await new Promise((resolve) => setTimeout(resolve, 20));
      assertEquals(pops, before);
      await block.close();
    });
  },
});

Deno.test({
  name: "Weights.matrix() sends what lies between others' numbers in the format of its file",
  ignore,
  fn: async () => {
    const path = await Deno.makeTempFile();
    const engine = await openWebGpuEngine();
    try {
      for (const dataType of ["F16", "BF16", "F32"] as const) {
        const numbers = Float32Array.from({ length: 60 }, (_, at) => at / 8 - 3);
        const bytes = encode(numbers, dataType);
        await Deno.writeFile(path, bytes);
        // Rows 1, 2, 4 and 5 of six, turned into columns: GPT-2's matrices lie so.
        const tensor: TensorView = {
          name: "part",
          dataType,
          shape: [4, 5],
          path,
          offset: 0,
          byteLength: bytes.byteLength,
          layout: { runRows: 2, runStride: 30, rowStride: 1, columnStride: 6 },
        };
        const expected = await readTensor(tensor);
        const weights = new Weights(engine.context);
        const matrix = await weights.matrix([tensor]);
        assertEquals(matrix.format, dataType.toLowerCase());
        assertEquals(matrix.rowBytes, (dataType === "F32" ? 4 : 2) * 8);
        const read = await readBytes(engine, matrix.slices[0].buffer.buffer, 4 * matrix.rowBytes);
        const rows = [0, 1, 2, 3].map((row) => expected.subarray(5 * row, 5 * row + 5));
        const filled = rows.flatMap((row) => [...row, 0, 0, 0]);
        assertEquals(read, encode(Float32Array.from(filled), dataType));
        weights.close();
      }
    } finally {
      await engine.close();
      await Deno.remove(path);
    }
  },
});

async function readBytes(
  { context: { graphics: { device } } }: WebGpuEngine,
  buffer: GPUBuffer,
  size: number,
): Promise<Uint8Array> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = device.createBuffer({ size, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = new Uint8Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return bytes;
}
