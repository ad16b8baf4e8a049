/** The refit and the learning of damage on the card: streams and sums stay there, and nothing is lost with it. */
import { assert, assertEquals } from "@std/assert";
import { refitSequentially } from "../../../core/apply/sequential.ts";
import { StreamPair } from "../../../core/apply/streams.ts";
import type { DomainWindows, Statistics } from "../../../core/calibrate/types.ts";
import { openOnnxEngine } from "../../../core/engine/onnx.ts";
import { resilientEngine } from "../../../core/engine/resilient.ts";
import type { Engine } from "../../../core/engine/types.ts";
import { openWebGpuEngine, type WebGpuEngine } from "../../../core/engine/webgpu/engine.ts";
import { HeldOutRuns } from "../../../core/learn/held_out.ts";
import { learnDamage } from "../../../core/learn/damage.ts";
import { layerPruner } from "../../../core/learn/pruner.ts";
import { learningSchedule } from "../../../core/learn/windows.ts";
import { blockTensors, openModel } from "../../../core/model/open.ts";
import { readTensor } from "../../../core/model/tensor_reader.ts";
import type { Model } from "../../../core/model/types.ts";
import { makePlan } from "../../../core/plan/make_plan.ts";
import { resolveRequest } from "../../../core/plan/request.ts";
import { smallModel, smallStatistics } from "../../helpers/pipeline.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { adapterIsMissing, assertSame, withEngines } from "./helpers.ts";

const ignore = await adapterIsMissing();

/** Statistics, taken by the processor. */
async function withStatistics(use: (model: Model, statistics: Statistics) => Promise<void>) {
  await withRandomModel({ ...smallModel, attentionBias: true, mlpBias: true }, async (folder) => {
    const model = await openModel(folder);
    const onnx = await openOnnxEngine();
    const statistics = await smallStatistics(onnx, model, { samples: 4, learn: false });
    await onnx.close();
    await use(model, statistics);
  });
}

/** An engine whose card is lost when so many submissions have gone to it. */
async function withCardLostAfter(
  submissions: number,
  use: (engine: Engine, notes: readonly string[], sent: () => number) => Promise<void>,
) {
  const webgpu = await openWebGpuEngine();
  const { device } = webgpu.context.graphics;
  const submit = device.queue.submit.bind(device.queue);
  let sent = 0;
  device.queue.submit = (buffers) => {
    submit(buffers);
    if (++sent === submissions) device.destroy();
  };
  const notes: string[] = [];
  const engine = resilientEngine(webgpu, openOnnxEngine, { onNote: (note) => notes.push(note) });
  try {
    await use(engine, notes, () => sent);
  } finally {
    await engine.close();
  }
}

/** All weights that a refit changed, and the final norm's. */
async function refitted(engine: Engine, model: Model, statistics: Statistics) {
  const plan = makePlan(model, statistics, { sparsity: 0.4 });
  const weights = new Map<string, Float32Array>();
  const layers = refitSequentially(engine, model, plan, statistics);
  let next = await layers.next();
  while (!next.done) {
    for (const [role, tensor] of next.value.tensors) {
      weights.set(`${next.value.layer} ${role}`, await readTensor(tensor));
    }
    next = await layers.next();
  }
  return weights;
}

function assertSameWeights(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
) {
  assertEquals([...actual.keys()], [...expected.keys()]);
  for (const [name, weights] of expected) assertSame(name, actual.get(name)!, weights, 1e-3);
}

Deno.test({
  name: "refitSequentially() gives the weights of ONNX Runtime, though the card is lost on the way",
  ignore,
  fn: async () => {
    await withStatistics(async (model, statistics) => {
      const onnx = await openOnnxEngine();
      const expected = await refitted(onnx, model, statistics);
      await onnx.close();
      let all = 0;
      await withCardLostAfter(Infinity, async (engine, notes, sent) => {
        assertSameWeights(await refitted(engine, model, statistics), expected);
        assertEquals([engine.name, notes.length], ["webgpu", 0]);
        all = sent();
      });
      // Among fits, and near the end.
      for (const share of [0.4, 0.9]) {
        await withCardLostAfter(Math.round(share * all), async (engine, notes) => {
          assertSameWeights(await refitted(engine, model, statistics), expected);
          assertEquals([engine.name, notes.length], ["onnx", 1]);
        });
      }
    });
  },
});

