import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CancelledError, EngineError, ModelError } from "../../../core/errors.ts";
import { WorkerHost } from "../../../core/session/live/host.ts";
import type { MeasureTask, OpenTask, SampleTask } from "../../../core/session/live/protocol.ts";
import { embeddedIsMissing } from "../../helpers/embedded.ts";

const open: OpenTask = { engine: "auto", temporary: "" };

Deno.test("WorkerHost reports a worker that died and goes on with another on the same model", async () => {
  let started = 0;
  const opened: unknown[] = [];
  const host = new WorkerHost(() => {
    started++;
    const worker = new Worker(new URL("./dying_worker.ts", import.meta.url), { type: "module" });
    const post = worker.postMessage.bind(worker);
    worker.postMessage = (message: { task?: string; options?: unknown }) => {
      if (message.task === "open") opened.push(message.options);
      post(message);
    };
    return worker;
  });
  try {
    await host.run("open", open);
    const error = await assertRejects(() => host.run("measure", {} as MeasureTask), EngineError);
    assertMatch(error.message, /died: .*out of luck.*replaced/);
    const evaluation = { seqLen: 8 };
    assertEquals(await host.run("dense", evaluation) as unknown, evaluation);
    assertEquals([started, opened], [2, [open, open]]);
    const told = await assertRejects(() => host.run("sample", {} as SampleTask), EngineError);
    assertMatch(told.message, /died: out of words; it was replaced/);
    await host.run("dense", evaluation);
    assertEquals(started, 3);
  } finally {
    await host.close();
  }
});

Deno.test("WorkerHost.close() ends what runs, and a worker that does not answer", async () => {
  const told: unknown[] = [];
  let terminated = 0;
  const host = new WorkerHost(() => ({
    postMessage: ({ type, id, task }: { type: string; id: number; task?: string }) => {
      told.push([type, task ?? id]);
    },
    terminate: () => terminated++,
    addEventListener: () => {},
  }), 1);
  const running = host.run("dense", { seqLen: 8 });
  const closed = host.close();
  await assertRejects(() => running, CancelledError);
  await closed;
  await host.close();
  assertEquals(told, [["start", "dense"], ["cancel", 0], ["start", "close"]]);
  assertEquals(terminated, 1);
});

Deno.test("WorkerHost.close() waits for the worker's own end", async () => {
  let ended = false;
  const listeners: ((event: MessageEvent) => void)[] = [];
  const host = new WorkerHost(() => ({
    postMessage: ({ id, task }: { id: number; task: string }) => {
      if (task !== "close") return;
      setTimeout(() => {
        ended = true;
        const data = { type: "done", id, result: null };
        listeners.forEach((listener) => listener(new MessageEvent("message", { data })));
      }, 20);
    },
    terminate: () => assert(ended),
    addEventListener: (type: string, listener: unknown) => {
      if (type === "message") listeners.push(listener as (event: MessageEvent) => void);
    },
  }), 60_000);
  const running = host.run("dense", { seqLen: 8 });
  await Promise.all([host.close(), assertRejects(() => running, CancelledError)]);
  assert(ended);
});

Deno.test({
  name:
    "WorkerHost runs the model in a thread of its own, and errors come back as they were thrown",
  ignore: embeddedIsMissing(),
  fn: async () => {
    const temporary = await Deno.makeTempDir();
    const host = new WorkerHost();
    try {
      const error = await assertRejects(
        () => host.run("open", { ...open, model: "/nowhere" }),
        ModelError,
      );
      assertMatch(error.message, /nowhere/);
      const { engine } = await host.run("open", { ...open, temporary });
      assertEquals(engine, "onnx");
      const stages: string[] = [];
      const { perplexity, tokensPerSecond } = await host.run(
        "dense",
        { seqLen: 32, evalWindows: 1 },
        { onProgress: ({ stage }) => stages.push(stage) },
      );
      assert(perplexity.length > 1 && perplexity.every((each) => each > 1));
      assert(tokensPerSecond > 0 && stages.every((stage) => stage === "evaluate"));
      const controller = new AbortController();
      const cancelled = host.run("dense", { seqLen: 64 }, { signal: controller.signal });
      controller.abort();
      await assertRejects(() => cancelled, CancelledError);
    } finally {
      await host.close();
      await Deno.remove(temporary, { recursive: true });
    }
  },
});
