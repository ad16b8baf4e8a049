import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { JobOptions } from "../../core/session/types.ts";
import { run, userFolder } from "./command_line.ts";
import {
  sampleComparison,
  sampleDiagnosis,
  sampleEvaluation,
  samplePlan,
  sampleReport,
  sampleResult,
  sampleSummary,
} from "./samples.ts";
import { comparisonCsv, comparisonMarkdown } from "../../tui/tables/comparison.ts";

const commands = [
  "prune",
  "inspect",
  "calibrate",
  "merge",
  "plan",
  "apply",
  "evaluate",
  "compare",
  "export",
  "tui",
  "doctor",
  "completions",
];

Deno.test("gprune prune hands every option on", async () => {
  const { code, options, err } = await run(
    "prune org/name --revision v1 --engine onnx --memory 2.5GiB --sparsity .5 --method gprune --metric obs --structures heads --shape adaptive --refit none --modules 3 --multiple 8 --switch blend --score-domains a,self --objective worst --protect 5,0-1 --layer-budget 3=1.5 --layer-budget 2=.5 --no-refine --calib a=a.txt --calib b=/data/b --no-self --score-domains a --samples 7 --seq-len 64 --seed 9 --eval c=~/c.txt --eval-windows 4 --task d=d.jsonl --task e=/e.jsonl --no-choice --out here --format hf,onnx --dtype bf16 --quantize q8,q4 --zero-pad --resume --force --quiet --no-color --debug"
      .split(" "),
  );
  assertEquals([code, err], [0, ""]);
  const { signal, onProgress, onEvent, ...rest } = options;
  assert(signal instanceof AbortSignal);
  assertEquals([typeof onProgress, typeof onEvent], ["function", "function"]);
  assertEquals(rest, {
    model: "org/name",
    revision: "v1",
    engine: "onnx",
    memory: 2.5 * 2 ** 30,
    sparsity: 0.5,
    method: "gprune",
    metric: "obs",
    structures: ["heads"],
    shape: "adaptive",
    refit: "none",
    modules: 3,
    multiple: 8,
    switch: "blend",
    scoreDomains: ["a"],
    objective: "worst",
    protectedLayers: [0, 1, 5],
    layerBudgets: [{ layer: 2, factor: 0.5 }, { layer: 3, factor: 1.5 }],
    stats: undefined,
    refine: false,
    calibration: [{ name: "a", path: `${userFolder}/a.txt` }, { name: "b", path: "/data/b" }],
    self: false,
    samples: 7,
    seqLen: 64,
    seed: 9,
    evaluation: [{ name: "c", path: `${userFolder}/c.txt` }],
    evalWindows: 4,
    tasks: [{ name: "d", path: `${userFolder}/d.jsonl` }, { name: "e", path: "/e.jsonl" }],
    choiceTasks: false,
    out: `${userFolder}/here`,
    force: true,
    formats: ["hf", "onnx"],
    quantize: ["q8", "q4"],
    dataType: "bf16",
    zeroPad: true,
    command: rest.command,
    resume: true,
  });
});

for (
  const [text, bytes] of [
    ["3GB", 3e9],
    ["3 gb", 3e9],
    ["3G", 3e9],
    ["3GiB", 3 * 2 ** 30],
    ["800MB", 8e8],
    ["0.5TB", 5e11],
    ["2000000kB", 2e9],
  ] as const
) {
  Deno.test(`--memory ${text} is ${bytes} bytes`, async () => {
    const { options } = await run(["evaluate", "./m", "--memory", text]);
    assertEquals(options.memory, bytes);
  });
}

Deno.test("gprune prune leaves to the library what the user left out", async () => {
  const { options } = await run(["prune"]);
  const { signal: _, onProgress: __, onEvent: ___, ...rest } = options;
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  assertEquals(Object.fromEntries(given), {
    sparsity: 0.3,
    out: `${userFolder}/gprune-out/tiny-0.3`,
    command: "gprune prune",
  });
});

Deno.test("gprune prune names its output after model and sparsity", async () => {
  const out = async (args: string) => (await run(args.split(" "))).options.out;
  assertEquals(
    await out("prune org/name --sparsity 0.5"),
    `${userFolder}/gprune-out/name-0.5`,
  );
  assertEquals(await out("prune ./a/model/"), `${userFolder}/gprune-out/model-0.3`);
  assertEquals(await out("prune embedded"), `${userFolder}/gprune-out/tiny-0.3`);
});