Deno.test({
  name: "learnDamage() gives the curves of ONNX Runtime, though the card is lost on the way",
  ignore,
  fn: async () => {
    await withStatistics(async (model, statistics) => {
      const request = resolveRequest({ shape: "adaptive" }, model.architecture.layers);
      const schedule = learningSchedule(model, statistics, request);
      const learn = async (engine: Engine) => {
        const layers: number[] = [];
        const runs = new HeldOutRuns(engine, model, schedule.domains);
        const pruneLayer = layerPruner(model, statistics, request);
        const onCurves = (_: number, curves: readonly { readonly layer: number }[]) => {
          layers.push(curves[0].layer);
          return Promise.resolve();
        };
        const options = { onCurves };
        const work = [runs, model, statistics, request, schedule, pruneLayer] as const;
        const { curves, denseLoss } = await learnDamage(...work, options);
        // No curve is measured twice.
        assertEquals(layers, [...new Set(layers)]);
        return {
          denseLoss,
          damage: curves.flatMap(({ damagePerDomain }) => damagePerDomain.flat()),
        };
      };
      const onnx = await openOnnxEngine();
      const expected = await learn(onnx);
      await onnx.close();
      for (const submissions of [Infinity, 200]) {
        await withCardLostAfter(submissions, async (engine, notes) => {
          const actual = await learn(engine);
          assertSame("loss", actual.denseLoss, expected.denseLoss);
          assertSame("damage", actual.damage, expected.damage, 1e-3);
          assertEquals(notes.length, submissions === Infinity ? 0 : 1);
        });
      }
    });
  },
});

/** Counts what is read back from a card. */
function countReads({ context: { graphics: { device } } }: WebGpuEngine): () => number {
  let bytes = 0;
  const createCommandEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = (description) => {
    const encoder = createCommandEncoder(description);
    const copy = encoder.copyBufferToBuffer.bind(encoder) as (...inputs: unknown[]) => void;
    encoder.copyBufferToBuffer = (...inputs: unknown[]) => {
      const [target, size] = inputs.length > 3 ? [inputs[2], inputs[4]] : [inputs[1], inputs[2]];
      if ((target as GPUBuffer).usage & GPUBufferUsage.MAP_READ) bytes += size as number;
      copy(...inputs);
    };
    return encoder;
  };
  return () => {
    const read = bytes;
    bytes = 0;
    return read;
  };
}

Deno.test({
  name: "StreamPair reads back statistics alone, and each stream once a layer",
  ignore,
  fn: async () => {
    await withEngines(async (webgpu) => {
      await withRandomModel({ ...smallModel, layers: 1 }, async (folder) => {
        const model = await openModel(folder);
        const { architecture } = model;
        const [hidden, shape, width] = [architecture.hiddenSize, architecture.layers[0], 48];
        assertEquals(shape.ffnWidth, width);
        const length = 64;
        // Two batches, of 64 windows and of 6.
        const calibration = Array.from(
          { length: 70 },
          (_, window) => Int32Array.from({ length }, (_, at) => (at * 7 + window) % 257),
        );
        const domains: DomainWindows[] = [{ name: "numbers", calibration, heldOut: [] }];
        const streams = await StreamPair.open(webgpu, model, domains, { weights: [1] });
        const block = { architecture, shape, tensors: blockTensors(model, 0) };
        const read = countReads(webgpu);
        await streams.runDense(block);
        await streams.runToMiddle(block);
        assertEquals(read(), 0);
        await streams.fitClosing(block, "ffn", new Float32Array(hidden));
        const parts = 2 * 32;
        assertEquals(read(), 4 * (width * width + hidden * width + parts * hidden));
        await streams.fitStream("middle", block.tensors.get("ffnNorm.weight")!);
        assertEquals(read(), 4 * (2 * hidden * hidden + parts * hidden));
        await streams.advance(block);
        assertEquals(read(), 2 * 4 * hidden * length * calibration.length);
        streams.close();
        assertEquals(webgpu.context.residentBytes, 0);
      });
      // The tables of rotations alone stay in use.
      assert(webgpu.context.pool.counts.inUse <= 1);
    });
  },
});
