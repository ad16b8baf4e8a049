import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import {
  CancelledError,
  ModelError,
  OptionError,
  PlanError,
  TextError,
} from "../../core/errors.ts";
import type { Report } from "../../core/evaluate/report.ts";
import { loadStatistics } from "../../core/calibrate/store.ts";
import { openModel } from "../../core/model/open.ts";
import type { Progress } from "../../core/progress.ts";
import {
  applyJob,
  calibrateJob,
  compareJob,
  evaluateJob,
  exportJob,
  planJob,
  prune,
  type PruneOptions,
} from "../../core/session.ts";

import { withSmallPlace } from "../helpers/small_place.ts";

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function weightsOf(folder: string): Promise<Uint8Array> {
  return await Deno.readFile(join(folder, "model.safetensors"));
}

Deno.test("prune() writes a model that opens, its card and its report", () =>
  withSmallPlace(async ({ options }) => {
    const { report, folder } = await prune(options);
    assertEquals(folder, options.out);
    const saved: Report = JSON.parse(await Deno.readTextFile(join(folder, "report.json")));
    assertEquals(saved, JSON.parse(JSON.stringify(report)));
    const pruned = await openModel(folder);
    assertEquals(pruned.parameters, report.result.parameters.after);
    assert(Math.abs(report.result.sparsity - 0.4) < 0.02, `${report.result.sparsity}`);
    assertEquals(report.perplexity.map(({ name, calibrated }) => [name, calibrated]), [
      ["gamma", false],
      ["alpha", true],
    ]);
    assertEquals(report.calibration.map(({ name }) => name), ["alpha", "beta", "self"]);
    assert((await Deno.readTextFile(join(folder, "README.md"))).includes("gamma"));
    assertEquals(
      report.files.map(({ path }) => path).includes("model.safetensors"),
      true,
    );
    assertEquals(await exists(`${folder}.unfinished`), false);
  }));

Deno.test("prune() reports the perplexity that evaluating its folder gives", () =>
  withSmallPlace(async ({ options }) => {
    const { report, folder } = await prune({ ...options, shape: "adaptive" });
    const { evaluation, seqLen, evalWindows } = options;
    const again = await evaluateJob({ model: folder, evaluation, seqLen, evalWindows });
    assertEquals(
      again.perplexity.map(({ dense }) => dense),
      report.perplexity.map(({ pruned }) => pruned),
    );
    const before = await evaluateJob({ ...options });
    assertEquals(
      before.perplexity.map(({ dense }) => dense),
      report.perplexity.map(({ dense }) => dense),
    );
  }));

/** Two questions in a file. */
async function writeQuiz(
  folder: string,
): Promise<{ readonly name: string; readonly path: string }> {
  const path = join(folder, "quiz.jsonl");
  const record = { context: "one two", choices: [" three", " four"], answer: 0 };
  await Deno.writeTextFile(path, `${JSON.stringify(record)}\n${JSON.stringify(record)}\n`);
  return { name: "quiz", path };
}

Deno.test("prune() reports tasks from files and from every text, as evaluating its folder does", () =>
  withSmallPlace(async ({ options, folder }) => {
    const tasks = [await writeQuiz(folder)];
    const { report, folder: out } = await prune({ ...options, tasks });
    assertEquals(report.tasks.map(({ name, items }) => [name, items]), [
      ["quiz", 2],
      ["gamma-choice", 16],
      ["alpha-choice", 16],
    ]);
    for (const { dense, pruned } of report.tasks) {
      for (const { acc, accNorm, stderr } of [dense, pruned!]) {
        assert(acc >= 0 && acc <= 1 && accNorm >= 0 && accNorm <= 1 && stderr >= 0);
      }
    }
    assert((await Deno.readTextFile(join(out, "README.md"))).includes("gamma-choice"));
    const { evaluation, seqLen, evalWindows } = options;
    const again = await evaluateJob({ model: out, evaluation, seqLen, evalWindows, tasks });
    assertEquals(
      again.tasks.map(({ dense }) => dense),
      report.tasks.map(({ pruned }) => pruned!),
    );
    assertEquals(again.tasks[0].pruned, undefined);
  }));

Deno.test("evaluateJob() makes 200 questions from a text, none with choiceTasks false, and notes texts without", () =>
  withSmallPlace(async ({ model, options, folder }) => {
    const path = join(folder, "same.txt");
    await Deno.writeTextFile(path, "a".repeat(500));
    const evaluation = [options.evaluation![0], { name: "same", path }];
    const { tasks, notes } = await evaluateJob({ model, evaluation });
    assertEquals(tasks.map(({ name, items }) => [name, items]), [["gamma-choice", 200]]);
    assertEquals(notes, ["No multiple choice from the text 'same': it has too few passages"]);
    assertEquals((await evaluateJob({ model, evaluation, choiceTasks: false })).tasks, []);
  }));

