/**
 * How much faster a decoder file gets when half of what can be pruned is gone, at the shape of a model of 135 M
 * parameters (30 layers, 576 wide, 9 query and 3 key/value heads of 64 channels, 1,536 FFN neurons, 49,152 tokens).
 * Weights are random: speed does not depend on them. Writes bench/SPEED.md.
 *
 *     deno run -A bench/speed.ts [--rounds N] [--threads N] [--layers N] [--only q8,q4] [--no-widths]
 *
 * Dense and pruned files run in turn in one process, and what is reported is the median of the ratios of neighbours:
 * other work on the machine slows both.
 * @module
 */
import { parseArgs } from "node:util";
import { llamaConfig, llamaTensors } from "./llama_layout.ts";
import { type Decoder, openDecoder } from "../core/engine/decoder.ts";
import { onnxFiles, type OnnxQuantization } from "../core/export/onnx/names.ts";
import { exportOnnx } from "../core/export/onnx/write.ts";
import { encode, numberCount } from "../core/model/number_formats.ts";
import { openModel } from "../core/model/open.ts";
import { type TensorEntry, writeSafetensors } from "../core/model/safetensors_writer.ts";
import type { LayerShape } from "../core/model/types.ts";
import { median } from "./median.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    threads: { type: "string", default: String(navigator.hardwareConcurrency) },
    layers: { type: "string", default: "30" },
    only: { type: "string", default: "none,q8,q4" },
    "no-widths": { type: "boolean", default: false },
    out: { type: "string", default: "bench/SPEED.md" },
  },
});
const ROUNDS = Number(flags.rounds);
const LAYERS = Number(flags.layers);
const THREADS = Number(flags.threads);
const HIDDEN = 576;
const HEAD = 64;
const VOCABULARY = 49_152;
const PROMPT = 512;
const GROWN = 16;

const dense: LayerShape = { ffnWidth: 1536, keyValueHeads: 3, queryHeads: 9 };

/** Half of the prunable parameters, by FFN neurons alone and by both kinds of unit. */
const halves: Readonly<Record<string, LayerShape>> = {
  "FFN 512, 3 KV heads": { ...dense, ffnWidth: 512 },
  "FFN 672, 2 KV heads": { ffnWidth: 672, keyValueHeads: 2, queryHeads: 6 },
  "FFN 864, 1 KV head": { ffnWidth: 864, keyValueHeads: 1, queryHeads: 3 },
};

/** Widths near 683, which a cut by half with 2 of 3 KV heads comes to: odd, and multiples of 8, 16, 32, 64. */
const widths = [683, 680, 688, 672, 704];

/** Numbers that repeat: making new ones would take longer than everything else. */
const repeated = Float32Array.from({ length: 1 << 16 }, (_, at) => 0.04 * Math.sin(at * at));

function* filled(count: number): Generator<Uint8Array> {
  for (let done = 0; done < count; done += repeated.length) {
    yield encode(repeated.subarray(0, Math.min(repeated.length, count - done)), "BF16");
  }
}

async function writeModel(folder: string, shape: LayerShape): Promise<void> {
  const sizes = {
    ...shape,
    hiddenSize: HIDDEN,
    headSize: HEAD,
    layers: LAYERS,
    vocabularySize: VOCABULARY,
  };
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(
    `${folder}/config.json`,
    JSON.stringify(llamaConfig(sizes, true)),
  );
  const entries = llamaTensors(sizes, true).map(({ name, shape }): TensorEntry => ({
    name,
    dataType: "BF16",
    shape,
    bytes: () => filled(numberCount(shape)),
  }));
  await writeSafetensors(`${folder}/model.safetensors`, entries);
}

/** Multiply-adds of a prompt: projections, output head, and attention over half of the prompt on average. */
function multiplyAdds({ ffnWidth, keyValueHeads, queryHeads }: LayerShape): number {
  const projections = HIDDEN * (2 * HEAD * (queryHeads + keyValueHeads) + 3 * ffnWidth);
  const attention = 2 * queryHeads * HEAD * (PROMPT + 1) / 2;
  return PROMPT * (LAYERS * (projections + attention) + HIDDEN * VOCABULARY);
}

interface OpenFile {
  readonly decoder: Decoder;
  readonly bytes: number;
}

async function exported(shape: LayerShape, quantize: OnnxQuantization): Promise<OpenFile> {
  const folder = await Deno.makeTempDir({ prefix: "gprune-speed-" });
  try {
    await writeModel(folder, shape);
    const model = await openModel(folder);
    await exportOnnx(model, folder, { quantize });
    const path = `${folder}/${onnxFiles[quantize]}`;
    const { size } = await Deno.stat(path);
    return {
      decoder: await openDecoder(path, { vocabularySize: VOCABULARY, threads: THREADS }),
      bytes: size,
    };
  } finally {
    // The session has read and rearranged what it needs.
    await Deno.remove(folder, { recursive: true });
  }
}

const prompt = Int32Array.from({ length: PROMPT }, (_, at) => (at * 31) % VOCABULARY);
const logits = new Float32Array(PROMPT * VOCABULARY);

async function timed({ decoder }: OpenFile): Promise<{ prefill: number; decode: number }> {
  const start = performance.now();
  let { cache } = await decoder.run(prompt, 1, undefined, logits);
  const middle = performance.now();
  for (let step = 0; step < GROWN; step++) {
    cache = (await decoder.run(Int32Array.of(prompt[step]), 1, cache)).cache;
  }
  return { prefill: middle - start, decode: performance.now() - middle };
}

