import { assert, assertEquals, assertMatch } from "@std/assert";
import { planJob } from "../../../core/session/jobs.ts";
import { prune } from "../../../core/session/prune.ts";
import { CancelledError, EngineError } from "../../../core/errors.ts";
import { LiveSession } from "../../../core/session/live/session.ts";
import { LocalRunner, until, withLiveSession } from "../../helpers/live.ts";

Deno.test("LiveSession opens, calibrates, plans and measures the choice first", () =>
  withLiveSession(async ({ session, runner }) => {
    const phases: string[] = [];
    session.subscribe(({ phase }) => {
      if (phases.at(-1) !== phase) phases.push(phase);
    });
    await session.start();
    assertEquals(session.state.failure, undefined);
    assertEquals(phases, ["opening", "calibrating", "ready"]);
    assertEquals(session.state.plan?.request.sparsity, 0.3);
    session.change({ type: "sparsity", by: 0.05 });
    assertEquals(session.state.plan?.request.sparsity, 0.35);
    const state = await until(session, ({ rows }) => rows.some(({ measured }) => measured));
    assertEquals(runner.started.slice(0, 4), ["open", "calibrate", "dense", "measure"]);
    const measured = state.rows.filter((row) => row.measured);
    assertEquals(measured.map(({ sparsity }) => sparsity), [0.35]);
    assert(state.texts[0].dense! > 1 && measured[0].perplexity[0]! > 1);
  }));

Deno.test("LiveSession's second opening starts at once with what the first found", () =>
  withLiveSession(async ({ session, options }) => {
    await session.start();
    const first = await until(session, ({ rows }) => rows.some(({ measured }) => measured));
    const runner = new LocalRunner();
    const second = new LiveSession(options, runner);
    try {
      await second.start();
      assertEquals(runner.started, ["open"]);
      assertEquals(second.state.plan, first.plan);
      const rows = await until(second, ({ rows }) => rows.some(({ measured }) => measured));
      assertEquals(rows.texts[0].dense, first.texts[0].dense);
    } finally {
      await second.close();
    }
  }));

Deno.test("LiveSession writes the plan that gprune plan makes, byte for byte", () =>
  withLiveSession(async ({ session, folder, options }) => {
    await session.start();
    session.setMeasuring(false);
    const change = session.change.bind(session);
    const choices = [
      () => {},
      () => change({ type: "shape" }),
      () => change({ type: "protect", layer: 1 }),
      () => change({ type: "budget", layer: 2, direction: 1 }),
      () => change({ type: "metric" }),
      () => change({ type: "modules" }),
      () => change({ type: "structures" }),
      () => change({ type: "refit" }),
    ];
    for (const [index, choose] of choices.entries()) {
      choose();
      const { request, statistics } = await until(
        session,
        ({ plan, request }) => JSON.stringify(plan?.request) === JSON.stringify(request),
      );
      assert(await session.writePlan(`${folder}/session-${index}.json`));
      const save = `${folder}/command-${index}.json`;
      await planJob({ ...request, model: options.model, stats: statistics!, save });
      assertEquals(
        await Deno.readTextFile(`${folder}/session-${index}.json`),
        await Deno.readTextFile(save),
      );
    }
  }));

Deno.test("LiveSession.write() writes the files that prune writes from the same statistics", () =>
  withLiveSession(async ({ session, folder, options }) => {
    await session.start();
    session.setMeasuring(false);
    session.change({ type: "shape" });
    session.change({ type: "sparsity-to", sparsity: 0.4 });
    assertEquals(session.state.unsaved, true);
    assert(await session.write({ out: `${folder}/session` }), session.state.notice?.message);
    assertEquals(session.state.unsaved, false);
    const { evaluation, evalWindows } = options;
    const { report } = await prune({
      ...{ model: options.model, evaluation, evalWindows, shape: "adaptive", sparsity: 0.4 },
      ...{
        choiceTasks: false,
        stats: session.state.statistics,
        refine: false,
        out: `${folder}/command`,
      },
    });
    const read = (name: string) => Deno.readFile(`${folder}/${name}/model.safetensors`);
    assertEquals(await read("session"), await read("command"));
    const own = JSON.parse(await Deno.readTextFile(`${folder}/session/report.json`));
    assertEquals(own.perplexity, report.perplexity);
    assertEquals(await session.write({ out: `${folder}/session` }), false);
    assertMatch(session.state.notice!.message, /exists/);
  }));

Deno.test("LiveSession pauses a calibration and goes on with it", () =>
  withLiveSession(async ({ session, options }) => {
    let resumedFrom = 0;
    session.subscribe(({ activity, phase }) => {
      const { stage, layer } = activity?.progress ?? {};
      if (phase === "calibrating" && stage === "calibrate" && layer === 1) session.pause();
    });
    await session.start();
    assertEquals(session.state.phase, "paused");
    const other = new LiveSession(options, new LocalRunner());
    try {
      other.subscribe(({ activity }) => {
        if (activity?.progress?.stage === "sample") resumedFrom++;
      });
      await other.start();
      assertEquals(other.state.phase, "ready");
      // The model's own words were sampled before the pause.
      assertEquals(resumedFrom, 0);
    } finally {
      await other.close();
    }
  }));

Deno.test("LiveSession tells why it cannot go on, in one sentence", () =>
  withLiveSession(async ({ session }) => {
    await session.start();
    assertEquals(session.state.phase, "failed");
    assertMatch(session.state.failure!, /nowhere/);
  }, { options: { calibration: [{ name: "a", path: "/nowhere/a.txt" }] } }));

Deno.test("LiveSession goes on after a measurement failed, and does not try it again by itself", () =>
  withLiveSession(async ({ session, runner }) => {
    await session.start();
    const broken = (task: string) => runner.started.filter((name) => name === task).length;
    await until(session, ({ notice }) => notice?.isError === true);
    assertMatch(session.state.notice!.message, /broke/);
    await until(session, () => broken("measure") >= 8);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assertEquals(broken("measure"), 8);
    session.change({ type: "sparsity", by: 0.01 });
    assertEquals(session.state.plan?.request.sparsity, 0.36);
  }, {
    options: { request: { sparsity: 0.35 }, evalWindows: 1 },
    instead: {
      measure: () => Promise.reject(new EngineError("The engine broke; try again")),
    },
  }));

Deno.test("LiveSession stops measuring a choice that is no more", () => {
  let stopped = 0;
  return withLiveSession(async ({ session }) => {
    await session.start();
    await until(session, ({ activity }) => activity?.kind === "measure");
    session.change({ type: "shape" });
    await until(session, () => stopped === 1);
    assertEquals(stopped, 1);
  }, {
    instead: {
      measure: (_, { signal, onProgress }) =>
        new Promise((_resolve, reject) => {
          onProgress({ stage: "apply", done: 1, total: 10, unit: "blocks" });
          signal.addEventListener("abort", () => {
            stopped++;
            reject(new CancelledError("The work was cancelled"));
          });
        }),
    },
  });
});

Deno.test("LiveSession.sample() continues a prompt from both models", () =>
  withLiveSession(async ({ session }) => {
    await session.start();
    session.setMeasuring(false);
    await session.sample("one two");
    const { sample, notice } = session.state;
    assertEquals(notice?.isError ?? false, false, notice?.message);
    assertEquals([sample?.prompt, sample?.running, sample?.sparsity], ["one two", false, 0.3]);
    assert(sample!.dense.length > 0 && sample!.pruned.length > 0);
    session.closeSample();
    assertEquals(session.state.sample, undefined);
  }));
