/**
 * The module partition: a table of the modules of one layer, and a map of all layers.
 * @module
 */
import type { LiveState } from "../../core/session/live/state.ts";
import type { Structure } from "../../core/model/types.ts";
import type { ModuleReport, PlanRequest } from "../../core/plan/types.ts";
import { bar, formatFixed, formatPercent, shareCell } from "../format.ts";
import { type FixedColumn, headingLine, type Line, line, type Span, tableLine } from "./spans.ts";

const kindNames: Readonly<Record<Structure, string>> = { ffn: "ffn", heads: "heads" };

/**
 * The table of one layer's modules.
 *
 * @param live The session
 * @param layer The layer
 * @param width Columns
 * @param height Rows, the heading among them
 * @returns Lines, at most `height`
 */
export function moduleTable(
  live: LiveState,
  layer: number,
  width: number,
  height: number,
): readonly Line[] {
  const reports = live.plan?.modules.filter((module) => module.layer === layer) ?? [];
  const columns = tableColumns(width);
  const barWidth = columns.at(-1)!.width;
  const rows = reports.map((report) =>
    tableLine(columns, [
      kindNames[report.structure],
      String(report.module + 1),
      String(report.units),
      String(report.kept),
      formatFixed(report.sensitivity, 3),
      formatFixed(report.reliability, 2),
      ...(columns.length === 9 ? [report.source] : []),
      formatPercent(report.sparsity, 0),
      bar(1 - report.sparsity, barWidth),
    ])
  );
  const room = height - 1;
  const shown = rows.length <= room
    ? rows
    : [...rows.slice(0, room - 1), line(`… ${rows.length - room + 1} more`, { dim: true })];
  return [headingLine(columns), ...shown];
}

function tableColumns(width: number): readonly FixedColumn[] {
  const fixed: FixedColumn[] = [
    { heading: "Kind", width: 5, align: "left" },
    { heading: "Mod", width: 3, align: "right" },
    { heading: "Units", width: 5, align: "right" },
    { heading: "Kept", width: 5, align: "right" },
    { heading: "Sens.", width: 5, align: "right" },
    { heading: "Reli.", width: 5, align: "right" },
    ...(width >= 64 ? [{ heading: "Judge", width: 10, align: "left" as const }] : []),
    { heading: "Cut", width: 5, align: "right" },
  ];
  const taken = fixed.reduce((sum, column) => sum + column.width + 1, 0);
  return [
    ...fixed,
    { heading: "Stays", width: Math.max(4, Math.min(20, width - taken)), align: "left" },
  ];
}

/**
 * A line about one layer: its sizes before and after, and what was said of it.
 *
 * @param live The session
 * @param layer The layer
 * @returns The line
 */
export function layerLine(live: LiveState, layer: number): Line {
  const before = live.model?.layers[layer];
  const after = live.plan?.layers[layer];
  if (before === undefined || after === undefined) return [];
  const request = live.request!;
  const ratio = (from: number, to: number) => from === to ? `${from}` : `${from} → ${to}`;
  const queries = before.queryHeads / before.keyValueHeads;
  const heads = after.keyValueHeadsKept.length;
  return [
    { text: `Layer ${layer}`, bold: true },
    { text: ` of 0–${live.model!.layers.length - 1}   ` },
    { text: `FFN width ${ratio(before.ffnWidth, after.ffnKept.length)}   ` },
    { text: `KV heads ${ratio(before.keyValueHeads, heads)}` },
    { text: queries === 1 ? "" : ` (${ratio(before.queryHeads, heads * queries)} query)` },
    ...marks(request, layer),
  ];
}

function marks(request: PlanRequest, layer: number): readonly Span[] {
  const factor = request.layerBudgets?.find((budget) => budget.layer === layer)?.factor;
  return [
    ...(request.protectedLayers?.includes(layer) ? [{ text: "   protected", bold: true }] : []),
    ...(factor === undefined ? [] : [{ text: `   budget × ${factor}`, bold: true }]),
  ];
}

/**
 * The map: a column per layer, a row per module, the share that stays as the height of a cell.
 *
 * @param live The session
 * @param layer The layer under the cursor
 * @param width Columns
 * @param height Rows
 * @returns Lines, at most `height`
 */