interface Row {
  readonly quantize: string;
  readonly name: string;
  readonly bytes: readonly [dense: number, pruned: number];
  /** Tokens per second. */
  readonly prefill: readonly [dense: number, pruned: number];
  readonly decode: readonly [dense: number, pruned: number];
  readonly speedUp: { readonly prefill: number; readonly decode: number };
  readonly promised: number;
}

async function measure(
  before: OpenFile,
  quantize: OnnxQuantization,
  name: string,
  shape: LayerShape,
): Promise<Row> {
  const after = await exported(shape, quantize);
  const pairs: { dense: { prefill: number; decode: number }; pruned: typeof pairs[0]["dense"] }[] =
    [];
  await timed(before);
  await timed(after);
  for (let round = 0; round < ROUNDS; round++) {
    pairs.push({ dense: await timed(before), pruned: await timed(after) });
  }
  await after.decoder.close();
  const ratio = (of: "prefill" | "decode") =>
    median(pairs.map(({ dense, pruned }) => dense[of] / pruned[of]));
  const rate = (which: "dense" | "pruned", of: "prefill" | "decode", tokens: number) =>
    1000 * tokens / median(pairs.map((pair) => pair[which][of]));
  const row: Row = {
    quantize,
    name,
    bytes: [before.bytes, after.bytes],
    prefill: [rate("dense", "prefill", PROMPT), rate("pruned", "prefill", PROMPT)],
    decode: [rate("dense", "decode", GROWN), rate("pruned", "decode", GROWN)],
    speedUp: { prefill: ratio("prefill"), decode: ratio("decode") },
    promised: multiplyAdds(dense) / multiplyAdds(shape),
  };
  console.log(
    quantize.padEnd(5),
    name.padEnd(20),
    `prefill ${row.prefill.map((rate) => rate.toFixed(0)).join(" → ")} tokens/s`,
    `${row.speedUp.prefill.toFixed(2)} × of ${row.promised.toFixed(2)} promised`,
    `(${(row.speedUp.prefill / row.promised).toFixed(2)});`,
    `decode ${row.decode.map((rate) => rate.toFixed(0)).join(" → ")}`,
    `${row.speedUp.decode.toFixed(2)} ×`,
  );
  return row;
}

function table(rows: readonly Row[]): string {
  const count = (value: number) => Math.round(value).toLocaleString("en-US");
  const lines = rows.map((row) =>
    [
      row.quantize,
      row.name,
      row.bytes.map((bytes) => (bytes / 1e6).toFixed(0)).join(" → "),
      row.prefill.map(count).join(" → "),
      `${row.speedUp.prefill.toFixed(2)} ×`,
      `${row.promised.toFixed(2)} ×`,
      (row.speedUp.prefill / row.promised).toFixed(2),
      row.decode.map((rate) => rate.toFixed(1)).join(" → "),
      `${row.speedUp.decode.toFixed(2)} ×`,
    ].join(" | ")
  );
  return [
    "| numbers | pruned to | MB | prefill, tokens/s | faster | promised | part | decode, tokens/s | faster |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...lines.map((line) => `| ${line} |`),
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

const [load] = Deno.loadavg();
const started = new Date().toISOString().slice(0, 10);
const rows: Row[] = [];
const widthRows: Row[] = [];
for (const quantize of flags.only.split(",") as OnnxQuantization[]) {
  const before = await exported(dense, quantize);
  for (const [name, shape] of Object.entries(halves)) {
    rows.push(await measure(before, quantize, name, shape));
  }
  if (!flags["no-widths"]) {
    for (const ffnWidth of widths) {
      const shape = { ffnWidth, keyValueHeads: 2, queryHeads: 6 };
      widthRows.push(await measure(before, quantize, `FFN ${ffnWidth}`, shape));
    }
  }
  await before.decoder.close();
}
await Deno.writeTextFile(
  flags.out,
  `# Speed of exported files

Written by \`deno run -A bench/speed.ts\` on ${started}, commit ${await commit()}, on ${await processor()} with ${THREADS} of ${navigator.hardwareConcurrency} threads (load ${
    load.toFixed(1)
  } when it began), Deno ${Deno.version.deno}, onnxruntime-node 1.30.0.

The shape is that of a model of 135 M parameters (${LAYERS} layers, 576 wide, 9 query and 3 key/value heads, 1,536 FFN
neurons, vocabulary 49,152, tied) with random weights. Prefill: ${PROMPT} tokens, all their logits; decode: ${GROWN} tokens
one by one after them. Dense and pruned files ran in turn, ${ROUNDS} rounds; rates are medians, "faster" is the median of the
ratios of neighbouring runs. "Promised" is the ratio of multiply-adds of the prompt, output head and attention included;
"part" is faster / promised.${
    load > THREADS
      ? " The machine was busy with other work, so single ratios scatter by a fifth: to be run again on a quiet one."
      : ""
  }

## Half of the prunable parameters

${table(rows)}

With q8 the products take less of the time and attention, which stays in float32 in every file, a larger share: a cut
that leaves all heads falls short of what its multiply-adds promise there.
${
    widthRows.length === 0 ? "" : `
## Widths near the same cut

With 2 of 3 key/value heads, a cut by half comes to 683 FFN neurons. The same with neighbours of that width:

${table(widthRows)}
`
  }`,
);
