import { assertEquals, assertThrows } from "@std/assert";
import { decodeModel, TensorType } from "../../core/onnx/proto.ts";
import { GraphBuilder } from "../../core/onnx/graph.ts";
import { attentionOperator } from "../../core/onnx/attention.ts";
import { addHead, addLosses, addStreamStart } from "../../core/onnx/outer.ts";
import { addBlock } from "../../core/onnx/block.ts";
import { floats, integers, openSession } from "../../core/engine/runtime.ts";
import { rotationTables } from "../../core/engine/rotations.ts";
import type { Architecture, BlockRole } from "../../core/model/types.ts";
import type { WeightReference } from "../../core/onnx/graph.ts";

const session = { threads: 1, folder: "/", goal: "speed" } as const;

Deno.test("GraphBuilder builds a graph that runs, with inline and given weights", async () => {
  const graph = new GraphBuilder();
  const x = graph.input("x", "F32", ["rows", 2]);
  const inline = graph.weight("inline", {
    kind: "inline",
    shape: [2],
    data: Float32Array.of(1, 2),
  });
  const given = graph.weight("given", { kind: "input", shape: [2] });
  graph.output("y", graph.node("Add", [graph.node("Mul", [x, inline]), given]), "F32", ["rows", 2]);
  const ready = await openSession(graph.bytes("test"), "a test", session);
  const y = new Float32Array(4);
  await ready.run({
    x: floats(Float32Array.of(1, 2, 3, 4), [2, 2]),
    given: floats(Float32Array.of(10, 20), [2]),
  }, { y: floats(y, [2, 2]) });
  await ready.close();
  assertEquals([...y], [11, 24, 13, 28]);
});

Deno.test("GraphBuilder.weight() maps odd offsets of a file and widens float16", async () => {
  const path = await Deno.makeTempFile();
  const bytes = new Uint8Array(9);
  bytes.set(new Uint8Array(new Float16Array([1.5, -2, 0.25]).buffer), 3);
  await Deno.writeFile(path, bytes);
  const graph = new GraphBuilder();
  const location = (await Deno.realPath(path)).slice(1);
  const weight = graph.weight("w", {
    kind: "external",
    dataType: "F16",
    shape: [3],
    location,
    offset: 3,
    byteLength: 6,
  });
  const x = graph.input("x", "F32", [3]);
  graph.output("y", graph.node("Add", [x, weight]), "F32", [3]);
  for (const goal of ["speed", "memory"] as const) {
    const ready = await openSession(graph.bytes("test"), "a test", { ...session, goal });
    const y = new Float32Array(3);
    await ready.run({ x: floats(Float32Array.of(1, 1, 1), [3]) }, { y: floats(y, [3]) });
    await ready.close();
    assertEquals([...y], [2.5, -1, 1.25]);
  }
  await Deno.remove(path);
});

Deno.test("GraphBuilder puts conversions of weights in front of everything that makes activations", () => {
  const graph = new GraphBuilder();
  const activation = graph.node("Sigmoid", [graph.input("x", "F32", ["rows", 2])]);
  const weight = graph.weight("weight", {
    kind: "external",
    dataType: "BF16",
    shape: [2, 2],
    location: "weights",
    offset: 0,
    byteLength: 8,
  });
  graph.output("y", graph.node("MatMul", [activation, weight]), "F32", ["rows", 2]);
  const types = graph.build("test").graph.node?.map(({ opType }) => opType);
  assertEquals(types, ["Cast", "Sigmoid", "MatMul"]);
});

Deno.test("GraphBuilder makes names unique, shares constants, and refuses equal names", () => {
  const graph = new GraphBuilder();
  const x = graph.input("x", "F32", [1]);
  assertEquals([graph.node("Relu", [x]), graph.node("Relu", [x])], ["Relu", "Relu_1"]);
  assertEquals(graph.integers([1]), graph.integers([1]));
  assertEquals(graph.integers([1]) === graph.integers([1], []), false);
  assertThrows(() => graph.input("x", "F32", [1]), RangeError, "Cannot name two values 'x'");
  assertEquals(graph.build("test").graph.initializer!.length, 2);
});

Deno.test("attentionOperator() chooses by head size", () => {
  assertEquals([8, 12, 20, 24, 64].map(attentionOperator), [
    "GroupQueryAttention",
    "Attention",
    "Attention",
    "GroupQueryAttention",
    "GroupQueryAttention",
  ]);
});

const architecture: Architecture = {
  family: "llama",
  hiddenSize: 8,
  headSize: 4,
  vocabularySize: 11,
  maxPositions: 16,
  normEpsilon: 1e-5,
  activation: "silu",
  rotary: { theta: 1e4, scaling: "default", inverseFrequencies: [1, 0.01], attentionFactor: 1 },
  tiedEmbedding: true,
  layers: Array.from({ length: 2 }, () => ({ ffnWidth: 3, keyValueHeads: 1, queryHeads: 2 })),
};

