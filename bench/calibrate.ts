/**
 * How fast calibration is on the processor, held against what the processor can do and against the same sums gathered
 * with PyTorch hooks: a model of 135 M parameters' shape (30 layers, 576 wide, 9 query and 3 key/value heads of 64
 * channels, 1,536 FFN neurons), bf16, random weights from a seed, on 4 windows of 512 tokens. Writes bench/CALIBRATE.md.
 *
 *     deno run -A bench/calibrate.ts [--rounds N] [--threads N] [--python PATH] [--no-obs] [--out FILE]
 *
 * Rounds of all measurements follow each other, and a plain matrix product of ONNX Runtime (the library that the engine
 * uses) runs after every third block: what is reported are medians of ratios of neighbours, since other work on the
 * machine slows both. PATH is a Python with torch and transformers; without one, that part is left out.
 * @module
 */
import { parseArgs } from "node:util";
import { Child } from "./calibrate/child.ts";
import { counts } from "./calibrate/counts.ts";
import {
  type JobTimes,
  type PassTimes,
  type RatedPass,
  type Results,
  writeResults,
} from "./calibrate/results.ts";
import { shape135M, writeRandomModel } from "./random_model.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    threads: { type: "string", default: String(navigator.hardwareConcurrency) },
    python: { type: "string", default: "python3" },
    "no-obs": { type: "boolean", default: false },
    out: { type: "string", default: "bench/CALIBRATE.md" },
  },
});
const ROUNDS = Number(flags.rounds);
const WINDOWS = 4;
const LENGTH = 512;

const folder = await Deno.makeTempDir({ prefix: "gprune-calibrate-" });
const paths = {
  model: `${folder}/model`,
  tokens: `${folder}/tokens.json`,
  text: `${folder}/text.txt`,
};

/** Tokens from a seed, and a text of as many windows in the tokenizer's own tokens. */
async function prepare(): Promise<void> {
  await writeRandomModel(paths.model, shape135M);
  let state = 12345;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  const windows = Array.from(
    { length: WINDOWS },
    () => Array.from({ length: LENGTH }, () => next() % shape135M.vocabularySize),
  );
  await Deno.writeTextFile(paths.tokens, JSON.stringify(windows));
  const source = await Deno.readTextFile(new URL("../README.md", import.meta.url));
  const { openModel } = await import("../core/model/open.ts");
  const tokenizer = await (await openModel(paths.model)).tokenizer();
  // A little more text than four windows, so that exactly four come of it.
  const perCharacter = tokenizer.encode(source).length / source.length;
  const characters = Math.ceil((WINDOWS + 0.5) * LENGTH / perCharacter);
  await Deno.writeTextFile(
    paths.text,
    source.repeat(Math.ceil(characters / source.length)).slice(0, characters),
  );
}

function openWorker(): Child {
  const script = new URL("calibrate_worker.ts", import.meta.url).pathname;
  const own = ["run", "-A", script, paths.model, paths.tokens, paths.text, flags.threads, folder];
  return new Child(Deno.execPath(), own);
}

async function openReference(dataType: "float32" | "bfloat16"): Promise<Child | undefined> {
  const script = new URL("calibrate_reference.py", import.meta.url).pathname;
  const own = [script, paths.model, paths.tokens, flags.threads, dataType];
  try {
    const child = new Child(flags.python, own, { OMP_NUM_THREADS: flags.threads });
    versions = await child.read<Readonly<Record<string, string>>>(dataType);
    return child;
  } catch (error) {
    console.warn(`Without PyTorch (${dataType}): ${(error as Error).message}`);
  }
}

let versions: Readonly<Record<string, string>> | undefined;
const modes = ["sums", "gram"] as const;
type Mode = typeof modes[number];

/** The highest memory of a process that does nothing but one pass. */
async function peakOf(child: Child | undefined, mode: Mode): Promise<number | undefined> {
  if (child === undefined) return undefined;
  await child.ask<PassTimes>(`pass ${mode}`);
  const { bytes } = await child.ask<{ readonly bytes: number }>("peak");
  await child.close();
  return bytes;
}

/** The greatest difference of two lists of numbers, relative to a third. */
function difference(a: readonly number[], b: readonly number[], scale: readonly number[]): number {
  return Math.max(...a.map((value, at) => Math.abs(value - b[at]) / scale[at]));
}

/** The greatest difference from PyTorch's sums in float32. */
function compare(results: Results): void {
  const last = results.passes.findLast(({ mode, torch }) => mode === "gram" && torch.float32);
  if (last !== undefined) {
    const { own, torch: { float32 } } = last;
    const { energies, firsts } = float32;
    results.difference = Math.max(
      difference(own.energies, energies, energies),
      difference(own.firsts, firsts, energies.map((energy) => energy / shape135M.ffnWidth)),
    );
  }
}

async function measure(onRound: (results: Results) => Promise<void>): Promise<void> {
  const results: Results = { passes: [], jobs: [], torchSgemm: [], loads: [], peaks: [] };
  for (const mode of modes) {
    results.peaks.push({
      mode,
      own: (await peakOf(openWorker(), mode))!,
      float32: await peakOf(await openReference("float32"), mode),
      bfloat16: await peakOf(await openReference("bfloat16"), mode),
    });
  }
  const worker = openWorker();
  const references = {
    float32: await openReference("float32"),
    bfloat16: await openReference("bfloat16"),
  };
  for (const mode of modes) await worker.ask(`pass ${mode}`);
  for (let round = 0; round < ROUNDS; round++) {
    results.loads.push(Deno.loadavg()[0]);
    for (const mode of modes) {
      const own = await worker.ask<RatedPass>(`rated ${mode}`);
      const torch: Record<string, PassTimes> = {};
      for (const [dataType, child] of Object.entries(references)) {
        if (child !== undefined) torch[dataType] = await child.ask<PassTimes>(`pass ${mode}`);
      }
      results.passes.push({ mode, own, torch });
      results.jobs.push({ mode, job: await worker.ask<JobTimes>(`job ${mode}`) });
    }
    const torch = await references.float32?.ask<{ readonly flops: number }>("sgemm 2048");
    if (torch !== undefined) {
      results.torchSgemm.push({ torch: torch.flops, onnx: results.passes.at(-1)!.own.sgemm });
    }
    compare(results);
    await onRound(results);
    console.log(`round ${round + 1} of ${ROUNDS}, load ${results.loads.at(-1)!.toFixed(1)}`);
  }
  if (!flags["no-obs"]) {
    results.obs = await worker.ask<JobTimes>("job obs");
    await onRound(results);
  }
  await worker.close();
  for (const child of Object.values(references)) await child?.close();
}

try {
  await prepare();
  // After every round, so that a run that is cut off leaves what it has.
  await measure((results) =>
    writeResults(flags.out, results, {
      counts: counts(shape135M, WINDOWS, LENGTH),
      threads: Number(flags.threads),
      versions,
    })
  );
} finally {
  await Deno.remove(folder, { recursive: true });
}
