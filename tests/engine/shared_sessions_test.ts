import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Scratch } from "../../core/engine/scratch.ts";
import { SharedSessions } from "../../core/engine/shared_sessions.ts";
import { floats } from "../../core/engine/runtime.ts";
import type { BlockOutput } from "../../core/engine/types.ts";
import { blockTensors } from "../../core/model/open.ts";
import { GraphBuilder } from "../../core/onnx/graph.ts";
import { randomStream, runOnce, withEngine, withModel } from "./helpers.ts";

/** y = x + number, over and over. */
function adding(number: number): Uint8Array {
  const graph = new GraphBuilder();
  const sum = graph.node("Add", [graph.input("x", "F32", [1]), graph.numbers("n", [number])]);
  graph.output("y", sum, "F32", [1]);
  return graph.bytes("adding");
}

const options = { threads: 1, goal: "speed" } as const;

Deno.test("SharedSessions lends one session for one graph, and others for others", async () => {
  const sessions = new SharedSessions();
  const [a, b, c] = await Promise.all(
    [1, 1, 2].map((number) => sessions.lend(adding(number), "a sum", options)),
  );
  assert(a.session === b.session);
  assertNotEquals(a.session, c.session);
  await a.release();
  await c.release();
  // Still on loan to b.
  const y = new Float32Array(1);
  await b.session.run({ x: floats(Float32Array.of(4), [1]) }, { y: floats(y, [1]) });
  assertEquals(y[0], 5);
  await b.release();
  await sessions.close();
});

Deno.test("SharedSessions closes what has not been used for longest, and everything at the end", async () => {
  const sessions = new SharedSessions();
  const use = async (number: number) => {
    const { session, release } = await sessions.lend(adding(number), "a sum", options);
    await release();
    return session;
  };
  const [first, second, third] = [await use(1), await use(2), await use(3)];
  assert(await use(3) === third);
  assert(await use(2) === second);
  assert(await use(1) !== first);
  await sessions.close();
  assert(await use(2) !== second);
});

Deno.test("Scratch lends what came back, and nothing twice", () => {
  const scratch = new Scratch();
  const [a, b] = [scratch.take(4), scratch.take(4)];
  assert(a !== b);
  scratch.giveBack([a, b]);
  const [c, d, e] = [scratch.take(4), scratch.take(4), scratch.take(4)];
  assertEquals(new Set([a, b, c, d]).size, 2);
  assert(e !== a && e !== b);
  assertEquals(scratch.take(5).length, 5);
});

Deno.test("blocks that are open at the same time keep their own weights", async () => {
  await withModel({ layers: 3, dtype: "bf16" }, async (engine, model) => {
    const { architecture } = model;
    const hidden = randomStream(model, 10);
    const specification = (layer: number) => ({
      architecture,
      shape: architecture.layers[layer],
      tensors: blockTensors(model, layer),
      capture: "gram" as const,
    });
    const expected: BlockOutput[] = [];
    for (const layer of [0, 1, 2]) {
      await withEngine(async (own) => {
        expected.push(await runOnce(own, specification(layer), hidden, 5));
      });
    }
    const blocks = await Promise.all([0, 1].map((layer) => engine.openBlock(specification(layer))));
    const outputs = [await blocks[0].run(hidden, 2, 5), await blocks[1].run(hidden, 2, 5)];
    await blocks[0].close();
    const third = await engine.openBlock(specification(2));
    outputs.push(await third.run(hidden, 2, 5));
    // The third one took over what the first one had; the second one's and the outputs are untouched.
    assertEquals((await blocks[1].run(hidden, 2, 5)).hidden, outputs[1].hidden);
    await blocks[1].close();
    await third.close();
    assertEquals(outputs, expected);
  });
});
