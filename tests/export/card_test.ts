import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Report } from "../../core/evaluate/report.ts";
import { modelCard } from "../../core/export/card.ts";

const text = { tokens: 1234567, windows: 12, seqLen: 192, sha256: "ab".repeat(32) };

const REPORT: Report = {
  schema: "gprune.report/1",
  model: {
    source: "/home/someone/models/tiny",
    family: "llama",
    layers: 2,
    parameters: 1000,
    fingerprint: "f",
  },
  engine: { name: "onnx", device: "cpu" },
  request: {
    method: "gprune",
    metric: "obs",
    sparsity: 0.5,
    structures: ["ffn", "heads"],
    shape: "uniform",
    refit: "lsq",
    seed: 0,
    out: "/home/someone/secret",
  },
  calibration: [{ name: "wiki", ...text }],
  modules: [],
  layers: [
    { layer: 0, ffn: [48, 24], kvHeads: [2, 1], queryHeads: [4, 2] },
    { layer: 1, ffn: [48, 24], kvHeads: [2, 1], queryHeads: [4, 2] },
  ],
  refits: [{
    layer: 0,
    structure: "ffn",
    refit: "none",
    plainError: 0.1,
    refittedError: 0.1,
    fallback: "too few",
  }],
  result: {
    sparsity: 0.497,
    parameters: { before: 1000, after: 600 },
    bytes: { before: 4000, after: 2400 },
  },
  perplexity: [
    { name: "wiki|a", ...text, dense: 10, pruned: 11, calibrated: true },
    { name: "code", ...text, dense: 4, pruned: 5, calibrated: false },
  ],
  tasks: [{
    name: "wiki-choice",
    items: 200,
    dense: { acc: 0.5, accNorm: 0.6, stderr: 0.03 },
    pruned: { acc: 0.4, accNorm: 0.5, stderr: 0.03 },
  }],
  speed: { denseTokensPerSecond: 1, prunedTokensPerSecond: 2 },
  seconds: { calibrate: 1, plan: 1, apply: 1, evaluate: 1, export: 1 },
  peakMemoryBytes: 1,
  files: [],
  notes: ["The text 'wiki' is short"],
};

Deno.test("modelCard() begins with a header that names the base model and no license unless it is known", () => {
  const card = modelCard(REPORT, { name: "tiny-50", baseModel: "org/tiny" });
  assert(card.startsWith("---\n"));
  const header = card.slice(4, card.indexOf("\n---\n", 4)).split("\n");
  assertEquals(header, [
    'base_model: "org/tiny"',
    "library_name: transformers",
    "pipeline_tag: text-generation",
    "tags:",
    "- gprune",
    "- pruned",
  ]);
  const licensed = modelCard(REPORT, { name: "tiny-50", license: "apache-2.0" });
  assertStringIncludes(licensed, '\nlicense: "apache-2.0"\n');
  assert(!licensed.includes("base_model"));
});

Deno.test("modelCard() gives every text's perplexity with its conditions", () => {
  const card = modelCard(REPORT, { name: "tiny-50" });
  assertStringIncludes(
    card,
    "| wiki\\|a | 10.000 | 11.000 | 1.100 | yes | 1,234,567 | 12 × 192 | `abababababab` |",
  );
  assertStringIncludes(card, "| code | 4.000 | 5.000 | 1.250 | no |");
  // √(1.1 · 1.25) = 1.1726
  assertStringIncludes(card, "Geometric mean of the ratios: 1.173");
  assertStringIncludes(card, "| wiki-choice | 200 | 50.0 % ± 3.0 % | 40.0 % ± 3.0 % |");
  assertStringIncludes(card, "three other passages of the same text");
  assertStringIncludes(card, "removing 49.7 %");
  assertStringIncludes(card, "1 of 1 refits were dropped");
});

Deno.test("modelCard() says which runtimes load the folder", () => {
  const uniform = modelCard(REPORT, { name: "tiny-50" });
  assertStringIncludes(uniform, "`LlamaForCausalLM`");
  const [first, second] = REPORT.layers;
  const layers = [first, { ...second, ffn: [48, 30] as const }];
  const adaptive = modelCard({ ...REPORT, layers }, { name: "tiny-50", formats: ["hf", "gguf"] });
  assert(!adaptive.includes("LlamaForCausalLM"));
  assertStringIncludes(adaptive, "`per_layer_config`");
  assertStringIncludes(adaptive, "llama.cpp");
  assertStringIncludes(adaptive, "`deci`");
  assertStringIncludes(adaptive, "--zero-pad");
  assertStringIncludes(adaptive, "| FFN width, each layer | 48 | 24 to 30 |");
  const request = { ...REPORT.request, zeroPad: true };
  const padded = modelCard({ ...REPORT, layers, request }, { name: "tiny-50" });
  assertStringIncludes(padded, "padded with zero units to one size");
  assertStringIncludes(padded, "`LlamaForCausalLM`");
});

Deno.test("modelCard() shows the command as it is, and no path of whoever ran it", () => {
  const command = "deno task prune models/tiny --out x `date`\n```";
  const card = modelCard(REPORT, { name: "tiny-50", command });
  assertStringIncludes(card, "````sh\n" + command + "\n````");
  assert(!card.includes("/home/someone"));
});

Deno.test("modelCard() leaves out what was not measured", () => {
  const card = modelCard(
    { ...REPORT, perplexity: [], tasks: [], notes: [], calibration: [] },
    { name: "tiny-50" },
  );
  for (const heading of ["Perplexity", "Multiple choice", "Notes", "The command"]) {
    assert(!card.includes(`## ${heading}`));
  }
  assert(!card.includes("undefined"));
});
