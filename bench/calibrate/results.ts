/**
 * What bench/calibrate.ts has measured, as a page.
 * @module
 */
import type { Counts } from "./counts.ts";

/** Seconds of one run, and of its parts. */
export interface PassTimes {
  /** In all. */
  readonly seconds: number;
  /** Of its parts; PyTorch has none. */
  readonly stages: Readonly<Record<string, number>>;
  /** Σ over channels of Σ x², for every layer and projection. */
  readonly energies: readonly number[];
  /** One number of every Gram matrix. */
  readonly firsts: readonly number[];
}

/** A pass with products in between, whose time is left out. */
export interface RatedPass extends PassTimes {
  /** Operations per second of the products. */
  readonly sgemm: number;
}

/** Seconds of a whole command, and of its parts. */
export type JobTimes = Pick<PassTimes, "seconds" | "stages">;

/** `sums`: Σ x and Σ x²; `gram`: Σ x xᵀ too. */
export type Mode = "sums" | "gram";

/** Everything measured. */
export interface Results {
  /** Calibration, and PyTorch beside it. */
  readonly passes: {
    readonly mode: Mode;
    readonly own: RatedPass;
    readonly torch: Readonly<Record<string, PassTimes>>;
  }[];
  /** Whole commands. */
  readonly jobs: { readonly mode: Mode; readonly job: JobTimes }[];
  /** PyTorch's product beside ONNX Runtime's: operations per second. */
  readonly torchSgemm: { readonly torch: number; readonly onnx: number }[];
  /** Processes that wanted the processor, at the start of each round. */
  readonly loads: number[];
  /** A command that makes the orders of `obs` too. */
  obs?: JobTimes;
  /** The greatest relative difference from PyTorch's sums. */
  difference?: number;
  /** The highest memory of processes that do nothing but passes, in bytes. */
  peaks: {
    readonly mode: Mode;
    readonly own: number;
    readonly float32?: number;
    readonly bfloat16?: number;
  }[];
}

/** Under which conditions. */
export interface Conditions {
  /** Multiply-adds. */
  readonly counts: Counts;
  /** Threads of all that is measured. */
  readonly threads: number;
  /** Of PyTorch and transformers. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** The middle of some numbers, and the quarter and three quarters of the way. */
function spread(values: readonly number[]): readonly [low: number, middle: number, high: number] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => {
    const place = share * (sorted.length - 1), below = Math.floor(place);
    const above = sorted[Math.ceil(place)];
    return sorted[below] + (place - below) * (above - sorted[below]);
  };
  return [at(0.25), at(0.5), at(0.75)];
}

function shown(values: readonly number[], digits: number, factor = 1): string {
  if (values.length === 0) return "–";
  const [low, middle, high] = spread(values.map((value) => factor * value))
    .map((value) => value.toFixed(digits));
  return `${middle} (${low}–${high})`;
}

/** Operations that a pass needs, Gram matrices counted by halves or in full. */
function operations(counts: Counts, mode: Mode, gram: "gramHalf" | "gramFull"): number {
  const { projections, attention, moments } = counts;
  return 2 * (projections + attention + moments + (mode === "gram" ? counts[gram] : 0));
}

/** What part of the product's rate a run has. */
function shares(
  runs: readonly { readonly seconds: number; readonly sgemm: number }[],
  needed: number,
): readonly number[] {
  return runs.map(({ seconds, sgemm }) => needed / seconds / sgemm);
}

const modes: readonly Mode[] = ["sums", "gram"];
const name: Readonly<Record<Mode, string>> = { sums: "Σx, Σx²", gram: "Σx, Σx², Σxxᵀ" };

function passTable({ passes }: Results, { counts }: Conditions): string {
  const rows = modes.map((mode) => {
    const own = passes.filter((pass) => pass.mode === mode);
    const runs = own.map(({ own }) => own);
    const unwritten = own.map(({ own }) => ({
      seconds: own.seconds - own.stages.write,
      sgemm: own.sgemm,
    }));
    const faster = (dataType: string) =>
      shown(
        own.filter(({ torch }) => torch[dataType] !== undefined)
          .map(({ own, torch }) => torch[dataType].seconds / own.seconds),
        2,
      );
    return [
      name[mode],
      shown(own.map(({ own }) => counts.tokens / own.seconds), 0),
      shown(shares(runs, operations(counts, mode, "gramHalf")), 0, 100),
      shown(shares(unwritten, operations(counts, mode, "gramHalf")), 0, 100),
      shown(shares(unwritten, operations(counts, mode, "gramFull")), 0, 100),
      faster("float32"),
      faster("bfloat16"),
    ];
  });
  return [
    "| statistics | tokens/s | % of sgemm, half Gram | the same, before writing | before writing, full Gram | times PyTorch float32 | times PyTorch bfloat16 |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...rows.map((row) => `| ${row.join(" | ")} |`),
  ].join("\n");
}

function peakTable({ peaks }: Results): string {
  const megabytes = (bytes?: number) => bytes === undefined ? "–" : (bytes / 1e6).toFixed(0);
  const part = (own: number, other?: number) =>
    other === undefined ? "–" : (own / other).toFixed(2);
  return [
    "| statistics | gprune, MB | PyTorch float32, MB | part | PyTorch bfloat16, MB | part |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...peaks.map(({ mode, own, float32, bfloat16 }) =>
      `| ${
        [
          name[mode],
          megabytes(own),
          megabytes(float32),
          part(own, float32),
          megabytes(bfloat16),
          part(own, bfloat16),
        ].join(" | ")
      } |`
    ),
  ].join("\n");
}

