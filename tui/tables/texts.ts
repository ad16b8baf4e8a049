/**
 * What a model is worth on each text, as tables: perplexity and multiple choice.
 * @module
 */
import type { Accuracy, PerplexityRow, Report, TaskRow } from "../../core/evaluate/report.ts";
import { fileName, fileOf } from "../../core/evaluate/steps.ts";
import { formatCount, formatFigure, formatPercent } from "../format.ts";
import { type Column, renderTable, type Row } from "../layout.ts";

type Rated = PerplexityRow & { readonly pruned: number };

/**
 * Draws perplexity per text: before and after with their ratio, then means over texts that calibration had and had
 * not, then the text that lost most. A report of `evaluate` has one perplexity per text.
 *
 * @param report The report
 * @param width Columns of the terminal
 * @returns A heading and a table, or an empty text where nothing was evaluated
 */
export function perplexityTable(report: Report, width: number): string {
  const texts = report.perplexity;
  if (texts.length === 0) return "";
  const rated = texts.filter((text): text is Rated => text.pruned !== undefined);
  const calibrated = calibratedBy(report);
  const known = report.calibration.length > 0 || texts.some((text) => text.calibrated);
  const files = fileColumns(report, rated.length > 0, width);
  const columns = perplexityColumns(rated.length > 0, known, width, Object.keys(files));
  const cell: Readonly<Record<string, (text: PerplexityRow) => string>> = {
    ...Object.fromEntries(
      Object.entries(files).map(([name, of]) => [name, (text) => formatFigure(of(text))]),
    ),
    Text: (text) => text.name,
    Calibrated: (text) => calibrated(text) ? "yes" : "no",
    Tokens: (text) => formatCount(text.tokens),
    Windows: (text) => formatCount(text.windows),
    "SHA-256": (text) => text.sha256.slice(0, 8),
    Dense: (text) => formatFigure(text.dense),
    Perplexity: (text) => formatFigure(text.dense),
    Pruned: (text) => formatFigure(text.pruned),
    Ratio: (text) => formatFigure(ratio(text)),
  };
  const rows: Row[] = texts.map((text) => columns.map(({ heading }) => cell[heading](text)));
  if (rated.length > 0) {
    rows.push("rule", ...meanRows(rated, { calibrated, known, columns, files }));
  }
  const heading = `Perplexity in windows of ${windowSizes(texts)} tokens`;
  return `${heading}${rated.length > 0 ? " (ratio = pruned / dense, lower is better)" : ""}\n\n` +
    renderTable(columns, rows, width);
}

type FileColumns = Readonly<Record<string, (text: PerplexityRow) => number | undefined>>;

/** Files in other formats, as many as there is room for: the pruned ones where there are any, else the dense ones. */
function fileColumns(report: Report, pruned: boolean, width: number): FileColumns {
  const which = pruned ? "pruned" : "dense";
  const room = Math.max(0, Math.floor((width - 68) / 11));
  // Float32 says what the model itself says, so it comes last.
  const files = (report.exports ?? []).filter((row) => row.bytes[which] !== undefined)
    .toSorted((a, b) => Number(a.quantize === "none") - Number(b.quantize === "none"));
  return Object.fromEntries(
    files.slice(0, room).map((row) => [
      fileName(row),
      (text: PerplexityRow) => fileOf(text, row)?.[which],
    ]),
  );
}

function perplexityColumns(
  pruned: boolean,
  calibration: boolean,
  width: number,
  files: readonly string[],
): readonly Column[] {
  const conditions = width >= 100 && files.length === 0;
  const shown = (when: boolean, heading: string, align: Column["align"]): readonly Column[] =>
    when ? [{ heading, align }] : [];
  return [
    { heading: "Text", align: "left", shrinks: true },
    ...shown(pruned && calibration, "Calibrated", "left"),
    ...shown(conditions, "SHA-256", "left"),
    ...shown(true, "Tokens", "right"),
    ...shown(conditions, "Windows", "right"),
    ...shown(true, pruned ? "Dense" : "Perplexity", "right"),
    ...shown(pruned, "Pruned", "right"),
    ...shown(pruned, "Ratio", "right"),
    ...files.map((heading) => ({ heading, align: "right" } as const)),
  ];
}

