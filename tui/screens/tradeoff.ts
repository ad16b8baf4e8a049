/**
 * The trade-off: a row per sparsity with perplexities, measured or predicted, and a plot of them.
 * @module
 */
import type { LiveState, TradeoffRow } from "../../core/session/live/state.ts";
import { bar, formatBytes, formatCount, formatFigure, missing, pad } from "../format.ts";
import {
  type Cell,
  fitHeight,
  type FixedColumn,
  headingLine,
  type Line,
  line,
  tableLine,
} from "./spans.ts";

/** What stands before a number that was not measured. */
export const predictedMark = "~";

/**
 * The table.
 *
 * @param live The session
 * @param width Columns
 * @param height Rows, the heading and the dense model's row among them
 * @returns Lines, at most `height`
 */
export function tradeoffTable(live: LiveState, width: number, height: number): readonly Line[] {
  const columns = tradeoffColumns(live, width);
  const fixed = columns.map(({ heading, width, align }) => ({ heading, width, align }));
  const rows = live.rows.map((row) => {
    const chosen = row.sparsity === live.request?.sparsity;
    const cells = columns.map((column): Cell => ({
      text: column.cell(row),
      ...(chosen ? { bold: true } : row.measured ? {} : { dim: true }),
    }));
    return tableLine(fixed, cells, {});
  });
  const dense = tableLine(fixed, columns.map(({ dense }) => dense), {});
  const problem = live.rows.find(({ sparsity }) => sparsity === live.request?.sparsity)?.problem;
  const lines = [headingLine(fixed), dense, ...rows];
  return problem === undefined
    ? lines.slice(0, height)
    : [...lines.slice(0, height - 1), line(problem, { color: "red" })];
}

interface TradeoffColumn extends FixedColumn {
  readonly cell: (row: TradeoffRow) => string;
  readonly dense: string;
}

function tradeoffColumns(live: LiveState, width: number): readonly TradeoffColumn[] {
  const { texts } = live;
  const mark = (row: TradeoffRow, text: string) =>
    text === missing || row.measured ? text : predictedMark + text;
  const running = runningSparsity(live);
  const first: TradeoffColumn = {
    heading: "Cut",
    width: 7,
    align: "left",
    dense: "  dense",
    cell: ({ sparsity }) =>
      (sparsity === live.request?.sparsity ? "▸" : " ") +
      pad(`${percent(sparsity)} %`, 5, "right") +
      (sparsity === running ? "…" : " "),
  };
  const ratio: TradeoffColumn = {
    heading: "Ratio",
    width: 6,
    align: "right",
    dense: "1",
    cell: (row) => mark(row, formatFigure(row.ratio)),
  };
  const sizes: readonly TradeoffColumn[] = [
    {
      heading: "Params",
      width: 7,
      align: "right",
      dense: formatMany(live.model?.parameters),
      cell: ({ parameters }) => formatMany(parameters),
    },
    {
      heading: "Size",
      width: 7,
      align: "right",
      dense: formatBytes(live.model?.bytes ?? NaN),
      cell: ({ bytes }) => formatBytes(bytes ?? NaN),
    },
    {
      heading: "Tok/s",
      width: 7,
      align: "right",
      dense: formatMany(live.denseTokensPerSecond),
      cell: (row) => mark(row, formatMany(row.tokensPerSecond)),
    },
  ];
  const compared: readonly TradeoffColumn[] = live.baseline === undefined ? [] : [{
    heading: live.baseline.slice(0, 8),
    width: 8,
    align: "right",
    dense: "1",
    cell: ({ baselineRatio }) => formatFigure(baselineRatio),
  }];
  const taken = (columns: readonly TradeoffColumn[]) =>
    columns.reduce((sum, column) => sum + column.width + 1, 0);
  // Where not all texts would fit, the parameters give way: the choice tells its own above.
  const wanted = width + 1 - 7 * texts.length;
  const all = taken([first, ratio, ...sizes, ...compared]) <= wanted;
  const shownSizes = all ? sizes : sizes.slice(1);
  const left = width + 1 - taken([first, ratio, ...shownSizes, ...compared]);
  const most = Math.max(0, Math.floor(left / 7));
  const shownTexts = texts.slice(0, most);
  const each = Math.min(10, Math.floor(left / Math.max(1, shownTexts.length)) - 1);
  const textColumns = shownTexts.map(({ name, dense, calibrated }, index): TradeoffColumn => ({
    heading: [...(calibrated ? name : `°${name}`)].slice(0, each).join(""),
    width: each,
    align: "right",
    dense: formatFigure(dense),
    cell: (row) => mark(row, formatFigure(row.perplexity[index])),
  }));
  return [first, ...textColumns, ratio, ...compared, ...shownSizes];
}