function inline(...shape: number[]): WeightReference {
  const size = shape.reduce((a, b) => a * b, 1);
  return {
    kind: "inline",
    shape,
    data: Float32Array.from({ length: size }, (_, i) => Math.sin(i)),
  };
}

const weights = () =>
  new Map<BlockRole, WeightReference>([
    ["attentionNorm.weight", inline(8)],
    ["q_proj.weight", inline(8, 8)],
    ["k_proj.weight", inline(4, 8)],
    ["v_proj.weight", inline(4, 8)],
    ["o_proj.weight", inline(8, 8)],
    ["ffnNorm.weight", inline(8)],
    ["gate_proj.weight", inline(3, 8)],
    ["up_proj.weight", inline(3, 8)],
    ["down_proj.weight", inline(8, 3)],
  ]);

Deno.test("addStreamStart(), addBlock() and addHead() make one graph of a whole model", async () => {
  const graph = new GraphBuilder();
  const tokens = graph.input("tokens", "I64", [3]);
  let hidden = addStreamStart(graph, architecture, tokens, inline(11, 8));
  const { cosine, sine } = rotationTables(architecture.rotary, 16);
  const table = (name: string, feed: typeof cosine) =>
    graph.weight(name, { kind: "inline", shape: feed.shape, data: feed.data as Float32Array });
  const sequence = {
    dimensions: graph.integers([1, 3, -1]),
    rotation: { cosine: table("cosine", cosine), sine: table("sine", sine) },
    positions: graph.integers([0]),
    lastIndices: graph.node("Cast", [graph.integers([2])], {
      attributes: { to: TensorType.INT32 },
    }),
    totalLength: graph.node("Cast", [graph.integers([3], [])], {
      attributes: { to: TensorType.INT32 },
    }),
  };
  for (const [layer, shape] of architecture.layers.entries()) {
    const name = `layers.${layer}`;
    hidden =
      addBlock(graph, { name, architecture, shape, weights: weights(), hidden, sequence }).hidden;
  }
  const head = { architecture, hidden, finalNorm: inline(8), outputHead: inline(11, 8) };
  graph.output("logits", addHead(graph, head), "F32", [3, 11]);
  const bytes = graph.bytes("whole");
  const names = decodeModel(bytes).graph.initializer!.map(({ name }) => name);
  assertEquals(names.includes("layers.1.down_proj.weight"), true);
  const ready = await openSession(bytes, "a whole model", session);
  const logits = new Float32Array(33);
  await ready.run({ tokens: integers([1, 2, 10]) }, { logits: floats(logits, [3, 11]) });
  await ready.close();
  assertEquals(logits.every(Number.isFinite), true);
});

Deno.test("GraphBuilder stores a weight once however often its reference is added", () => {
  const graph = new GraphBuilder();
  const shared = inline(2, 2);
  assertEquals([graph.weight("a", shared), graph.weight("b", shared)], ["a", "a"]);
  assertEquals(graph.weight("b", inline(2, 2)), "b");
  assertEquals(graph.build("test").graph.initializer!.map(({ name }) => name), ["a", "b"]);
});

Deno.test("addBlock() refuses a block without one of its weights", () => {
  const graph = new GraphBuilder();
  const x = graph.input("x", "F32", [1]);
  const sequence = {
    dimensions: x,
    positions: x,
    lastIndices: x,
    totalLength: x,
  };
  const block = {
    name: "layers.0",
    architecture,
    shape: architecture.layers[0],
    hidden: x,
    sequence,
  };
  assertThrows(
    () => addBlock(graph, { ...block, weights: new Map() }),
    RangeError,
    "without 'q_proj.weight'",
  );
});

Deno.test("addLosses() gives log Σ exp(logits) - logits[target], finite for large logits", async () => {
  const graph = new GraphBuilder();
  const logits = graph.input("logits", "F32", ["rows", 3]);
  const targets = graph.input("targets", "I64", ["rows", 1]);
  graph.output("losses", addLosses(graph, logits, targets), "F32", ["rows", 1]);
  const ready = await openSession(graph.bytes("losses"), "losses", session);
  const losses = new Float32Array(2);
  await ready.run({
    logits: floats(Float32Array.of(1000, -1000, 500, 0, 0, Math.log(2)), [2, 3]),
    targets: integers([2, 0], [2, 1]),
  }, { losses: floats(losses, [2, 1]) });
  await ready.close();
  assertEquals(losses[0], 500);
  assertEquals(Math.abs(losses[1] - Math.log(4)) < 1e-6, true);
});
