/**
 * The plots of a report: what size costs on each kind of text, and what cutting a layer more or less would cost.
 * @module
 */
import type { DamageRow, ExportRow, PerplexityRow, Report } from "../evaluate/report.ts";
import { fileName, fileOf } from "../evaluate/steps.ts";
import { html, type Markup } from "./markup.ts";
import { structureNames } from "./module_map.ts";
import { formatBytes, formatFigure, formatPercent } from "./numbers.ts";
import { lineColors } from "./page.ts";
import { linePlot, type PlotLine, type PlotPoint } from "./plot.ts";

/**
 * Size against perplexity: the dense model, the pruned one, and its files in other formats, for every text and for each
 * kind of text.
 *
 * @param report A report with perplexities before and after
 * @returns A figure; nothing where nothing was measured after a cut
 */
export function tradeOffPlot(report: Report): Markup {
  const texts = report.perplexity.filter(({ pruned }) => pruned !== undefined);
  if (texts.length === 0) return html``;
  const kinds = textKinds(texts);
  const steps = sizeSteps(report);
  const points = (name: string, of: readonly PerplexityRow[]): readonly PlotPoint[] =>
    steps.flatMap(({ label, bytes, perplexity }) => {
      const ratios = of.map((text) => (perplexity(text) ?? NaN) / text.dense);
      const y = geometricMean(ratios);
      if (!Number.isFinite(y)) return [];
      const title = `${name}, ${label}: ${formatBytes(bytes)}, ${
        formatFigure(y)
      } × the dense perplexity`;
      return [{ x: bytes / 1e6, y, title }];
    });
  const lines: readonly PlotLine[] = [
    ...texts.map((text): PlotLine => ({
      points: points(text.name, [text]),
      color: text.calibrated === false ? lineColors[1] : lineColors[0],
      faint: true,
    })),
    ...kinds.map(({ name, texts, color }): PlotLine => ({
      name,
      points: points(name, texts),
      color,
    })),
  ];
  return linePlot({
    title:
      "Size of the weights against perplexity, relative to the dense model, for each kind of text",
    x: { label: "size of the weights, MB", format: megabytes, includes: [0] },
    y: {
      label: "perplexity, × dense",
      format: (value) => String(Number(value.toPrecision(3))),
      logarithmic: true,
      includes: [1],
    },
    lines,
  });
}

interface SizeStep {
  readonly label: string;
  readonly bytes: number;
  readonly perplexity: (text: PerplexityRow) => number | undefined;
}

/** From the largest to the smallest, so that a line leads to the left. */
function sizeSteps({ result, exports = [] }: Report): readonly SizeStep[] {
  const files = exports.flatMap((row: ExportRow): SizeStep[] =>
    row.bytes.pruned === undefined ? [] : [{
      label: `pruned, ${fileName(row)}`,
      bytes: row.bytes.pruned,
      perplexity: (text) => fileOf(text, row)?.pruned,
    }]
  );
  const model: readonly SizeStep[] = [
    { label: "dense", bytes: result.bytes.before, perplexity: ({ dense }) => dense },
    { label: "pruned", bytes: result.bytes.after, perplexity: ({ pruned }) => pruned },
  ];
  return [...model, ...files.filter(({ bytes }) => bytes < result.bytes.after)]
    .toSorted((a, b) => b.bytes - a.bytes);
}

/** A kind of text, and which texts are of it. */
export interface TextKind {
  readonly name: string;
  readonly texts: readonly PerplexityRow[];
  readonly color: string;
}

/**
 * The kinds of text of a report.
 *
 * @param texts Texts
 * @returns Those that calibration had and those that it had not, as far as there are any
 */
export function textKinds(texts: readonly PerplexityRow[]): readonly TextKind[] {
  const calibrated = texts.filter((text) => text.calibrated);
  const others = texts.filter((text) => !text.calibrated);
  return [
    { name: "texts calibrated on", texts: calibrated, color: lineColors[0] },
    { name: "texts not covered", texts: others, color: lineColors[1] },
  ].filter(({ texts }) => texts.length > 0);
}

/**
 * What cutting a layer more or less costs, with the points chosen: measured loss where it was learned, else the error
 * that is left in the layer's output.
 *
 * @param rows The report's damage
 * @returns A figure for each kind of unit, with its heading
 */
export function damagePlots(rows: readonly DamageRow[]): Markup {
  const kinds = [...new Set(rows.map(({ structure }) => structure))];
  return html`${
    kinds.map((structure) => {
      const own = rows.filter((row) => row.structure === structure);
      const learned = own.some(({ loss }) => loss !== undefined);
      const label = learned ? "loss added, nats per token" : "relative output error";
      const last = Math.max(...own.map(({ layer }) => layer), 1);
      const plot = linePlot({
        title: `What cutting ${
          structureNames[structure]
        } of one layer costs, by layer, with the points chosen`,
        x: {
          label: "share removed, %",
          format: (value) => String(Math.round(value)),
          includes: [0, 100],
        },
        y: { label, format: (value) => String(Number(value.toPrecision(2))), logarithmic: true },
        lines: own.map((row): PlotLine => ({
          ...(own.length <= 12 || row.layer % Math.ceil(own.length / 8) === 0
            ? { name: `layer ${row.layer}` }
            : {}),
          color: `color-mix(in oklab, ${lineColors[0]}, ${lineColors[1]} ${
            Math.round(100 * row.layer / last)
          }%)`,
          points: damagePoints(row, learned),
        })),
      });
      return html`<h3>${structureNames[structure]}</h3>
${plot}`;
    })
  }`;
}

function damagePoints(row: DamageRow, learned: boolean): readonly PlotPoint[] {
  const curve = learned ? row.loss ?? [] : row.error ?? [];
  const known = curve.filter(([, value]) => value > 0);
  const what = learned ? "nats per token added" : "relative output error";
  const chosen = interpolated(known, row.removed);
  const points = known.map(([share, value]): PlotPoint => ({ x: 100 * share, y: value }));
  if (chosen === undefined) return points;
  const title = `Layer ${row.layer}: ${formatPercent(row.removed)} of the ${
    structureNames[row.structure]
  } removed, about ${formatFigure(chosen)} ${what}`;
  return [...points, { x: 100 * row.removed, y: chosen, title, chosen: true }]
    .toSorted((a, b) => a.x - b.x);
}

/** Between two points as the plot's line goes, straight in the logarithm; before the first in proportion to the share. */
function interpolated(
  curve: readonly (readonly [number, number])[],
  share: number,
): number | undefined {
  const above = curve.findIndex(([x]) => x >= share);
  if (above < 0) return undefined;
  const [right, high] = curve[above];
  if (right === share) return high;
  if (above === 0) return share > 0 ? high * share / right : undefined;
  const [left, low] = curve[above - 1];
  const part = (share - left) / (right - left);
  return Math.exp((1 - part) * Math.log(low) + part * Math.log(high));
}

/**
 * The geometric mean.
 *
 * @param values Positive numbers
 * @returns Their mean; not a number where there is none, or one is none
 */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function megabytes(value: number): string {
  return String(Number(value.toPrecision(3)));
}
