/**
 * A comparison as a page that a browser shows: methods × sparsities as plots, one for each kind of text, and tables.
 * @module
 */
import { meanAccuracy } from "../evaluate/mean_accuracy.ts";
import type { CompareRow, Comparison } from "../evaluate/report.ts";
import { html, type Piece, table, type TableRow } from "./markup.ts";
import { formatCount, formatFigure, formatFixed, formatPercent } from "./numbers.ts";
import { lineColors, page, section } from "./page.ts";
import { linePlot, type PlotLine } from "./plot.ts";

/**
 * Writes a comparison as one HTML file without scripts, which loads nothing.
 *
 * @param comparison The comparison
 * @returns The text of the file
 */
export function comparisonPage(comparison: Comparison): string {
  const { model, calibration, texts, rows, notes } = comparison;
  const plots = views.flatMap(({ title, of }) => {
    const drawn = plotOf(title, rows, of);
    return drawn.text === "" ? [] : [html`<h3>${title}</h3>
${drawn}`];
  });
  return page(`Methods compared on ${model.source}`, [
    html`
      <p
        class="quiet">Perplexity of the pruned model over that of the dense one, geometric means over texts; lower is better. All rows are from one set of statistics.</p>
    `,
    section("Sparsity against perplexity", plots),
    section("All rows", rowTable(rows)),
    section("Each text", textTable(comparison)),
    section(
      "Notes",
      notes.length === 0 ? undefined : html`
        <ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>
      `,
    ),
    section("Conditions", conditions(texts, calibration)),
  ]);
}

const views: readonly {
  readonly title: string;
  readonly of: (row: CompareRow) => number | undefined;
}[] = [
  { title: "All texts", of: (row) => row.geomeanRatio },
  {
    title: "Texts calibrated on",
    of: (row) => row.uncoveredRatio === undefined ? undefined : row.calibratedRatio,
  },
  {
    title: "Texts not covered",
    of: (row) => row.calibratedRatio === undefined ? undefined : row.uncoveredRatio,
  },
  { title: "The worst text", of: (row) => row.worst.ratio },
];

function plotOf(
  title: string,
  rows: readonly CompareRow[],
  of: (row: CompareRow) => number | undefined,
): ReturnType<typeof linePlot> {
  const names = [...new Set(rows.map(nameOf))];
  const lines = names.map((name, at): PlotLine => ({
    name,
    color: lineColors[at % lineColors.length],
    points: rows.filter((row) => nameOf(row) === name)
      .toSorted((a, b) => a.reachedSparsity - b.reachedSparsity)
      .map((row) => {
        const y = of(row) ?? NaN;
        const worst = title === "The worst text" ? ` (${row.worst.name})` : "";
        return {
          x: 100 * row.reachedSparsity,
          y,
          title: `${name} at ${formatPercent(row.reachedSparsity)}: × ${formatFigure(y)}${worst}`,
        };
      }),
  }));
  return linePlot({
    title: `${title}: share of the prunable parameters removed against perplexity, for each method`,
    x: {
      label: "removed, % of the prunable parameters",
      format: (value) => String(Number(value.toPrecision(3))),
      includes: [0],
    },
    y: {
      label: "perplexity, × dense",
      format: (value) => String(Number(value.toPrecision(3))),
      logarithmic: true,
      includes: [1],
    },
    lines,
    height: 260,
  });
}

function nameOf({ method, metric, refit }: CompareRow): string {
  return `${method}${method === "gprune" ? ` on ${metric}` : ""}${
    refit === "none" ? "" : ` + ${refit}`
  }`;
}

function rowTable(rows: readonly CompareRow[]): Piece {
  if (rows.length === 0) return undefined;
  const tasks = rows.some((row) => (row.tasks ?? []).length > 0);
  const accuracy = (row: CompareRow) => {
    const mean = meanAccuracy((row.tasks ?? []).map(({ dense, pruned }) => pruned ?? dense));
    return mean === undefined
      ? "–"
      : `${formatPercent(mean.acc)} ± ${formatFixed(100 * mean.stderr, 1)}`;
  };
  return table(
    "Ratios of perplexity, pruned / dense",
    [
      { heading: "Method" },
      { heading: "Shape" },
      { heading: "Removed", numeric: true },
      { heading: "All", numeric: true },
      { heading: "Calibrated", numeric: true },
      { heading: "Not covered", numeric: true },
      { heading: "Worst", numeric: true },
      { heading: "Worst text" },
      ...(tasks ? [{ heading: "Right", numeric: true }] : []),
    ],
    rows.map((row): TableRow => ({
      sums: row.geomeanRatio === Math.min(
        ...rows.filter(({ sparsity }) => sparsity === row.sparsity).map((each) =>
          each.geomeanRatio
        ),
      ),
      cells: [
        nameOf(row),
        row.shape,
        formatPercent(row.reachedSparsity),
        formatFigure(row.geomeanRatio),
        formatFigure(row.calibratedRatio),
        formatFigure(row.uncoveredRatio),
        formatFigure(row.worst.ratio),
        row.worst.name,
        ...(tasks ? [accuracy(row)] : []),
      ],
    })),
  );
}

function textTable({ rows, texts }: Comparison): Piece {
  if (rows.length === 0) return undefined;
  return table(
    "Perplexity of each text",
    [
      { heading: "Method" },
      { heading: "Removed", numeric: true },
      ...texts.map(({ name }) => ({ heading: name, numeric: true })),
    ],
    [
      { cells: ["dense", "", ...texts.map(({ dense }) => formatFigure(dense))], sums: true },
      ...rows.map((row) => ({
        cells: [
          nameOf(row),
          formatPercent(row.reachedSparsity),
          ...texts.map(({ name }) =>
            formatFigure(row.perplexity.find((text) => text.name === name)?.pruned)
          ),
        ],
      })),
    ],
  );
}

function conditions(
  texts: Comparison["texts"],
  calibration: Comparison["calibration"],
): Piece {
  const columns = [
    { heading: "Text" },
    { heading: "Tokens", numeric: true },
    { heading: "Windows × tokens", numeric: true },
    { heading: "SHA-256" },
  ];
  const row = (text: Comparison["calibration"][number]): TableRow => ({
    cells: [
      text.name,
      formatCount(text.tokens),
      `${text.windows} × ${text.seqLen}`,
      html`<code>${text.sha256.slice(0, 12)}</code>`,
    ],
  });
  return [
    table("Evaluation texts", columns, texts.map(row)),
    calibration.length === 0 ? undefined : table(
      "Calibration texts; self is text sampled from the model itself",
      columns,
      calibration.map(row),
    ),
  ];
}
