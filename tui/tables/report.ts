/**
 * The report of a job as a person reads it at the end.
 * @module
 */
import type { Report } from "../../core/evaluate/report.ts";
import { formatBytes, formatCount, formatFixed, formatPercent, formatSeconds } from "../format.ts";
import { joinBlocks, renderEntries, renderNotes } from "../layout.ts";
import { filesTable } from "./files.ts";
import { modulesTable } from "./modules.ts";
import { perplexityTable, tasksTable } from "./texts.ts";

/** Where a report's files are, and which notes the reader has seen already. */
export interface ReportSurroundings {
  /** Columns of the terminal. */
  readonly width: number;
  /** The folder of the result as the reader would write it; absent where nothing was written. */
  readonly folder?: string;
  /** Notes that stand on the screen already. */
  readonly seenNotes?: ReadonlySet<string>;
}

/**
 * Draws a report: modules, texts, what changed, notes. Parts that the report has not are left out.
 *
 * @param report The report
 * @param surroundings Width, folder and notes
 * @returns Text that ends with a line break
 */
export function reportText(report: Report, surroundings: ReportSurroundings): string {
  const { width, folder, seenNotes } = surroundings;
  return joinBlocks([
    modulesTable(report.modules, width),
    perplexityTable(report, width),
    filesTable(report, width),
    tasksTable(report.tasks, width),
    renderEntries(folder === undefined ? evaluated(report) : changed(report, folder), width),
    renderNotes(report.notes.filter((note) => !seenNotes?.has(note)), width),
  ]);
}

type Entries = readonly (readonly [string, string | undefined])[];

function changed(report: Report, folder: string): Entries {
  const { parameters, bytes, sparsity } = report.result;
  const cut = report.request.sparsity !== undefined;
  return [
    ["Model", modelText(report)],
    ["Method", methodText(report)],
    ["Layers", cut ? layersText(report) : undefined],
    [
      "Parameters",
      `${formatCount(parameters.before)} → ${formatCount(parameters.after)} (${
        change(parameters.before, parameters.after)
      }${cut ? `; ${formatPercent(sparsity)} of the prunable ones removed` : ""})`,
    ],
    ["Weights", `${formatBytes(bytes.before)} → ${formatBytes(bytes.after)}`],
    ["Speed", speedText(report)],
    ["Time", timeText(report)],
    ["Written to", folder],
    ["Files", filesText(report)],
  ];
}

function evaluated(report: Report): Entries {
  const { parameters, bytes } = report.result;
  return [
    ["Model", modelText(report)],
    ["Parameters", formatCount(parameters.before)],
    ["Weights", formatBytes(bytes.before)],
    ["Speed", speedText(report)],
    ["Time", timeText(report)],
  ];
}

function modelText({ model, engine }: Report): string {
  return `${model.source} (${model.family}, ${model.layers} layers), run by ${engine.name} on ${engine.device}`;
}

function methodText({ request }: Report): string | undefined {
  if (request.method === undefined) return undefined;
  const metric = request.metric === undefined || request.metric === request.method
    ? ""
    : ` on ${request.metric}`;
  const asked = request.sparsity === undefined
    ? ""
    : `, sparsity ${formatFixed(request.sparsity, 2)} asked for`;
  return `${request.method}${metric}, ${request.shape ?? "uniform"} shape, refit ${
    request.refit ?? "none"
  }${asked}`;
}

function layersText({ layers }: Report): string | undefined {
  if (layers.length === 0) return undefined;
  return [
    `FFN width ${sizes(layers.map((layer) => layer.ffn))}`,
    `KV heads ${sizes(layers.map((layer) => layer.kvHeads))}`,
    `query heads ${sizes(layers.map((layer) => layer.queryHeads))}`,
  ].join(", ");
}

/** Before and after, each one number where all layers agree and a range where not. */
function sizes(pairs: readonly (readonly [number, number])[]): string {
  const range = (values: readonly number[]) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return least === most ? formatCount(least) : `${formatCount(least)}–${formatCount(most)}`;
  };
  return `${range(pairs.map(([before]) => before))} → ${range(pairs.map(([, after]) => after))}`;
}

function change(before: number, after: number): string {
  if (before === after) return "unchanged";
  const share = after / before - 1;
  return `${share < 0 ? "−" : "+"}${formatPercent(Math.abs(share))}`;
}

function speedText({ speed, perplexity }: Report): string | undefined {
  const { denseTokensPerSecond: dense, prunedTokensPerSecond: pruned } = speed;
  if (!(dense > 0)) return undefined;
  if (!(pruned > 0) || perplexity.every((text) => text.pruned === undefined)) {
    return `${formatCount(dense)} tokens per second`;
  }
  return `${formatCount(dense)} → ${formatCount(pruned)} tokens per second (${
    formatFixed(pruned / dense, 2)
  } ×)`;
}

function timeText({ seconds, peakMemoryBytes }: Report): string {
  const spent = Object.entries(seconds).filter(([, value]) => value >= 0.05);
  const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
  const parts = spent.length > 1
    ? ` (${spent.map(([stage, value]) => `${stage} ${formatSeconds(value)}`).join(", ")})`
    : "";
  const memory = peakMemoryBytes > 0 ? `, at most ${formatBytes(peakMemoryBytes)} of memory` : "";
  return `${formatSeconds(total)}${parts}${memory}`;
}

function filesText({ files }: Report): string | undefined {
  if (files.length === 0) return undefined;
  const largest = [...files].sort((a, b) => b.bytes - a.bytes).slice(0, 3)
    .map((file) => `${file.path} ${formatBytes(file.bytes)}`).join(", ");
  const others = files.length > 3 ? `, ${files.length - 3} more` : "";
  return `${largest}${others}, and report.html and report.json with every number`;
}
