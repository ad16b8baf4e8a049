/**
 * A comparison as a table on the terminal, as comma-separated values and as Markdown.
 * @module
 */
import type { Accuracy, CompareRow, Comparison } from "../../core/evaluate/report.ts";
import { meanAccuracy } from "../../core/evaluate/mean_accuracy.ts";
import { formatCount, formatFigure, formatFixed, formatPercent, wrap } from "../format.ts";
import {
  type Column,
  joinBlocks,
  renderEntries,
  renderNotes,
  renderTable,
  type Row,
} from "../layout.ts";

/**
 * Draws a comparison: a row for each method and refit, groups by sparsity, the best mean of each group marked.
 *
 * @param comparison The comparison
 * @param width Columns of the terminal
 * @param seenNotes Notes that stand on the screen already
 * @returns Text that ends with a line break
 */
export function comparisonText(
  comparison: Comparison,
  width: number,
  seenNotes: ReadonlySet<string> = new Set(),
): string {
  const texts = width >= 100 ? shownTexts(comparison, width) : [];
  const columns = comparisonColumns(comparison, texts, width);
  const groups = groupsOf(comparison.rows);
  const rows = groups.flatMap((group, at): Row[] => {
    const best = Math.min(...group.map((row) => row.geomeanRatio));
    const drawn = group.map((row) => comparisonCells(row, comparison, texts, best));
    return at === 0 ? drawn : ["rule", ...drawn];
  });
  return joinBlocks([
    heading(comparison, width),
    renderTable(columns, rows, width),
    renderNotes(comparison.notes.filter((note) => !seenNotes.has(note)), width),
  ]);
}

function heading({ model, texts, calibration, rows }: Comparison, width: number): string {
  const names = calibration.map((text) => text.name).join(", ") || "none";
  const dense = texts.map((text) => `${text.name} ${formatFigure(text.dense)}`).join(", ");
  const tokens = formatCount(texts.reduce((sum, text) => sum + text.tokens, 0));
  const title = `Perplexity of ${model.source}, pruned / dense: ` +
    "geometric means over texts, lower is better (* the best of its sparsity)";
  const conditions = renderEntries([
    ["Calibrated on", names],
    ["Evaluated on", `${dense} (dense perplexity; ${tokens} tokens in all)`],
    ["Right", rightText(rows)],
  ], width);
  return `${wrap(title, width)}\n\n${conditions}`;
}

/** Of the dense model, which is the same in all rows. */
function rightText(rows: readonly CompareRow[]): string | undefined {
  const tasks = rows.find(({ tasks = [] }) => tasks.length > 0)?.tasks;
  if (tasks === undefined) return undefined;
  const dense = tasks.map(({ name, dense }) => `${name} ${formatPercent(dense.acc)}`).join(", ");
  const mean = accuracyText(meanAccuracy(tasks.map((task) => task.dense)));
  return `multiple choice, mean ± standard error; dense ${mean}: ${dense}`;
}

/** The mean share of right answers over a row's tasks, with its standard error. */
function accuracyText(accuracy: Accuracy | undefined): string {
  if (accuracy === undefined) return "–";
  return `${formatFixed(100 * accuracy.acc, 1)} ± ${formatFixed(100 * accuracy.stderr, 1)} %`;
}

function hasTasks(rows: readonly CompareRow[]): boolean {
  return rows.some((row) => row.tasks !== undefined && row.tasks.length > 0);
}

function comparisonColumns(
  { rows }: Comparison,
  texts: readonly string[],
  width: number,
): readonly Column[] {
  const short = width < 100 && hasTasks(rows);
  return [
    { heading: "Sparsity", align: "right" },
    { heading: "Method", align: "left" },
    ...(severalShapes(rows) ? [{ heading: "Shape", align: "left" } as const] : []),
    { heading: "Refit", align: "left" },
    { heading: "All", align: "right" },
    { heading: short ? "Calib." : "Calibrated", align: "right" },
    { heading: short ? "Not cov." : "Not covered", align: "right" },
    ...(hasTasks(rows) ? [{ heading: "Right, %", align: "right" } as const] : []),
    ...texts.map((heading) => ({ heading, align: "right" }) as const),
    { heading: "Worst", align: "left", shrinks: true },
  ];
}

function comparisonCells(
  row: CompareRow,
  comparison: Comparison,
  texts: readonly string[],
  best: number,
): readonly string[] {
  const ratioOf = (name: string) => {
    const text = row.perplexity.find((each) => each.name === name);
    return formatFigure(text === undefined ? undefined : text.pruned / text.dense);
  };
  return [
    formatPercent(row.sparsity, Number.isInteger(row.sparsity * 100) ? 0 : 1),
    methodName(row),
    ...(severalShapes(comparison.rows) ? [row.shape] : []),
    row.refit,
    `${formatFigure(row.geomeanRatio)}${row.geomeanRatio === best ? "*" : " "}`,
    formatFigure(row.calibratedRatio),
    formatFigure(row.uncoveredRatio),
    ...(hasTasks(comparison.rows) ? [rightCell(row).replace(/ (±) | %$/g, "$1")] : []),
    ...texts.map(ratioOf),
    `${formatFigure(row.worst.ratio)} ${row.worst.name}`,
  ];
}

