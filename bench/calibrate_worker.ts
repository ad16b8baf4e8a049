/**
 * Calibration in a process of its own, so that its peak of memory is its own. Takes orders from bench/calibrate.ts line by
 * line and answers each with a line of JSON:
 *
 * - `pass sums|gram`: the windows as one domain, none kept back, through all blocks; finished layers go to a folder, as
 *   `gprune calibrate` does it
 * - `rated sums|gram`: the same, with plain products in between, whose time is left out and whose rate is told
 * - `job sums|gram|obs`: all that the command does, from the text to the written statistics, and a plan from them
 * - `peak`: the highest resident memory so far
 *
 *     deno run -A bench/calibrate_worker.ts MODEL TOKENS.json TEXT THREADS FOLDER
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { collect } from "../core/calibrate/collect.ts";
import type { DomainWindows } from "../core/calibrate/types.ts";
import { ordinaryLimits } from "../core/engine/memory.ts";
import { openOnnxEngine } from "../core/engine/onnx.ts";
import type { Engine } from "../core/engine/types.ts";
import { openModel } from "../core/model/open.ts";
import type { MemoryTensor } from "../core/model/types.ts";
import { STRUCTURES } from "../core/model/units.ts";
import { makePlan } from "../core/plan/make_plan.ts";
import { resolveRequest } from "../core/plan/request.ts";
import { blankStatistics, calibrateWith } from "../core/session/calibrate.ts";
import { placeStatistics } from "../core/session/jobs.ts";
import { Journal } from "../core/session/resume/journal.ts";
import { KeptCalibration } from "../core/session/resume/kept_calibration.ts";
import { MemoryPeak, Stopwatch } from "../core/session/setup.ts";
import { type Domain, domainOf } from "../core/text/domains.ts";
import { windowsOf } from "../core/text/texts.ts";
import { openSgemm, type Sgemm } from "./calibrate/sgemm.ts";

/** Parts of a run that are timed by themselves. */
type Stage = "tokenise" | "embed" | "weights" | "blocks" | "score" | "write" | "plan";
const STAGES: readonly Stage[] = [
  "tokenise",
  "embed",
  "weights",
  "blocks",
  "score",
  "write",
  "plan",
];
type Mode = "sums" | "gram" | "obs";

const [modelPath, tokensPath, textPath, threads, folder] = Deno.args;
const model = await openModel(modelPath);
const windows = (JSON.parse(await Deno.readTextFile(tokensPath)) as number[][])
  .map((window) => Int32Array.from(window));
const engine = await openOnnxEngine({ threads: Number(threads) });
const peak = new MemoryPeak();

/** The engine, with its work timed. */
function timed(watch: Stopwatch<Stage>): Engine {
  return {
    ...engine,
    openEmbedding: async (model) => {
      const embedding = await watch.time("embed", () => engine.openEmbedding(model));
      return {
        ...embedding,
        lookup: (...inputs) => watch.time("embed", () => embedding.lookup(...inputs)),
      };
    },
    openBlock: async (specification) => {
      const block = await watch.time("weights", () => engine.openBlock(specification));
      return {
        ...block,
        run: (...inputs) => watch.time("blocks", () => block.run(...inputs)),
        close: () => watch.time("weights", () => block.close()),
      };
    },
  };
}

/** A place for finished layers in a folder. */
async function keeper(windows: readonly DomainWindows[], gram: boolean): Promise<KeptCalibration> {
  const journal = await Journal.open(`${folder}/layers`, { conditions: [] });
  const kept = new KeptCalibration(
    journal,
    model.architecture.layers.length,
    ordinaryLimits.gramBytes,
  );
  const request = resolveRequest({ method: "wanda-sp" }, model.architecture.layers);
  const [{ length: seqLen }] = windows[0].calibration;
  const parts = { model, request, seqLen, seed: 0, windows, texts: [{ name: "text", sha256: "" }] };
  if (gram) await kept.layOut(blankStatistics(parts));
  return kept;
}

const { writeLayer, keepGram, during } = KeptCalibration.prototype;