interface MeanRows {
  readonly calibrated: (text: PerplexityRow) => boolean;
  readonly known: boolean;
  readonly columns: readonly Column[];
  readonly files: FileColumns;
}

function meanRows(
  texts: readonly Rated[],
  { calibrated, known, columns, files }: MeanRows,
): readonly Row[] {
  const ofFiles = (of: readonly Rated[]) =>
    Object.fromEntries(
      Object.entries(files).map(([name, value]) => [
        name,
        formatFigure(geometricMean(of.map((text) => value(text) ?? NaN))),
      ]),
    );
  const row = (name: string, cells: Readonly<Record<string, string>>) =>
    columns.map(({ heading }) => heading === "Text" ? name : cells[heading] ?? "");
  const mean = (name: string, of: readonly Rated[], mark: string): Row[] =>
    of.length === 0 ? [] : [row(name, {
      Calibrated: mark,
      Dense: formatFigure(geometricMean(of.map((text) => text.dense))),
      Pruned: formatFigure(geometricMean(of.map((text) => text.pruned))),
      Ratio: formatFigure(geometricMean(of.map(ratio))),
      ...ofFiles(of),
    })];
  const worst = texts.reduce((a, b) => ratio(b) > ratio(a) ? b : a);
  const split = known
    ? [
      ...mean("  of the calibrated", texts.filter(calibrated), "yes"),
      ...mean("  of those not covered", texts.filter((text) => !calibrated(text)), "no"),
    ]
    : [];
  return [
    ...mean(`Geometric mean of ${texts.length}`, texts, ""),
    ...split,
    row(`Worst: ${worst.name}`, {
      Calibrated: known ? (calibrated(worst) ? "yes" : "no") : "",
      Dense: formatFigure(worst.dense),
      Pruned: formatFigure(worst.pruned),
      Ratio: formatFigure(ratio(worst)),
      ...ofFiles([worst]),
    }),
  ];
}

/**
 * Draws multiple choice: the share of questions answered right.
 *
 * @param tasks The tasks
 * @param width Columns of the terminal
 * @returns A heading and a table, or an empty text without tasks
 */
export function tasksTable(tasks: readonly TaskRow[], width: number): string {
  if (tasks.length === 0) return "";
  const pruned = tasks.some((task) => task.pruned !== undefined);
  const columns: readonly Column[] = [
    { heading: "Task", align: "left", shrinks: true },
    { heading: "Questions", align: "right" },
    { heading: pruned ? "Dense" : "Right", align: "right" },
    ...(pruned ? [{ heading: "Pruned", align: "right" } as const] : []),
    { heading: pruned ? "Dense/byte" : "Right/byte", align: "right" },
    ...(pruned ? [{ heading: "Pruned/byte", align: "right" } as const] : []),
  ];
  const right = (accuracy: Accuracy | undefined) =>
    accuracy === undefined
      ? "–"
      : `${formatPercent(accuracy.acc)} ± ${(100 * accuracy.stderr).toFixed(1)}`;
  const rows = tasks.map((task) => [
    task.name,
    formatCount(task.items),
    right(task.dense),
    ...(pruned ? [right(task.pruned)] : []),
    formatPercent(task.dense.accNorm),
    ...(pruned ? [formatPercent(task.pruned?.accNorm ?? NaN)] : []),
  ]);
  return `Multiple choice (share answered right, ± standard error)\n\n${
    renderTable(columns, rows, width)
  }`;
}

/**
 * The geometric mean.
 *
 * @param values Positive numbers
 * @returns Their mean, or NaN without any
 */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function calibratedBy(report: Report): (text: PerplexityRow) => boolean {
  const names = new Set(report.calibration.map((text) => text.name));
  return (text) => text.calibrated ?? names.has(text.name);
}

function ratio(text: PerplexityRow): number {
  return (text.pruned ?? NaN) / text.dense;
}

function windowSizes(texts: readonly PerplexityRow[]): string {
  return [...new Set(texts.map((text) => text.seqLen))].sort((a, b) => a - b).map(formatCount)
    .join(", ");
}