function rightCell({ tasks = [] }: CompareRow, which: "dense" | "pruned" = "pruned"): string {
  return accuracyText(meanAccuracy(tasks.flatMap((task) => task[which] ?? [])));
}

/** Texts get columns of their own only if all of them fit. */
function shownTexts({ rows, texts }: Comparison, width: number): readonly string[] {
  const names = texts.map((text) => text.name);
  const taken = (severalShapes(rows) ? 95 : 85) + (hasTasks(rows) ? 10 : 0);
  const needed = names.reduce((sum, name) => sum + Math.max(name.length, 6) + 2, 0);
  return taken + needed <= width ? names : [];
}

function groupsOf(rows: readonly CompareRow[]): readonly (readonly CompareRow[])[] {
  const sparsities = [...new Set(rows.map((row) => row.sparsity))].sort((a, b) => a - b);
  return sparsities.map((sparsity) => rows.filter((row) => row.sparsity === sparsity));
}

function methodName(row: CompareRow): string {
  return row.metric === row.method ? row.method : `${row.method} (${row.metric})`;
}

function severalShapes(rows: readonly CompareRow[]): boolean {
  return new Set(rows.map((row) => row.shape)).size > 1;
}

/** Of each task, dense and pruned. */
const accuracyFields = [["acc", "acc"], ["acc_norm", "accNorm"], ["stderr", "stderr"]] as const;

const fixedHeadings = [
  "method",
  "metric",
  "refit",
  "shape",
  "sparsity",
  "reached_sparsity",
  "geomean_ratio",
  "calibrated_ratio",
  "uncovered_ratio",
  "worst_text",
  "worst_ratio",
] as const;

/**
 * Writes a comparison as comma-separated values (RFC 4180) with every text and task in columns of its own.
 *
 * @param comparison The comparison
 * @returns Lines, each with a line break
 */
export function comparisonCsv(comparison: Comparison): string {
  const names = comparison.texts.map((text) => text.name);
  const tasks = taskNames(comparison);
  const lines = [
    [
      ...fixedHeadings,
      ...names.flatMap((name) => [`dense_${name}`, `pruned_${name}`]),
      ...tasks.flatMap((name) =>
        accuracyFields.flatMap((
          [heading],
        ) => [`dense_${heading}_${name}`, `pruned_${heading}_${name}`])
      ),
    ],
    ...comparison.rows.map((row) => [
      ...fixedValues(row).map((value) => String(value ?? "")),
      ...names.flatMap((name) => {
        const text = row.perplexity.find((each) => each.name === name);
        return [String(text?.dense ?? ""), String(text?.pruned ?? "")];
      }),
      ...tasks.flatMap((name) => {
        const task = row.tasks?.find((each) => each.name === name);
        return accuracyFields.flatMap(([, field]) =>
          [task?.dense[field], task?.pruned?.[field]].map((value) => String(value ?? ""))
        );
      }),
    ]),
  ];
  return lines.map((cells) => `${cells.map(quoteCsv).join(",")}\n`).join("");
}

function taskNames({ rows }: Comparison): readonly string[] {
  return [...new Set(rows.flatMap(({ tasks = [] }) => tasks.map(({ name }) => name)))];
}

/**
 * Writes a comparison as a Markdown table with every text's ratio in a column of its own, and the mean share of
 * right answers where there are tasks.
 *
 * @param comparison The comparison
 * @returns Lines, each with a line break
 */
export function comparisonMarkdown(comparison: Comparison): string {
  const names = comparison.texts.map((text) => text.name);
  const left = ["sparsity", "method", "refit", "shape"];
  const tasks = hasTasks(comparison.rows);
  const right = [
    "all",
    "calibrated",
    "not covered",
    ...(tasks ? ["right, dense", "right"] : []),
    "worst",
    ...names,
  ];
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
  const rows = groupsOf(comparison.rows).flat().map((row) =>
    line([
      formatFixed(row.sparsity, 2),
      methodName(row),
      row.refit,
      row.shape,
      formatFigure(row.geomeanRatio),
      formatFigure(row.calibratedRatio),
      formatFigure(row.uncoveredRatio),
      ...(tasks ? [rightCell(row, "dense"), rightCell(row)] : []),
      `${formatFigure(row.worst.ratio)} (${row.worst.name})`,
      ...names.map((name) => {
        const text = row.perplexity.find((each) => each.name === name);
        return formatFigure(text === undefined ? undefined : text.pruned / text.dense);
      }),
    ])
  );
  return [
    line([...left, ...right]),
    line([...left.map(() => "---"), ...right.map(() => "---:")]),
    ...rows,
  ].join("");
}

function fixedValues(row: CompareRow): readonly (string | number | undefined)[] {
  return [
    row.method,
    row.metric,
    row.refit,
    row.shape,
    row.sparsity,
    row.reachedSparsity,
    row.geomeanRatio,
    row.calibratedRatio,
    row.uncoveredRatio,
    row.worst.name,
    row.worst.ratio,
  ];
}

function quoteCsv(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