/** Times how long a calibration waits for its layers to be written: most of that happens while it goes on. */
function timeWriting(watch: Stopwatch<Stage>): void {
  const { prototype } = KeptCalibration;
  prototype.writeLayer = function (...given) {
    return watch.time("write", () => writeLayer.apply(this, given));
  };
  prototype.keepGram = function (...given) {
    return watch.time("write", () => keepGram.apply(this, given));
  };
  prototype.during = async function <T>(this: KeptCalibration, work: () => Promise<T>) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const whole = during.call(this, () => work().finally(resolve)) as Promise<T>;
    await promise;
    return await watch.time("write", () => whole);
  };
}

/** Blocks between two products. */
const EVERY = 3;

async function pass(mode: Mode, sgemm?: Sgemm): Promise<Readonly<Record<string, unknown>>> {
  const watch = new Stopwatch<Stage>();
  timeWriting(watch);
  const energies: number[] = [];
  const firsts: number[] = [];
  const domains = [{ name: "text", calibration: windows, heldOut: [] }];
  const kept = await keeper(domains, mode === "gram");
  const start = performance.now();
  await kept.during(() =>
    collect(timed(watch), model, domains, {
      gram: mode === "gram",
      onGram: (place, gram) => kept.keepGram(place, gram),
      onLayer: async (layer, statistics) => {
        for (const structure of STRUCTURES) {
          const [{ sumOfSquares, gram }] = statistics[structure].domains;
          energies.push(sumOfSquares.reduce((a, b) => a + b, 0));
          if (gram !== undefined) firsts.push((gram as MemoryTensor).data[1]);
        }
        const result = await kept.writeLayer(layer, statistics);
        if (layer % EVERY === 0) await sgemm?.run();
        return result;
      },
    })
  );
  const times = timesOf(watch, start);
  const seconds = times.seconds - (sgemm?.seconds() ?? 0);
  return { ...times, seconds, sgemm: sgemm?.rate(), energies, firsts };
}

/** `obs` is gprune's, which compares texts: it gets the same tokens as two. */
function halves({ text }: Domain): readonly Domain[] {
  const middle = Math.floor(text.length / 2);
  return [domainOf("first", text.slice(0, middle)), domainOf("second", text.slice(middle))];
}

async function job(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const watch = new Stopwatch<Stage>();
  timeWriting(watch);
  const start = performance.now();
  const own = await openModel(modelPath);
  const domain = domainOf("text", await Deno.readTextFile(textPath));
  // Once more, to know what it takes: the calibration tokenises by itself.
  const before = performance.now();
  const { length } = windows[0];
  await watch.time("tokenise", () => windowsOf(own, domain, length));
  const twice = performance.now() - before;
  let scored = 0;
  let begun: number | undefined;
  let scoreSeconds = 0;
  const statistics = await calibrateWith(
    timed(watch),
    own,
    mode === "obs" ? halves(domain) : [domain],
    {
      samples: mode === "obs" ? windows.length / 2 : windows.length,
      seqLen: length,
      self: false,
      request: { method: mode === "obs" ? "gprune" : "wanda-sp", shape: "uniform" },
      gram: mode !== "sums",
      workFolder: `${folder}/work`,
      onProgress: ({ stage, done }) => {
        if (stage !== "score") return;
        // Told when a layer's orders are begun, and when they are finished.
        const now = performance.now();
        if (begun === undefined) begun = now;
        else {
          scoreSeconds += (now - begun) / 1000;
          begun = undefined;
        }
        scored = done;
      },
    },
  );
  const file = `${folder}/statistics`;
  await watch.time("write", () => placeStatistics(statistics, file, `${folder}/work`));
  // Matrices lie in the file now; a plan by Wanda-sp looks at none.
  await watch.time("plan", () => makePlan(own, statistics, { method: "wanda-sp" }));
  const times = timesOf(watch, start);
  const stages = { ...times.stages, score: scoreSeconds };
  return { ...times, stages, seconds: times.seconds - twice / 1000, scored };
}

function timesOf(watch: Stopwatch<Stage>, start: number) {
  return {
    seconds: (performance.now() - start) / 1000,
    stages: Object.fromEntries(STAGES.map((stage) => [stage, watch.seconds(stage)])),
  };
}

let sgemm: Sgemm | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const [order, mode] = line.split(" ") as [string, Mode];
  const answer = order === "pass"
    ? await pass(mode)
    : order === "rated"
    ? await pass(mode, sgemm ??= await openSgemm(Number(threads)))
    : order === "job"
    ? await job(mode)
    : { bytes: peak.bytes };
  console.log(JSON.stringify(answer));
}
await engine.close();
