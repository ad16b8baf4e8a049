/**
 * Whether `--memory` is kept: a random model of 3 B parameters and one of twice its depth, pruned and exported in
 * processes of their own whose highest resident memory the kernel counts.
 *
 * ```sh
 * deno run -A bench/memory.ts                     # 3 B and 6 B parameters, 3 GB: some 40 GB of disk for a while
 * deno run -A bench/memory.ts --size small --memory 700MB --out /tmp/memory.md
 * deno run -A bench/memory.ts --layers 2 --depths 1 --samples 4 --seq-len 128 --options= --exports= --out /tmp/memory.md
 * ```
 * @module
 */
import { parseArgs } from "node:util";
import { join } from "@std/path";
import { parametersOf, type RandomLlama, writeRandomLlama } from "./memory/model.ts";
import { watched } from "./memory/watched.ts";

const { values: flags } = parseArgs({
  options: {
    size: { type: "string", default: "large" },
    memory: { type: "string", default: "3GB" },
    // In place of the layers that the size has.
    layers: { type: "string" },
    depths: { type: "string", default: "1,2" },
    samples: { type: "string", default: "4" },
    "seq-len": { type: "string", default: "64" },
    "eval-windows": { type: "string", default: "1" },
    options: { type: "string", default: "--metric wifv --refit none" },
    exports: { type: "string", default: "onnx:q8,gguf:q4_0" },
    out: { type: "string", default: "bench/MEMORY.md" },
    folder: { type: "string" },
  },
});

const shapes: Readonly<Record<string, RandomLlama>> = {
  large: {
    layers: 28,
    hidden: 3072,
    ffnWidth: 8192,
    headSize: 128,
    queryHeads: 24,
    keyValueHeads: 8,
    vocabulary: 32_000,
  },
  small: {
    layers: 8,
    hidden: 1536,
    ffnWidth: 4096,
    headSize: 96,
    queryHeads: 16,
    keyValueHeads: 4,
    vocabulary: 32_000,
  },
};

/** What one command took. */
interface Measured {
  readonly command: string;
  readonly parameters: number;
  readonly layers: number;
  readonly peakBytes: number;
  readonly reportedBytes: number;
  readonly seconds: number;
}

async function measureDepth(base: string, shape: RandomLlama): Promise<readonly Measured[]> {
  const [model, pruned] = [join(base, "dense"), join(base, "pruned")];
  const results: Measured[] = [];
  const add = async (name: string, args: readonly string[]) => {
    const measured = await watched([...args, "--memory", flags.memory, "--json"]);
    const result = {
      ...measured,
      reportedBytes: JSON.parse(measured.output).peakMemoryBytes,
      command: name,
      layers: shape.layers,
      parameters: parametersOf(shape),
    };
    console.log(line(result));
    results.push(result);
  };
  try {
    console.log(`Writing ${shape.layers} layers`);
    await writeRandomLlama(model, shape);
    await add("prune", [
      "prune",
      model,
      ...flags.options.split(" ").filter((word) => word !== ""),
      "--samples",
      flags.samples,
      "--seq-len",
      flags["seq-len"],
      "--eval-windows",
      flags["eval-windows"],
      "--no-choice",
      "--out",
      pruned,
    ]);
    for (const target of flags.exports.split(",").filter((word) => word !== "")) {
      const [format, quantize] = target.split(":");
      const out = join(base, "exported");
      const options = ["--format", format, "--quantize", quantize, "--out", out];
      await add(`export ${format} ${quantize}`, ["export", pruned, ...options]);
      await Deno.remove(out, { recursive: true });
    }
    return results;
  } finally {
    await Deno.remove(base, { recursive: true }).catch(() => undefined);
  }
}

function line({ command, parameters, layers, peakBytes, reportedBytes, seconds }: Measured) {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  return `| ${command} | ${(parameters / 1e9).toFixed(2)} B | ${layers} | ${
    megabytes(peakBytes)
  } | ${megabytes(reportedBytes)} | ${(seconds / 60).toFixed(1)} min |`;
}

const base = flags.folder ?? await Deno.makeTempDir({ prefix: "gprune-memory-" });
const results: Measured[] = [];
for (const times of flags.depths.split(",").map(Number)) {
  const shape = shapes[flags.size];
  const layers = times * Number(flags.layers ?? shape.layers);
  results.push(...await measureDepth(join(base, `x${times}`), { ...shape, layers }));
}
await Deno.remove(base, { recursive: true }).catch(() => undefined);
const { hidden, ffnWidth, queryHeads, keyValueHeads, headSize, vocabulary } = shapes[flags.size];
const text = `# Memory

\`--memory ${flags.memory}\` on random Llama-like models in bf16, several files each: ${hidden} wide, FFN ${ffnWidth},
${queryHeads} query and ${keyValueHeads} key/value heads of ${headSize}, vocabulary ${vocabulary}, output head of its own. The peak is the kernel's
\`VmHWM\` of the process (mapped pages of weight files are part of it), looked at from outside every 100 ms; beside it
what the report says. \`prune ${flags.options} --samples ${flags.samples} --seq-len ${
  flags["seq-len"]
} --eval-windows ${flags["eval-windows"]} --no-choice\` calibrates on
the embedded texts (and \`self\` unless it is left out), plans, cuts 30 %, evaluates dense and pruned, and writes \`hf\`; exports are of the pruned
model. ${navigator.hardwareConcurrency} cores, ${Deno.build.os} ${Deno.build.arch}, ${
  new Date().toISOString().slice(0, 10)
}.

| command | parameters | layers | peak, kernel | peak, report | time |
| --- | ---: | ---: | ---: | ---: | ---: |
${results.map(line).join("\n")}
`;
await Deno.writeTextFile(flags.out, text);
