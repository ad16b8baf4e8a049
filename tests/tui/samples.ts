/**
 * Values of the library's types, made by hand, that the tests of tables and commands draw.
 * @module
 */
import type { PartWords } from "../../core/session/parts/part_store.ts";
import type { Statistics } from "../../core/calibrate/types.ts";
import type { CompareRow, Comparison, Report } from "../../core/evaluate/report.ts";
import type { ModelSummary } from "../../core/model/inspect.ts";
import type { Method, ModuleReport, Plan } from "../../core/plan/types.ts";
import type { JobResult } from "../../core/session/types.ts";
import type { Diagnosis } from "../../tui/tables/diagnosis.ts";

const hash = (digit: string) => digit.repeat(64);

/** Modules of a plan: four per layer for neurons, one per layer for KV groups. */
export function sampleModules(
  layers: number,
  width: number,
  groups: number,
): readonly ModuleReport[] {
  const modules: ModuleReport[] = [];
  for (let layer = 0; layer < layers; layer++) {
    for (let module = 0; module < 4; module++) {
      const units = width / 4;
      const kept = Math.round(units * (0.25 + 0.15 * module + 0.1 * Math.sin(layer)));
      modules.push({
        layer,
        structure: "ffn",
        module,
        units,
        kept,
        sensitivity: 0.02 + 0.03 * module + 0.001 * layer,
        reliability: 0.95 - 0.1 * module,
        source: module === 3 && layer % 3 === 0 ? "magnitude" : "activation",
        sparsity: 1 - kept / units,
      });
    }
    const kept = Math.max(1, groups - (layer % 2));
    modules.push({
      layer,
      structure: "heads",
      module: 0,
      units: groups,
      kept,
      sensitivity: 0.1,
      reliability: 0.4,
      source: "activation",
      sparsity: 1 - kept / groups,
    });
  }
  return modules;
}

const perplexity: Report["perplexity"] = [
  { name: "wiki", dense: 12.345, pruned: 14.2, calibrated: true },
  { name: "novel", dense: 21.07, pruned: 23.9, calibrated: true },
  { name: "drama", dense: 33.4, pruned: 48.8, calibrated: false },
  { name: "日本語", dense: 152.6, pruned: 1934.2, calibrated: false },
].map((row, at) => ({
  ...row,
  tokens: 24_448,
  windows: 128,
  seqLen: 192,
  sha256: hash(String(at + 1)),
}));

const tasks: Report["tasks"] = ["wiki-choice", "drama-choice", "quiz"].map((name, at) => ({
  name,
  items: at === 2 ? 1_319 : 200,
  dense: { acc: 0.735 - 0.1 * at, accNorm: 0.71 - 0.1 * at, stderr: 0.0313 },
  pruned: { acc: 0.6 - 0.1 * at, accNorm: 0.615 - 0.1 * at, stderr: 0.0347 },
}));

/** The report of a `prune` job. */
export const sampleReport: Report = {
  schema: "gprune.report/1",
  model: {
    source: "models/mixlm",
    family: "llama",
    layers: 6,
    parameters: 2_457_936,
    fingerprint: hash("f"),
  },
  engine: { name: "onnx", device: "cpu" },
  request: {
    method: "gprune",
    metric: "obs",
    sparsity: 0.5,
    structures: ["ffn", "heads"],
    shape: "adaptive",
    refit: "lsq",
    seed: 0,
  },
  calibration: ["wiki", "novel", "self"].map((name, at) => ({
    name,
    tokens: 24_576,
    windows: 128,
    seqLen: 192,
    sha256: hash(String(at + 1)),
  })),
  modules: sampleModules(6, 576, 3),
  layers: Array.from({ length: 6 }, (_, layer) => ({
    layer,
    ffn: [576, 256 + 16 * layer] as const,
    kvHeads: [3, 3 - (layer % 2)] as const,
    queryHeads: [6, 6 - 2 * (layer % 2)] as const,
  })),
  result: {
    sparsity: 0.4987,
    parameters: { before: 2_457_936, after: 1_523_600 },
    bytes: { before: 4_921_344, after: 3_052_672 },
  },
  perplexity,
  tasks,
  speed: { denseTokensPerSecond: 12_345.6, prunedTokensPerSecond: 18_765.4 },
  seconds: { calibrate: 25.2, plan: 0.01, apply: 1.4, evaluate: 31.9, export: 0.3 },
  peakMemoryBytes: 512_345_678,
  files: [
    { path: "config.json", bytes: 812, sha256: hash("a") },
    { path: "model.safetensors", bytes: 3_052_672, sha256: hash("b") },
    { path: "tokenizer.json", bytes: 91_234, sha256: hash("c") },
    { path: "README.md", bytes: 4_321, sha256: hash("d") },
  ],
  notes: [
    "The text 'drama' has 96 windows of 192 tokens and not 128, so all of it was used for the evaluation and nothing was left out",
    "Layer 3 (heads) fell back to no refit: lsq was worse on windows kept back",
  ],
};