Deno.test("evaluateJob() refuses a task file under the name of a text's own task", () =>
  withSmallPlace(async ({ options, folder }) => {
    const tasks = [{ ...await writeQuiz(folder), name: "gamma-choice" }];
    await assertRejects(() => evaluateJob({ ...options, tasks }), OptionError, "--no-choice");
    const { tasks: rows } = await evaluateJob({ ...options, tasks, choiceTasks: false });
    assertEquals(rows.map(({ name }) => name), ["gamma-choice"]);
  }));

Deno.test("prune() goes on after a cancellation and ends as if there had been none", () =>
  withSmallPlace(async ({ options }) => {
    const plain = await prune({ ...options, shape: "adaptive", out: `${options.out}-plain` });
    const stop = new AbortController();
    const onProgress = ({ stage, done, total }: Progress) => {
      if (stage === "learn" && done > total / 2) stop.abort();
    };
    const adaptive = { ...options, shape: "adaptive" as const };
    await assertRejects(
      () => prune({ ...adaptive, signal: stop.signal, onProgress }),
      CancelledError,
    );
    assertEquals(await exists(options.out), false);
    assertEquals(await exists(`${options.out}.unfinished`), true);
    const stages = new Set<string>();
    const resumed = await prune({
      ...adaptive,
      resume: true,
      onProgress: ({ stage }) => stages.add(stage),
    });
    assertEquals(stages.has("sample"), false, "self was sampled again");
    assertEquals(await weightsOf(resumed.folder), await weightsOf(plain.folder));
    assertEquals(await exists(`${options.out}.unfinished`), false);
  }));

Deno.test("prune() without self and with a single domain is refused", () =>
  withSmallPlace(async ({ options }) => {
    const calibration = options.calibration!.slice(0, 1);
    await assertRejects(
      () => prune({ ...options, calibration, self: false }),
      OptionError,
      "'alpha' alone",
    );
    assertEquals(await exists(options.out), false);
  }));

Deno.test("prune() with no calibration text splits self into domains", () =>
  withSmallPlace(async ({ options }) => {
    const { report } = await prune({ ...options, calibration: [] });
    assert(report.calibration.length >= 2, `${report.calibration.length} domains`);
    assert(report.calibration.every(({ name }) => /^self-\d$/.test(name)));
  }));

const refused: Readonly<
  // deno-lint-ignore no-explicit-any -- any class of error
  Record<string, readonly [Partial<PruneOptions>, new (...args: any[]) => Error, string]>
> = {
  "sparsity 1": [{ sparsity: 1 }, OptionError, "sparsity 1"],
  "sparsity -0.1": [{ sparsity: -0.1 }, OptionError, "sparsity -0.1"],
  "sparsity NaN": [{ sparsity: NaN }, OptionError, "sparsity NaN"],
  "sparsity that leaves no unit": [{ sparsity: 0.999 }, PlanError, "Cannot remove"],
  "no structures": [{ structures: [] }, OptionError, "Cannot prune nothing"],
  "modules 0": [{ modules: 0 }, OptionError, "--modules 0"],
  "multiple 1.5": [{ multiple: 1.5 }, OptionError, "--multiple 1.5"],
  "samples 0": [{ samples: 0 }, OptionError, "0 windows"],
  "windows longer than the model": [{ seqLen: 65 }, OptionError, "at most 64"],
  "windows of one token": [{ seqLen: 1 }, OptionError, "--seq-len 2 or more"],
  "no evaluation windows": [{ evalWindows: 0 }, OptionError, "--eval-windows"],
  "an unknown format": [{ formats: ["onxx"] }, OptionError, "format 'onxx'"],
  "protection in the uniform shape": [{ protectedLayers: [0] }, OptionError, "adaptive"],
  "protection of a layer that is not there": [
    { shape: "adaptive", protectedLayers: [9] },
    OptionError,
    "layer 9",
  ],
  "an unknown score domain": [{ scoreDomains: ["delta"] }, OptionError, "'delta'"],
  "a metric for a baseline": [{ method: "flap", metric: "obs" }, OptionError, "--metric obs"],
  "a model that is not there": [{ model: "/nowhere/model" }, ModelError, "/nowhere/model"],
  "a text that is not there": [
    { calibration: [{ name: "a", path: "/nowhere.txt" }, { name: "b", path: "/nowhere.txt" }] },
    TextError,
    "/nowhere.txt",
  ],
  "a task file that is not there": [
    { tasks: [{ name: "quiz", path: "/nowhere.jsonl" }] },
    TextError,
    "/nowhere.jsonl",
  ],
  "a text that is no file": [
    { calibration: [{ name: "a", path: "/dev/null" }] },
    TextError,
    "regular",
  ],
};
for (const [what, [options, type, message]] of Object.entries(refused)) {
  Deno.test(`prune() refuses ${what} and leaves nothing behind`, () =>
    withSmallPlace(async (place) => {
      await assertRejects(() => prune({ ...place.options, ...options }), type, message);
      const left = await Array.fromAsync(Deno.readDir(place.folder), ({ name }) => name);
      assertEquals(left.filter((name) => name.includes("out")), []);
    }));
}

