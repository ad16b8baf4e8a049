/**
 * The model card: the `README.md` of an output folder.
 * @module
 */
import type { PerplexityRow, Report } from "../evaluate/report.ts";
import { stepsOf } from "../evaluate/steps.ts";
import { exportFormats, formatNames } from "./formats.ts";

/** What a report does not know. */
export interface ModelCardOptions {
  /** The name of the pruned model; a heading. */
  readonly name: string;
  /** The hub id of the dense model, where it came from the hub. */
  readonly baseModel?: string;
  /** Its license in the hub's words, where it is known. */
  readonly license?: string;
  /** The command that makes the same result. */
  readonly command?: string;
  /** Formats in the folder. Default `hf` alone. */
  readonly formats?: readonly string[];
}

/** Options that decide the result. Others may hold paths of whoever ran it. */
const SHOWN_OPTIONS = [
  "method",
  "metric",
  "sparsity",
  "structures",
  "shape",
  "refit",
  "modules",
  "multiple",
  "switch",
  "scoreDomains",
  "objective",
  "protectedLayers",
  "seed",
];

/**
 * Writes a model card: what was done, what it cost on which text, and what loads the result.
 *
 * @param report The report of the run
 * @param options Names, license, command
 * @returns Markdown with a YAML header, as the Hugging Face hub reads it
 */
export function modelCard(report: Report, options: ModelCardOptions): string {
  const sections = [
    frontMatter(options),
    introduction(report, options),
    "## Sizes\n\n" + sizes(report),
    ...(report.perplexity.length === 0 ? [] : ["## Perplexity\n\n" + perplexity(report)]),
    ...(report.exports === undefined ? [] : ["## What each step costs\n\n" + steps(report)]),
    ...(report.tasks.length === 0 ? [] : ["## Multiple choice\n\n" + tasks(report)]),
    "## How it was pruned\n\n" + request(report),
    "## What loads it\n\n" + loaders(report, options.formats ?? ["hf"]),
    ...(options.command === undefined ? [] : [
      "## The command\n\n" + fenced(options.command),
    ]),
    ...(report.notes.length === 0 ? [] : [
      "## Notes\n\n" + report.notes.map((note) => `- ${escaped(note)}`).join("\n"),
    ]),
  ];
  return sections.join("\n\n") + "\n";
}

function frontMatter({ baseModel, license, formats = ["hf"] }: ModelCardOptions): string {
  const library = formats.includes("hf")
    ? "transformers"
    : formats.includes("onnx")
    ? "transformers.js"
    : "gguf";
  return [
    "---",
    ...(baseModel === undefined ? [] : [`base_model: ${JSON.stringify(baseModel)}`]),
    ...(license === undefined ? [] : [`license: ${JSON.stringify(license)}`]),
    `library_name: ${library}`,
    "pipeline_tag: text-generation",
    "tags:",
    "- gprune",
    "- pruned",
    "---",
  ].join("\n");
}

function introduction(report: Report, { name, baseModel }: ModelCardOptions): string {
  const { model, result, request } = report;
  const base = baseModel === undefined
    ? `a model of the family ${model.family}`
    : `[${baseModel}](https://huggingface.co/${baseModel})`;
  const kinds = (request.structures ?? []).map((structure) =>
    structure === "ffn" ? "FFN neurons" : "key/value head groups"
  );
  const removed = kinds.length === 0 ? "units" : kinds.join(" and ");
  return `# ${escaped(name)}\n\nMade from ${base} by removing ${
    share(result.sparsity)
  } of the parameters of its ${removed} with gprune, which implements GPrune-LLM (arXiv 2603.13418) and goes past it.`;
}

function sizes({ result, layers }: Report): string {
  const { parameters, bytes } = result;
  const rows = [
    ["Parameters", count(parameters.before), count(parameters.after)],
    ["Bytes of weights", count(bytes.before), count(bytes.after)],
    ...spans(layers),
  ];
  return table(["", "dense", "pruned"], rows);
}

/** Sizes of layers: one number where all layers are alike, smallest to largest where not. */
function spans(layers: Report["layers"]): string[][] {
  const fields = [["FFN width", "ffn"], ["Key/value heads", "kvHeads"], [
    "Query heads",
    "queryHeads",
  ]] as const;
  const span = (values: readonly number[]) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return low === high ? `${low}` : `${low} to ${high}`;
  };
  if (layers.length === 0) return [];
  return fields.map(([title, field]) => [
    `${title}, each layer`,
    span(layers.map((layer) => layer[field][0])),
    span(layers.map((layer) => layer[field][1])),
  ]);
}