Deno.test("gprune prune gives the command for the model card without what only shows", async () => {
  const { options } = await run(
    ["prune", "./m", "--calib", "a=it's here.txt", "--json", "--force", "--quiet", "--out", "x"],
  );
  assertEquals(options.command, "gprune prune ./m --calib 'a=it'\\''s here.txt' --out x");
});

Deno.test("gprune compare hands its lists on", async () => {
  const { code, options } = await run(
    "compare m --methods gprune,flap --sparsity 0.2,0.4 --refit none,lsq --metric rms --shape adaptive --protect 1 --samples 8"
      .split(" "),
  );
  assertEquals(code, 0);
  assertEquals(options.methods, ["gprune", "flap"]);
  assertEquals(options.sparsities, [0.2, 0.4]);
  assertEquals(options.refits, ["none", "lsq"]);
  const request = options.request as Record<string, unknown>;
  assertEquals([request.metric, request.shape, request.protectedLayers], ["rms", "adaptive", [1]]);
  assert(!("method" in request) && !("sparsity" in request) && !("refit" in request));
  assertEquals([options.tasks, options.choiceTasks], [undefined, undefined]);
  const chosen = (await run("compare m --choice --task a=a.jsonl".split(" "))).options;
  assertEquals(chosen.choiceTasks, true);
  assertEquals(chosen.tasks, [{ name: "a", path: `${userFolder}/a.jsonl` }]);
});

Deno.test("the other commands hand their files on as absolute paths", async () => {
  const options = async (args: string) => (await run(args.split(" "))).options;
  const calibrate = await options("calibrate ./m --save s --resume");
  assertEquals([calibrate.model, calibrate.save, calibrate.resume], [
    `${userFolder}/m`,
    `${userFolder}/s`,
    true,
  ]);
  const plan = await options("plan ./m --stats s --save ../p");
  assertEquals([plan.stats, plan.save, plan.sparsity], [`${userFolder}/s`, "/home/p", 0.3]);
  const apply = await options("apply ./m --plan p --stats s --out o --refit bias");
  assertEquals([apply.plan, apply.stats, apply.out, apply.refit], [
    `${userFolder}/p`,
    `${userFolder}/s`,
    `${userFolder}/o`,
    "bias",
  ]);
  assertEquals((await options("apply ./m --plan p --out o")).stats, undefined);
  const exported = await options("export ./m --out o --dtype f16");
  assertEquals([exported.out, exported.dataType], [`${userFolder}/o`, "f16"]);
  const evaluate = await options("evaluate ./m --seq-len 64 --eval-windows 2");
  assertEquals([evaluate.seqLen, evaluate.evalWindows], [64, 2]);
  assertEquals([evaluate.tasks, evaluate.choiceTasks], [undefined, undefined]);
  const tasks = await options("evaluate ./m --task a=a.jsonl --no-choice");
  assertEquals([tasks.tasks, tasks.choiceTasks], [
    [{ name: "a", path: `${userFolder}/a.jsonl` }],
    false,
  ]);
});

const printed: readonly (readonly [args: string, value: unknown])[] = [
  ["prune", sampleReport],
  ["apply --plan p --out o", sampleReport],
  ["export --out o", sampleReport],
  ["evaluate", sampleEvaluation],
  ["compare", sampleComparison],
  ["inspect", sampleSummary],
  ["plan --stats s --save p", samplePlan],
  ["doctor", sampleDiagnosis],
];

/** A job that shows progress and notes before it is done. */
function talkative<Result>(result: Result): (options: JobOptions) => Promise<Result> {
  return (options) => {
    options.onProgress?.({ stage: "calibrate", done: 1, total: 2, unit: "tokens" });
    options.onEvent?.({ type: "note", message: "The text 'a' is short" });
    options.onEvent?.({ type: "evaluated", which: "dense", name: "wiki", perplexity: 12.345 });
    options.onProgress?.({ stage: "calibrate", done: 2, total: 2, unit: "tokens" });
    return Promise.resolve(result);
  };
}

for (const [args, value] of printed) {
  Deno.test(`gprune ${args} --json prints the report and nothing else`, async () => {
    const jobs = {
      prune: talkative(sampleResult),
      evaluate: talkative(sampleEvaluation),
      compare: talkative(sampleComparison),
    };
    const { code, out } = await run([...args.split(" "), "--json"], { jobs });
    assertEquals(code, 0);
    assertEquals(JSON.parse(out), JSON.parse(JSON.stringify(value)));
  });
}

