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
    host.close();
  }
});

Deno.test("WorkerHost.close() ends what runs", async () => {
  const host = new WorkerHost(() => ({
    postMessage: () => {},
    terminate: () => {},
    addEventListener: () => {},
  }));
  const running = host.run("dense", { seqLen: 8 });
  host.close();
  await assertRejects(() => running, CancelledError);
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
      host.close();
      await Deno.remove(temporary, { recursive: true });
    }
  },
});