function perplexity({ perplexity }: Report): string {
  const rows = perplexity.map((row) => [
    escaped(row.name),
    row.dense.toFixed(3),
    row.pruned?.toFixed(3) ?? "",
    row.pruned === undefined ? "" : (row.pruned / row.dense).toFixed(3),
    row.calibrated === undefined ? "" : row.calibrated ? "yes" : "no",
    count(row.tokens),
    `${row.windows} × ${row.seqLen}`,
    `\`${row.sha256.slice(0, 12)}\``,
  ]);
  const heads = [
    "text",
    "dense",
    "pruned",
    "ratio",
    "calibrated on",
    "tokens predicted",
    "windows × tokens",
    "SHA-256",
  ];
  return `${
    table(heads, rows)
  }\n\nPerplexity = exp(mean negative log-likelihood): each text is tokenised whole, without special tokens, and cut into consecutive windows, in which every token but the first is predicted.${
    ratioSentence(perplexity)
  }`;
}

/** Dense and pruned, and every file in another format. */
function steps(report: Report): string {
  const all = stepsOf(report);
  const rate = (value: number | undefined) => value === undefined ? "" : count(Math.round(value));
  const rows = all.map(({ which, file, bytes, perplexity, ratio, speed }) => [
    file === undefined ? which : `${which}, ${file}`,
    count(bytes),
    perplexity?.toFixed(3) ?? "",
    ratio?.toFixed(3) ?? "",
    rate(speed?.prefillTokensPerSecond),
    rate(speed?.decodeTokensPerSecond),
  ]);
  const timed = all.find(({ speed }) => speed !== undefined)?.speed;
  const heads = ["model", "bytes", "perplexity", "ratio", "prefill, tokens/s", "decode, tokens/s"];
  return [
    table(heads, rows),
    "Perplexity is the geometric mean over the texts, measured on the file itself. The dense model in the same quantisation shows what rounding alone costs.",
    ...(timed === undefined ? [] : [
      `Prefill is a prompt of ${timed.promptTokens} tokens, decode the tokens that follow one by one, in ONNX Runtime on the machine that pruned: the fastest of runs in turn, to be compared with each other.`,
    ]),
  ].join("\n\n");
}

function ratioSentence(rows: readonly PerplexityRow[]): string {
  const ratios = rows.flatMap(({ dense, pruned }) => pruned === undefined ? [] : [pruned / dense]);
  if (ratios.length < 2) return "";
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  return ` Geometric mean of the ratios: ${mean.toFixed(3)}.`;
}

function tasks({ tasks }: Report): string {
  const rows = tasks.map(({ name, items, dense, pruned }) => [
    escaped(name),
    `${items}`,
    `${share(dense.acc)} ± ${share(dense.stderr)}`,
    pruned === undefined ? "" : `${share(pruned.acc)} ± ${share(pruned.stderr)}`,
    share(dense.accNorm),
    pruned === undefined ? "" : share(pruned.accNorm),
  ]);
  const heads = [
    "task",
    "items",
    "acc, dense",
    "acc, pruned",
    "acc_norm, dense",
    "acc_norm, pruned",
  ];
  return `${
    table(heads, rows)
  }\n\nThe choice with the largest sum of log-likelihoods counts (acc ± standard error), or with the largest sum per byte (acc_norm). A task \`NAME-choice\` is made from the evaluation text NAME: the true next 16 tokens against three other passages of the same text.`;
}

function request({ request, calibration, engine, refits = [] }: Report): string {
  const shown = SHOWN_OPTIONS.flatMap((key) => {
    const value = request[key];
    if (value === undefined || value === null) return [];
    return [[key, Array.isArray(value) ? value.join(", ") : String(value)]];
  });
  const fallbacks = refits.filter(({ fallback }) => fallback !== undefined).length;
  const texts = calibration.map((row) => [
    escaped(row.name),
    count(row.tokens),
    `${row.windows} × ${row.seqLen}`,
    `\`${row.sha256.slice(0, 12)}\``,
  ]);
  return [
    table(["option", "value"], shown.map(([key, value]) => [escaped(key), escaped(value)])),
    ...(texts.length === 0 ? [] : [
      "Calibration texts:",
      table(["text", "tokens", "windows × tokens", "SHA-256"], texts),
    ]),
    `Run by ${engine.name} on ${engine.device}.${
      fallbacks === 0
        ? ""
        : ` ${fallbacks} of ${refits.length} refits were dropped because they did not help.`
    }`,
  ].join("\n\n");
}

function loaders({ model, layers, request }: Report, formats: readonly string[]): string {
  const after = layers.map(({ ffn, kvHeads, queryHeads }) =>
    [ffn[1], kvHeads[1], queryHeads[1]].join(" ")
  );
  const uniform = new Set(after).size <= 1;
  return formatNames.filter((name) => formats.includes(name))
    .map((name) =>
      exportFormats[name].loadedBy({
        uniform,
        family: model.family,
        zeroPadded: request.zeroPad === true,
      })
    )
    .join("\n\n");
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}

/** A code block whose fence is longer than any in the text. */
function fenced(text: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((ticks) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}sh\n${text}\n${fence}`;
}

/** Names of texts come from users: they must not break a table or turn into markup. */
function escaped(text: string): string {
  return text.replace(/[\r\n]+/g, " ").replace(/[\\`*_{}[\]<>|#]/g, "\\$&");
}

function share(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}

function count(number: number): string {
  return number.toLocaleString("en-US");
}