const fileSpeed = (prefill: number, decode: number) => ({
  promptTokens: 512,
  prefillTokensPerSecond: prefill,
  decodeTokensPerSecond: decode,
});

/** The report of a `prune` job that wrote ONNX in two quantisations; the dense model was rounded to q4 as well. */
export const sampleFilesReport: Report = {
  ...sampleReport,
  modules: [],
  tasks: [],
  perplexity: perplexity.map((row) => ({
    ...row,
    files: [
      { format: "onnx", quantize: "none", dense: row.dense, pruned: row.pruned },
      { format: "onnx", quantize: "q8", dense: row.dense * 1.004, pruned: row.pruned! * 1.005 },
      { format: "onnx", quantize: "q4", dense: row.dense * 1.03 },
    ],
  })),
  exports: [
    {
      format: "onnx",
      quantize: "none",
      file: "onnx/model.onnx",
      bytes: { dense: 9_853_764, pruned: 6_116_000 },
      speed: { dense: fileSpeed(25_000, 950), pruned: fileSpeed(38_000, 1_200) },
    },
    {
      format: "onnx",
      quantize: "q8",
      file: "onnx/model_quantized.onnx",
      bytes: { dense: 2_549_201, pruned: 1_610_000 },
      speed: { dense: fileSpeed(38_789, 1_948), pruned: fileSpeed(52_000, 2_100) },
    },
    { format: "onnx", quantize: "q4", bytes: { dense: 2_036_797 } },
  ],
};

/** The report of a large model that was cut alike in all layers. */
export const sampleLargeReport: Report = {
  ...sampleReport,
  model: { ...sampleReport.model, source: "org/large-model-7b", layers: 32, parameters: 6.7e9 },
  request: { ...sampleReport.request, shape: "uniform" },
  modules: sampleModules(32, 11_008, 8),
  layers: Array.from({ length: 32 }, (_, layer) => ({
    layer,
    ffn: [11_008, 5_504] as const,
    kvHeads: [8, 4] as const,
    queryHeads: [32, 16] as const,
  })),
  notes: [],
};

/** The report of an `evaluate` job. */
export const sampleEvaluation: Report = {
  ...sampleReport,
  request: { seed: 0 },
  calibration: [],
  modules: [],
  layers: [],
  result: {
    sparsity: 0,
    parameters: { before: 2_457_936, after: 2_457_936 },
    bytes: { before: 4_921_344, after: 4_921_344 },
  },
  perplexity: perplexity.map(({ pruned: _, calibrated: __, ...row }) => row),
  tasks: tasks.map(({ pruned: _, ...row }) => row),
  speed: { denseTokensPerSecond: 12_345.6, prunedTokensPerSecond: 0 },
  seconds: { calibrate: 0, plan: 0, apply: 0, evaluate: 15.5, export: 0 },
  files: [],
  notes: [],
};

/** What a job that writes a folder gives. */
export const sampleResult: JobResult = { folder: "/home/user/small", report: sampleReport };