/** The sparsity that is being measured, if one is. */
function runningSparsity({ activity }: LiveState): number | undefined {
  if (activity?.kind !== "measure") return undefined;
  const percent = /(\d+) %/.exec(activity.label)?.[1];
  return percent === undefined ? undefined : Number(percent) / 100;
}

function percent(sparsity: number): string {
  const value = 100 * sparsity;
  return Number.isInteger(Math.round(value * 1e6) / 1e6) ? value.toFixed(0) : value.toFixed(1);
}

/** A large number in few columns: 1.44 M. */
export function formatMany(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return missing;
  for (const [unit, size] of [["T", 1e12], ["B", 1e9], ["M", 1e6]] as const) {
    if (value >= 0.9995 * size) return `${(value / size).toPrecision(3)}${unit}`;
  }
  return value >= 99_950 ? `${Math.round(value / 1000)}k` : formatCount(value);
}

/**
 * What the choice comes to, as bars for where there is no room for a plot.
 *
 * @param live The session
 * @param width Columns
 * @returns The line
 */
export function choiceBar(live: LiveState, width: number): Line {
  const share = live.plan === undefined ? 0 : live.plan.result.sparsity;
  return [{ text: bar(1 - share, width) }];
}

/**
 * The plot: perplexity ratio upwards, sparsity to the right.
 *
 * @param live The session
 * @param width Columns
 * @param height Rows, the axis and its numbers among them; under 5 there is no plot
 * @returns Exactly `height` lines
 */
export function tradeoffPlot(live: LiveState, width: number, height: number): readonly Line[] {
  const points = plotPoints(live);
  if (height < 5 || width < 30 || points.length === 0) return fitHeight([], height);
  const label = 8;
  const columns = width - label - 1;
  const rows = height - 3;
  const highest = Math.max(...points.map(({ ratio }) => Math.log(ratio)), Math.log(1.1));
  const least = Math.min(0, ...points.map(({ ratio }) => Math.log(ratio)));
  const grid = Array.from({ length: rows }, () => new Array<string>(columns).fill(" "));
  const column = (sparsity: number) => Math.round(sparsity / 0.8 * (columns - 1));
  for (const { sparsity, ratio, sign } of points) {
    const up = (Math.log(ratio) - least) / (highest - least);
    const x = column(sparsity);
    if (x >= 0 && x < columns) grid[rows - 1 - Math.round(up * (rows - 1))][x] = sign;
  }
  const level = (row: number) => Math.exp(least + (1 - row / (rows - 1)) * (highest - least));
  const body = grid.map((cells, row): Line => [
    {
      text: pad(
        row === 0 || row === rows - 1 || row === Math.floor(rows / 2)
          ? `${formatFigure(level(row))} ×`
          : "",
        label,
        "right",
      ),
      dim: true,
    },
    { text: "│", dim: true },
    { text: cells.join("").trimEnd() },
  ]);
  const ticks = new Array<string>(columns).fill("─");
  const names = new Array<string>(columns).fill(" ");
  for (const tenth of [0, 2, 4, 6, 8]) {
    const x = column(tenth / 10);
    ticks[x] = "┴";
    const name = `${tenth}0 %`.replace(/^00/, "0");
    const start = Math.min(columns - name.length, Math.max(0, x - 1));
    for (const [at, letter] of [...name].entries()) names[start + at] = letter;
  }
  const legend = `● measured  ○ predicted  ◆ chosen${
    live.baseline === undefined ? "" : `  × ${live.baseline}`
  }`;
  return [
    line(`Perplexity ratio against cut   ${legend}`, { dim: true }),
    ...body,
    line(`${" ".repeat(label)}└${ticks.join("")}`, { dim: true }),
    line(`${" ".repeat(label + 1)}${names.join("")}`, { dim: true }),
  ];
}

interface PlotPoint {
  readonly sparsity: number;
  readonly ratio: number;
  readonly sign: string;
}

function plotPoints({ rows, request }: LiveState): readonly PlotPoint[] {
  const own = rows.flatMap(({ sparsity, ratio, measured }) =>
    ratio === undefined ? [] : [{
      sparsity,
      ratio,
      sign: sparsity === request?.sparsity ? "◆" : measured ? "●" : "○",
    }]
  );
  const others = rows.flatMap(({ sparsity, baselineRatio: ratio }) =>
    ratio === undefined ? [] : [{ sparsity, ratio, sign: "×" }]
  );
  return [...others, ...own];
}