Deno.test("gprune calibrate --json prints what is known without the sums", async () => {
  const { out } = await run(["calibrate", "--save", "s", "--json"]);
  const { schema, file, layers } = JSON.parse(out);
  assertEquals([schema, file, layers], ["gprune.statistics/1", "s", undefined]);
});

Deno.test("progress and notes go to standard error, and what the tables will show does not", async () => {
  const { err } = await run(["prune"], { jobs: { prune: talkative(sampleResult) } });
  assertEquals(err.split("\n"), [
    "Calibrating: 2 tokens",
    "Note: The text 'a' is short",
    "Calibrating: done, 2 tokens in 0:00",
    "",
  ]);
});

Deno.test("--quiet shows no progress and still the result", async () => {
  const jobs = { prune: talkative(sampleResult) };
  const { out, err } = await run(["prune", "--quiet"], { jobs });
  assertEquals(err, "");
  assertStringIncludes(out, "Written to  small");
});

Deno.test("a note is not shown twice on one screen", async () => {
  const [note] = sampleReport.notes;
  const jobs = {
    prune: (options: JobOptions) => {
      options.onEvent?.({ type: "note", message: note });
      return Promise.resolve(sampleResult);
    },
  };
  const start = note.slice(0, 30);
  const screen = { outputIsTerminal: true, errorIsTerminal: true };
  assert(!(await run(["prune"], { jobs, terminal: screen })).out.includes(start));
  assertStringIncludes((await run(["prune"], { jobs })).out, start);
});

Deno.test("gprune compare prints CSV and Markdown", async () => {
  const csv = (await run(["compare", "--csv"])).out;
  assertMatch(csv, /^method,metric,/);
  assertEquals(csv, comparisonCsv(sampleComparison));
  const markdown = (await run(["compare", "--markdown"])).out;
  assertMatch(markdown, /^\| sparsity \| method /);
  assertEquals(markdown, comparisonMarkdown(sampleComparison));
});

Deno.test("gprune without arguments prints its help", async () => {
  const { code, out, err } = await run([]);
  assertEquals([code, err], [0, ""]);
  for (const command of commands) assertMatch(out, new RegExp(`^  ${command} `, "m"));
});

Deno.test("gprune --help and every command's help draw the same", async (t) => {
  await t.assertSnapshot((await run(["--help"])).out);
  for (const command of commands) {
    const { code, out, err } = await run([command, "--help"]);
    assertEquals([code, err], [0, ""]);
    for (const line of out.split("\n")) assert(line.length <= 80, line);
    assertMatch(out, new RegExp(`^Examples?:\n(?:.*\n)*.*gprune ${command}`, "m"));
    assertEquals((await run(["help", command])).out, out);
  }
  await t.assertSnapshot((await run(["prune", "--help"])).out);
});

Deno.test("gprune --version prints the version of deno.json", async () => {
  const { default: config } = await import("../../deno.json", { with: { type: "json" } });
  assertEquals(await run(["--version"]).then(({ code, out }) => [code, out]), [
    0,
    `${config.version}\n`,
  ]);
});

Deno.test("gprune calibrate --shard takes one part; gprune merge takes the parts", async () => {
  const part = await run("calibrate ./m --samples 3 --shard 2/4 --save 2.part --resume".split(" "));
  assertEquals([part.code, part.job], [0, "calibratePart"]);
  assertEquals(part.options.shard, { index: 2, count: 4 });
  assertEquals([part.options.samples, part.options.resume], [3, true]);
  assertEquals(part.options.save, `${userFolder}/2.part`);
  assertStringIncludes(part.out, "1 of 2 units");
  const merge = await run("merge a.part /b.part --out m.stats --model ./m --force".split(" "));
  assertEquals([merge.code, merge.job], [0, "merge"]);
  assertEquals(merge.options.parts, [`${userFolder}/a.part`, "/b.part"]);
  assertEquals([merge.options.save, merge.options.force], [`${userFolder}/m.stats`, true]);
  assertEquals(merge.options.model, `${userFolder}/m`);
  for (const words of ["0/2", "3/2", "1", "1/", "a/b", "-1/2", "1/0", "1.5/2"]) {
    const { code, err } = await run(["calibrate", "./m", "--shard", words, "--save", "s"]);
    assertEquals(code, 2, words);
    assertStringIncludes(err, "parts count from 1");
  }
  assertEquals((await run(["merge", "--out", "s"])).code, 2);
  assertEquals((await run(["merge", "a.part"])).code, 2);
});