/** A plan for six layers. */
export const samplePlan: Plan = {
  schema: "gprune.plan/1",
  model: {
    source: "models/mixlm",
    fingerprint: hash("f"),
    layers: Array.from({ length: 6 }, () => ({ ffnWidth: 8, keyValueHeads: 3, queryHeads: 6 })),
  },
  request: {
    method: "gprune",
    metric: "obs",
    sparsity: 0.5,
    structures: ["ffn", "heads"],
    shape: "adaptive",
    refit: "lsq",
    modules: 4,
    multiple: 1,
    switch: "none",
    objective: "mean",
    seed: 0,
  },
  layers: Array.from({ length: 6 }, (_, layer) => ({
    layer,
    ffnKept: layer < 3 ? [0, 2, 5, 7] : [1, 2, 3, 4, 6],
    keyValueHeadsKept: [0, 2],
  })),
  modules: sampleModules(6, 576, 3),
  result: { sparsity: 0.498, prunableBefore: 1_866_240, prunableAfter: 936_852 },
};

/** Statistics without the sums, which no command draws. */
export const sampleStatistics: Statistics = {
  schema: "gprune.statistics/1",
  model: samplePlan.model,
  seed: 0,
  domains: ["novel", "self", "wiki"].map((name, at) => ({
    name,
    tokens: 22_272,
    windows: 116,
    heldOutWindows: 12,
    seqLen: 192,
    sha256: hash(String(at + 1)),
  })),
  layers: [],
  learned: {
    domains: ["novel", "self", "wiki"],
    denseLoss: [3.1, 2.4, 2.9],
    curves: [],
    calibrationPasses: 14.5,
  },
};

function sampleRow(method: Method, sparsity: number, loss: number): CompareRow {
  const row = (name: string, dense: number, factor: number, calibrated: boolean) => ({
    name,
    dense,
    pruned: dense * (1 + loss * factor),
    calibrated,
  });
  const texts = [
    row("wiki", 12.345, 1, true),
    row("novel", 21.07, 0.9, true),
    row("drama", 33.4, 2, false),
    row("python", 52.6, 6, false),
  ];
  const ratio = (of: typeof texts) =>
    Math.exp(of.reduce((sum, text) => sum + Math.log(text.pruned / text.dense), 0) / of.length);
  const metrics = { gprune: "obs", flap: "wifv" } as const;
  return {
    method,
    metric: method === "gprune" || method === "flap" ? metrics[method] : method,
    refit: method === "gprune" ? "lsq" : method === "flap" ? "bias" : "none",
    shape: "uniform",
    sparsity,
    reachedSparsity: sparsity - 0.001,
    perplexity: texts,
    geomeanRatio: ratio(texts),
    calibratedRatio: ratio(texts.slice(0, 2)),
    uncoveredRatio: ratio(texts.slice(2)),
    worst: { name: "python", ratio: texts[3].pruned / texts[3].dense },
  };
}

/** Four methods at two sparsities on four texts. */
export const sampleComparison: Comparison = {
  schema: "gprune.compare/1",
  model: { source: "models/mixlm", fingerprint: hash("f") },
  calibration: sampleReport.calibration,
  texts: [
    { name: "wiki", dense: 12.345, calibrated: true },
    { name: "novel", dense: 21.07, calibrated: true },
    { name: "drama", dense: 33.4, calibrated: false },
    { name: "python", dense: 52.6, calibrated: false },
  ].map((text) => ({ ...text, tokens: 6_112, windows: 32, seqLen: 192, sha256: hash("e") })),
  rows: [
    sampleRow("gprune", 0.3, 0.05),
    sampleRow("wanda-sp", 0.3, 0.2),
    sampleRow("flap", 0.3, 0.22),
    sampleRow("magnitude", 0.3, 0.6),
    sampleRow("gprune", 0.5, 0.3),
    sampleRow("wanda-sp", 0.5, 1.1),
    sampleRow("flap", 0.5, 1.3),
    sampleRow("magnitude", 0.5, 9),
  ],
  notes: ["flap with refit lsq was left out: it is published with the bias"],
};

