/**
 * What a model is, as a person reads it.
 * @module
 */
import type { ModelSummary } from "../../core/model/inspect.ts";
import { formatBytes, formatCount, formatPercent } from "../format.ts";
import { joinBlocks, renderEntries, renderTable } from "../layout.ts";

/**
 * Draws a model's summary: what it is, its layers, what can be pruned, what exports can hold.
 *
 * @param summary The summary
 * @param width Columns of the terminal
 * @returns Text that ends with a line break
 */
export function summaryText(summary: ModelSummary, width: number): string {
  return joinBlocks([
    renderEntries(facts(summary), width),
    layersTable(summary, width),
    prunableTable(summary, width),
    exportsText(summary, width),
  ]);
}

function facts(summary: ModelSummary): readonly (readonly [string, string | undefined])[] {
  const { rotary, slidingWindow } = summary;
  const scaling = rotary.scaling === "default" ? "" : `, ${rotary.scaling} scaling`;
  return [
    ["Model", summary.source],
    ["Folder", summary.folder === summary.source ? undefined : summary.folder],
    ["Family", `${summary.family}, ${summary.activation} gate, numbers in ${summary.dataType}`],
    ["Unlike Llama", summary.switches.length === 0 ? undefined : summary.switches.join(", ")],
    [
      "Width",
      `${formatCount(summary.hiddenSize)}, heads of ${summary.headSize} channels`,
    ],
    [
      "Vocabulary",
      `${formatCount(summary.vocabularySize)} tokens, output head ${
        summary.tiedEmbedding ? "tied to the embedding" : "of its own"
      }`,
    ],
    [
      "Positions",
      `${formatCount(summary.maxPositions)}, ${
        rotary.rotated === 0 ? "learned" : `rotary base ${formatCount(rotary.theta)}${scaling}`
      }${
        slidingWindow === undefined ? "" : `, attention looks back ${formatCount(slidingWindow)}`
      }`,
    ],
    ["Biases", summary.biases.length === 0 ? "none" : summary.biases.join(", ")],
    ["Weights", formatBytes(summary.bytes)],
    ["Companions", summary.companionFiles.join(", ") || "none"],
    ["Fingerprint", summary.fingerprint.slice(0, 16)],
  ];
}

/** Neighbouring layers of the same sizes share a row. */
function layersTable({ shapes }: ModelSummary, width: number): string {
  const runs: { first: number; last: number }[] = [];
  const key = (layer: number) => JSON.stringify(shapes[layer]);
  shapes.forEach((_, layer) => {
    const run = runs.at(-1);
    if (run !== undefined && key(run.first) === key(layer)) run.last = layer;
    else runs.push({ first: layer, last: layer });
  });
  const rows = runs.map(({ first, last }) => [
    first === last ? String(first) : `${first}–${last}`,
    formatCount(shapes[first].ffnWidth),
    formatCount(shapes[first].keyValueHeads),
    formatCount(shapes[first].queryHeads),
    formatCount(shapes[first].queriesPerGroup),
  ]);
  return renderTable(
    [
      { heading: "Layers", align: "right" },
      { heading: "FFN width", align: "right" },
      { heading: "KV heads", align: "right" },
      { heading: "Query heads", align: "right" },
      { heading: "Queries per KV head", align: "right" },
    ],
    rows,
    width,
  );
}

function prunableTable({ parameters }: ModelSummary, width: number): string {
  const { total, prunable } = parameters;
  const row = (name: string, count: number) => [
    name,
    formatCount(count),
    formatPercent(count / total),
  ];
  return renderTable(
    [
      { heading: "Parameters", align: "left" },
      { heading: "Number", align: "right" },
      { heading: "Share", align: "right" },
    ],
    [
      row("FFN neurons (ffn)", prunable.ffn),
      row("KV groups (heads)", prunable.heads),
      row("Prunable", prunable.all),
      row("All", total),
    ],
    width,
  );
}

function exportsText({ exports }: ModelSummary, width: number): string {
  const entries = exports.flatMap(({ format, available, uniform, adaptive, bias }) => {
    const later = available ? "" : " (not in this version yet)";
    return [
      [`--format ${format}`, `uniform: ${uniform}${later}`],
      ["", `adaptive: ${adaptive}`],
      ["", `refit bias: ${bias}`],
    ] as const;
  });
  return renderEntries(entries, width);
}
