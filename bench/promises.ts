/**
 * Whether the least promise that is not refused is kept: commands on small random models under `--memory`, in processes
 * of their own whose highest resident memory the kernel counts.
 *
 * ```sh
 * deno run -A bench/promises.ts                # all of them
 * deno run -A bench/promises.ts export narrow  # those whose names hold both words
 * ```
 * @module
 */
import { join } from "@std/path";
import { OptionError } from "../core/errors.ts";
import { calibrateJob, evaluateJob, exportJob } from "../core/session/jobs.ts";
import { prune } from "../core/session/prune.ts";
import { type RandomLlama, writeRandomLlama } from "./memory/model.ts";
import { watched } from "./memory/watched.ts";

const models: Readonly<Record<string, RandomLlama>> = {
  // Blocks so small that sessions convert their weights.
  deep: shapeOf(16, 256, 1024, 4096),
  // Blocks that are mapped; Gram matrices as large as they are.
  narrow: shapeOf(3, 768, 2048, 8192),
  // Blocks that take more than all else.
  wide: shapeOf(3, 2048, 5632, 8192),
  // An output head that takes more than all else.
  words: shapeOf(2, 1024, 2048, 64_000),
};

function shapeOf(
  layers: number,
  hidden: number,
  ffnWidth: number,
  vocabulary: number,
): RandomLlama {
  const heads = hidden / 64;
  return {
    layers,
    hidden,
    ffnWidth,
    headSize: 64,
    queryHeads: heads,
    keyValueHeads: heads / 4,
    vocabulary,
  };
}

const windows = { samples: 2, seqLen: 64 };
const texts = ["--samples", "2", "--seq-len", "64"];
const measured = ["--eval-windows", "2", "--no-choice"];

/** A command, as the library takes it and as the command line does. */
interface Case {
  readonly name: string;
  /** The models that it is tried on. */
  readonly on: readonly string[];
  readonly args: readonly string[];
  /** Starts the same on an engine that is not there: whether a promise can be kept is looked at before. */
  readonly start: (model: string, out: string, memory: number) => Promise<unknown>;
}

const nowhere = "nowhere" as never;

/** A cut while calibrating and evaluating. */
function pruning(name: string, on: readonly string[], options: Record<string, string>): Case {
  return {
    name: `prune ${name}`,
    on,
    args: [
      "prune",
      ...Object.entries(options).flatMap(([key, value]) =>
        value === "" ? [`--${key}`] : [`--${key}`, value]
      ),
      ...texts,
      ...measured,
    ],
    start: (model, out, memory) => {
      const self = "no-self" in options ? false : undefined;
      const words = options as Partial<Parameters<typeof prune>[0]>;
      return prune({ ...words, self, ...windows, model, out, memory, engine: nowhere });
    },
  };
}

function exporting(format: "hf" | "onnx" | "gguf", quantize: string, on: readonly string[]): Case {
  return {
    name: `export ${format} ${quantize}`,
    on,
    args: ["export", "--format", format, ...(quantize === "" ? [] : ["--quantize", quantize])],
    start: (model, out, memory) =>
      exportJob(
        {
          model,
          out,
          memory,
          engine: nowhere,
          formats: [format],
          quantize: quantize === "" ? undefined : [quantize],
        } as Parameters<typeof exportJob>[0],
      ),
  };
}

const cases: readonly Case[] = [
  {
    name: "calibrate",
    on: ["narrow", "deep"],
    args: ["calibrate", "--no-self", ...texts],
    start: (model, save, memory) =>
      calibrateJob({ ...windows, self: false, model, save, memory, engine: nowhere }),
  },
  {
    name: "evaluate",
    on: ["wide", "words", "deep"],
    args: ["evaluate", "--seq-len", "64", ...measured],
    start: (model, _, memory) => evaluateJob({ seqLen: 64, model, memory, engine: nowhere }),
  },
  pruning("wifv none", ["deep", "narrow", "wide", "words"], {
    metric: "wifv",
    refit: "none",
    "no-self": "",
  }),
  pruning("wifv none, self", ["narrow", "wide"], { metric: "wifv", refit: "none" }),
  pruning("obs lsq, block by block", ["narrow", "deep"], {
    metric: "obs",
    refit: "lsq",
    "no-self": "",
  }),
  pruning("obs lsq, damage learned", ["narrow"], { shape: "adaptive", "no-self": "" }),
  pruning("rms lsq", ["narrow"], { metric: "rms", refit: "lsq", "no-self": "" }),
  exporting("hf", "", ["wide"]),
  exporting("onnx", "none", ["wide"]),
  exporting("onnx", "q8", ["wide", "words"]),
  exporting("onnx", "q4", ["wide"]),
  exporting("gguf", "f16", ["wide"]),
  exporting("gguf", "q4_0", ["wide", "words"]),
];

async function isRefused(one: Case, model: string, out: string, memory: number): Promise<boolean> {
  try {
    await one.start(model, out, memory);
    return false;
  } catch (error) {
    return error instanceof OptionError && error.message.startsWith("Cannot keep to");
  }
}

/** The least promise that is not refused, to a megabyte. */
async function leastPromise(one: Case, model: string, out: string): Promise<number> {
  let [refused, kept] = [0, 4096];
  while (kept - refused > 1) {
    const middle = Math.floor((refused + kept) / 2);
    if (await isRefused(one, model, out, middle * 1e6)) refused = middle;
    else kept = middle;
  }
  return kept * 1e6;
}

const written = new Set<string>();
const base = await Deno.makeTempDir({ prefix: "gprune-promises-" });
try {
  for (const one of cases) {
    for (const name of one.on) {
      const title = `${one.name}, ${name}`;
      if (!Deno.args.every((word) => title.includes(word))) continue;
      const [model, out] = [join(base, name), join(base, "out")];
      if (!written.has(name)) await writeRandomLlama(model, models[name]);
      written.add(name);
      const promise = await leastPromise(one, model, out);
      const [command, ...options] = one.args;
      const target = command === "evaluate"
        ? []
        : [command === "calibrate" ? "--save" : "--out", out];
      const { peakBytes, seconds } = await watched([
        command,
        model,
        ...options,
        ...target,
        "--memory",
        `${promise / 1e6}MB`,
      ]);
      await Deno.remove(out, { recursive: true }).catch(() => undefined);
      const share = (100 * peakBytes / promise).toFixed(0);
      console.log(
        `| ${one.name} | ${name} | ${(promise / 1e6).toFixed(0)} MB | ${
          (peakBytes / 1e6).toFixed(0)
        } MB | ${share} % | ${seconds.toFixed(0)} s |`,
      );
    }
  }
} finally {
  await Deno.remove(base, { recursive: true });
}