const stageNames: Readonly<Record<string, string>> = {
  tokenise: "tokenising",
  embed: "embedding",
  weights: "reading and widening weights",
  blocks: "blocks, with their sums",
  score: "orders of `obs`",
  write: "writing",
  plan: "scoring, sorting: a plan",
};

function stageTable({ jobs, obs }: Results, { counts }: Conditions): string {
  const stages = Object.keys(stageNames);
  const percent = (job: JobTimes, stage: string) => 100 * job.stages[stage] / job.seconds;
  const rest = (job: JobTimes) => 100 - stages.reduce((sum, stage) => sum + percent(job, stage), 0);
  const of = (mode: Mode) => jobs.filter((job) => job.mode === mode).map(({ job }) => job);
  const line = (title: string, value: (job: JobTimes) => number) =>
    `| ${title} | ${shown(of("sums").map(value), 1)} | ${shown(of("gram").map(value), 1)} | ${
      obs === undefined ? "–" : value(obs).toFixed(1)
    } |`;
  const few = (job: JobTimes) =>
    ["tokenise", "score", "write", "plan"].reduce((sum, stage) => sum + percent(job, stage), 0);
  const seconds = (job: JobTimes) => few(job) / 100 * job.seconds;
  // What these stages take does not grow with the tokens; what they are held against does.
  const enough = (job: JobTimes) =>
    0.95 * (seconds(job) / 0.05) / job.stages.blocks * counts.tokens;
  return [
    `| % of the command's time | ${name.sums} | ${name.gram} | with orders of \`obs\` |`,
    "| --- | ---: | ---: | ---: |",
    ...stages.map((stage) => line(stageNames[stage], (job) => percent(job, stage))),
    line("all else: norms of weights, balancing, opening", rest),
    line("**tokenising, scoring, sorting and writing**", few),
    line("tokens from which on these are under 5 %, in thousands", (job) => enough(job) / 1000),
    line("seconds", ({ seconds }) => seconds),
  ].join("\n");
}

async function processor(): Promise<string> {
  const text = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  return /model name\s*: (.*)/.exec(text)?.[1] ?? Deno.build.arch;
}

async function commit(): Promise<string> {
  const git = new Deno.Command("git", { args: ["rev-parse", "--short", "HEAD"] });
  return new TextDecoder().decode((await git.output()).stdout).trim();
}

/**
 * Writes the page.
 *
 * @param path Where to
 * @param results What was measured
 * @param conditions Under which conditions
 */
export async function writeResults(
  path: string,
  results: Results,
  conditions: Conditions,
): Promise<void> {
  const { counts, threads, versions } = conditions;
  const giga = (count: number) => (count / 1e9).toFixed(1);
  const sgemm = results.passes.map(({ own }) => own.sgemm / 1e9);
  const torch = results.torchSgemm.map(({ torch, onnx }) => torch / onnx);
  const text = `# Speed of calibration

Written by \`deno run -A bench/calibrate.ts\` on ${
    new Date().toISOString().slice(0, 10)
  }, commit ${await commit()}, on ${await processor()} with ${threads} of ${navigator.hardwareConcurrency} threads; Deno ${Deno.version.deno}, ONNX Runtime 1.30.0${
    versions === undefined
      ? ""
      : `, PyTorch ${versions.torch}, transformers ${versions.transformers}`
  }. ${results.loads.length} rounds; processes that wanted the processor at their starts: ${
    results.loads.map((load) => load.toFixed(1)).join(", ")
  } (this bench is one of them). Medians, and in brackets the quarter and three quarters of the way.

The model has the shape of the popular ones of 135 M parameters (30 layers, 576 wide, 9 query and 3 key/value heads of 64
channels, 1,536 FFN neurons), bf16, random weights from a seed. ${counts.tokens} tokens: 4 windows of 512, in one batch.

## Against the processor, and against PyTorch

A pass goes from tokens to sums, reads and widens the weights of every block on its way, and writes each finished layer to
a folder, as \`gprune calibrate\` does. Most of the writing happens while the next layers are summed: what counts as writing
here is what the pass waits for, checksums among it. Its operations are held against a product of two matrices of 2,048 × 2,048 in ONNX
Runtime, the library that the engine uses, on the same threads, after every third block: ${
    shown(sgemm, 0)
  } GFLOP/s in these rounds.${
    torch.length === 0 ? "" : ` PyTorch's own product comes to ${shown(torch, 2)} of that.`
  } PyTorch (model without head loaded beforehand, all Gram matrices in memory, nothing written) has hooks on \`down_proj\` and \`o_proj\`, and float32 sums; with a model in bfloat16 its sums
are those of rounded activations, not the same ones.

${passTable(results, conditions)}

What is counted, in thousands of millions of multiply-adds: projections ${
    giga(counts.projections)
  }, attention ${giga(counts.attention)} (each token over those it may look at), Σx and Σx² ${
    giga(counts.moments)
  }, Gram matrices ${giga(counts.gramHalf)} (a half: they are symmetric; in full ${
    giga(counts.gramFull)
  }). Output head: none.${
    results.difference === undefined
      ? ""
      : ` The sums differ from PyTorch's (float32) by ${
        results.difference.toExponential(1)
      } at most, relatively.`
  }

## Peak memory of a process that does one pass

${peakTable(results)}

## The whole command

From the text to the file of statistics, and a plan by Wanda-sp from it: \`gprune calibrate\` with three windows summed and one
kept back, 4 × 512 tokens in all.

${stageTable(results, conditions)}
`;
  await Deno.writeTextFile(path, text);
}