/** The same with multiple choice. */
export const sampleChoiceComparison: Comparison = {
  ...sampleComparison,
  rows: sampleComparison.rows.map((row) => ({
    ...row,
    tasks: tasks.map((task) => ({
      ...task,
      pruned: { ...task.dense, acc: task.dense.acc / Math.sqrt(row.geomeanRatio) },
    })),
  })),
};

/** A summary of a model whose last layer differs. */
export const sampleSummary: ModelSummary = {
  name: "mixlm",
  source: "models/mixlm",
  folder: "/home/user/models/mixlm",
  family: "llama",
  switches: [],
  dataType: "F16",
  layers: 6,
  shapes: Array.from({ length: 6 }, (_, layer) => ({
    ffnWidth: layer < 5 ? 576 : 288,
    keyValueHeads: 3,
    queryHeads: 6,
    queriesPerGroup: 2,
  })),
  uniform: false,
  hiddenSize: 144,
  headSize: 24,
  vocabularySize: 4_096,
  tiedEmbedding: true,
  maxPositions: 1_024,
  activation: "silu",
  rotary: { theta: 10_000, scaling: "default", rotated: 24 },
  biases: [],
  parameters: {
    total: 2_457_936,
    prunable: { ffn: 1_492_992, heads: 373_248, all: 1_866_240 },
  },
  bytes: 4_921_344,
  fingerprint: hash("f"),
  companionFiles: ["generation_config.json", "tokenizer.json", "tokenizer_config.json"],
  exports: [
    {
      format: "hf",
      available: true,
      uniform: "loads in the stock classes",
      adaptive: "needs a runtime that reads per_layer_config; the stock classes do not",
      bias: "loads in the stock classes through attention_bias and mlp_bias",
    },
    {
      format: "gguf",
      available: true,
      uniform: "loads in llama.cpp as llama",
      adaptive: "loads in llama.cpp as deci, with sizes for each layer",
      bias: "has places for all of them",
    },
  ],
};

/** A machine with one engine of two. */
export const sampleDiagnosis: Diagnosis = {
  schema: "gprune.doctor/1",
  versions: { gprune: "0.1.0", deno: "2.9.6", "onnxruntime-node": "1.30.0" },
  system: "linux x86_64, 2 threads",
  engines: {
    onnx: { available: true, version: "1.30.0", providers: ["cpu", "webgpu"], threads: 2 },
    webgpu: {
      available: false,
      adapters: [{ name: "llvmpipe (LLVM 15.0.6, 256 bits)", isFallback: true }],
      adapter: "llvmpipe (LLVM 15.0.6, 256 bits)",
      isFallback: true,
      limits: {
        maxStorageBufferBindingSize: 134_217_728,
        maxBufferSize: 268_435_456,
        maxComputeWorkgroupStorageSize: 32_768,
        maxComputeInvocationsPerWorkgroup: 1024,
      },
      trial: { tokensPerSecond: 700, referenceTokensPerSecond: 35_000 },
      features: ["shader-f16"],
      problem:
        "The only WebGPU adapter is a fallback in software; where this machine has a graphics card, install its Vulkan driver",
    },
    auto: "onnx",
  },
  memory: { total: 16_000_000_000, available: 9_500_000_000 },
  cache: "/home/user/.cache/gprune/hub",
  embedded: { found: true, message: "tiny, 1,234,567 parameters" },
  advice: [],
};

/** The first half of the statistics. */
export const samplePart: PartWords = {
  schema: "gprune.statistics-part/1",
  shard: { index: 1, count: 2 },
  model: { ...sampleStatistics.model, headSize: 8 },
  conditions: [{ name: "--seed", value: "0" }],
  request: samplePlan.request,
  seed: 0,
  samples: 4,
  seqLen: 64,
  gram: true,
  learn: true,
  texts: [{ name: "wiki", sha256: "aa" }],
  units: [
    { domain: "wiki", heldOut: false, first: 0, count: 4 },
    { domain: "wiki", heldOut: true, first: 0, count: 1 },
  ],
  own: [0],
};