Deno.test("prune() refuses a text too short for one window", () =>
  withSmallPlace(async ({ options, folder }) => {
    const path = join(folder, "short.txt");
    await Deno.writeTextFile(path, "too short");
    const evaluation = [{ name: "short", path }];
    await assertRejects(
      () => prune({ ...options, evaluation }),
      TextError,
      "it has 9 tokens where one window needs 32",
    );
  }));

Deno.test("prune() keeps an existing folder as it was without --force", () =>
  withSmallPlace(async ({ options }) => {
    await Deno.mkdir(options.out);
    await Deno.writeTextFile(join(options.out, "mine"), "keep me");
    await assertRejects(() => prune(options), OptionError, "exists already");
    assertEquals(await Deno.readTextFile(join(options.out, "mine")), "keep me");
    await prune({ ...options, force: true });
    assertEquals(await exists(join(options.out, "mine")), false);
  }));

Deno.test("calibrate, plan and apply from file to file give what prune gives", () =>
  withSmallPlace(async ({ options, folder }) => {
    const stats = join(folder, "a.stats"), plan = join(folder, "a.plan.json");
    const { model, calibration, samples, seqLen } = options;
    // Of one kind of unit there is but one way to meet the budget, so that the loss of the whole model has no say.
    const structures = ["ffn"] as const;
    await calibrateJob({ model, calibration, samples, seqLen, structures, save: stats });
    assertEquals((await loadStatistics(stats)).learned !== undefined, true);
    await planJob({ model, stats, save: plan, sparsity: 0.4, structures });
    const applied = await applyJob({ model, plan, out: join(folder, "out-steps") });
    const whole = await prune({ ...options, structures });
    assertEquals(await weightsOf(applied.folder), await weightsOf(whole.folder));
    await assertRejects(
      () => planJob({ model, stats, save: plan }),
      Error,
      "it exists; give --force",
    );
  }));

Deno.test("compareJob() has accuracies where --choice or tasks are given, and none otherwise", () =>
  withSmallPlace(async ({ options, folder }) => {
    const comparing = { ...options, methods: ["random"] as const, sparsities: [0, 0.5] };
    const plain = await compareJob({ ...comparing, refits: ["none"] });
    assertEquals(plain.rows.map(({ tasks }) => tasks), [undefined, undefined]);
    const tasks = [await writeQuiz(folder)];
    const quiz = await compareJob({ ...comparing, refits: ["none"], tasks, choiceTasks: true });
    for (const { sparsity, tasks } of quiz.rows) {
      assertEquals(tasks!.map(({ name, items }) => [name, items]), [
        ["quiz", 2],
        ["gamma-choice", 16],
        ["alpha-choice", 16],
      ]);
      if (sparsity === 0) { for (const { dense, pruned } of tasks!) assertEquals(pruned, dense); }
    }
  }));

Deno.test("exportJob() changes how numbers are stored", () =>
  withSmallPlace(async ({ model, folder }) => {
    const { report } = await exportJob({ model, out: join(folder, "out-half"), dataType: "bf16" });
    assertEquals((await openModel(join(folder, "out-half"))).dataType, "BF16");
    assert(report.result.bytes.after < 0.6 * report.result.bytes.before);
  }));

Deno.test("compareJob() gives a row for each method, sparsity and refit, dense at sparsity 0", () =>
  withSmallPlace(async ({ options }) => {
    const { rows, texts } = await compareJob({
      ...options,
      methods: ["gprune", "wanda-sp", "random"],
      sparsities: [0, 0.5],
      refits: ["none", "lsq"],
    });
    assertEquals(rows.length, 12);
    assertEquals(texts.map(({ name }) => name), ["gamma", "alpha"]);
    for (const row of rows.filter(({ sparsity }) => sparsity === 0)) {
      assertEquals(row.geomeanRatio, 1, `${row.method} ${row.refit}`);
    }
    for (const row of rows.filter(({ sparsity }) => sparsity > 0)) {
      const ratios = row.perplexity.map(({ dense, pruned }) => pruned / dense);
      assertEquals(Math.max(...ratios), row.worst.ratio);
      const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / 2);
      assert(Math.abs(mean - row.geomeanRatio) < 1e-12);
    }
  }));