export function layerMap(
  live: LiveState,
  layer: number,
  width: number,
  height: number,
): readonly Line[] {
  const layers = live.model?.layers.length ?? 0;
  const { plan, request } = live;
  if (plan === undefined || request === undefined || layers === 0) return [];
  const label = 8;
  const columns = Math.max(1, Math.min(layers, width - label));
  const first = Math.min(layers - columns, Math.max(0, layer - Math.floor(columns / 2)));
  const shown = Array.from({ length: columns }, (_, at) => first + at);
  const rows = request.structures.flatMap((structure) => {
    const modules = plan.modules.filter((module) => module.structure === structure);
    const count = Math.max(0, ...modules.map(({ module }) => module + 1));
    const byPlace = new Map(modules.map((module) => [`${module.layer} ${module.module}`, module]));
    return Array.from({ length: count }, (_, module): Line => [
      { text: `${structure} ${module + 1}`.padEnd(label), dim: true },
      ...cells(shown.map((at) => byPlace.get(`${at} ${module}`)), layer - first),
    ]);
  });
  const room = Math.max(1, height - 2);
  return [
    [{ text: "Stays".padEnd(label), dim: true }, ...axis(shown, layer)],
    ...rows.slice(0, room),
    [{ text: "".padEnd(label) }, ...signs(request, shown)],
  ];
}

/**
 * A table of the layers around the cursor: what stays of each.
 *
 * @param live The session
 * @param layer The layer under the cursor
 * @param width Columns
 * @param height Rows, the heading among them
 * @returns Lines, at most `height`
 */
export function layerTable(
  { plan, model, request }: LiveState,
  layer: number,
  width: number,
  height: number,
): readonly Line[] {
  if (plan === undefined || model === undefined || request === undefined) return [];
  const barWidth = Math.max(4, Math.min(20, Math.floor((width - 38) / 2)));
  const columns: readonly FixedColumn[] = [
    { heading: "Layer", width: 6, align: "right" },
    { heading: "FFN", width: 13, align: "right" },
    { heading: "", width: barWidth, align: "left" },
    { heading: "KV heads", width: 9, align: "right" },
    { heading: "", width: barWidth, align: "left" },
    { heading: "", width: 4, align: "left" },
  ];
  const shown = Math.min(model.layers.length, height - 1);
  const first = Math.min(model.layers.length - shown, Math.max(0, layer - Math.floor(shown / 2)));
  return [
    headingLine(columns),
    ...model.layers.slice(first, first + shown).map((before, at) => {
      const here = first + at;
      const { ffnKept, keyValueHeadsKept: heads } = plan.layers[here];
      return tableLine(columns, [
        `${here === layer ? "▸" : " "} ${here}`,
        `${before.ffnWidth} → ${ffnKept.length}`,
        bar(ffnKept.length / before.ffnWidth, barWidth),
        `${before.keyValueHeads} → ${heads.length}`,
        bar(heads.length / before.keyValueHeads, barWidth),
        signOf(request, here),
      ], { bold: here === layer });
    }),
  ];
}

/** Cells of one row; neighbours that look alike are one piece. */
function cells(modules: readonly (ModuleReport | undefined)[], cursor: number): readonly Span[] {
  const spans: Span[] = [];
  modules.forEach((module, at) => {
    const share = module === undefined ? NaN : module.kept / module.units;
    const text = module === undefined ? " " : shareCell(share);
    const color = share > 0.75 ? "green" : share > 0.4 ? "yellow" : "red";
    const inverse = at === cursor;
    const before = spans.at(-1);
    if (before !== undefined && before.color === color && before.inverse === inverse) {
      spans[spans.length - 1] = { ...before, text: before.text + text };
    } else spans.push({ text, color, inverse });
  });
  return spans;
}

/** Points at the layer under the cursor and names it. */
function axis(shown: readonly number[], layer: number): readonly Span[] {
  const at = layer - shown[0];
  const name = String(layer);
  const before = shown[0] > 0 ? "‹" : " ";
  const left = at === 0 ? "" : before + " ".repeat(at - 1);
  return [{ text: left, dim: true }, { text: "▾", bold: true }, { text: name }];
}

/** Below the map: protected layers, and those whose budget was shifted. */
function signs(request: PlanRequest, shown: readonly number[]): readonly Span[] {
  const text = shown.map((layer) => signOf(request, layer)).join("");
  return text.trim() === "" ? [] : [{ text, bold: true }];
}

function signOf(request: PlanRequest, layer: number): string {
  if (request.protectedLayers?.includes(layer)) return "P";
  const factor = request.layerBudgets?.find((budget) => budget.layer === layer)?.factor;
  return factor === undefined ? " " : factor > 1 ? "+" : "-";
}
