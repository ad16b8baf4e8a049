/**
 * Markdown of the quality bench: tables, numbers with their spread, and a file whose parts are replaced one by one.
 * @module
 */
import type { CompareRow } from "../../core/evaluate/report.ts";

/** A table: headings aligned left and then right, and rows of as many cells. */
export interface Table {
  /** Headings of words. */
  readonly left: readonly string[];
  /** Headings of numbers. */
  readonly right: readonly string[];
  /** Cells. */
  readonly rows: readonly (readonly string[])[];
}

/**
 * Writes a table, padded so that it can be read as text too.
 *
 * @param table Headings and cells
 * @returns Lines, each with a line break
 */
export function markdownTable({ left, right, rows }: Table): string {
  const heads = [...left, ...right];
  const cells = [heads, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = heads.map((_, column) => Math.max(3, ...cells.map((row) => row[column].length)));
  const line = (row: readonly string[]) =>
    `| ${
      row.map((cell, column) =>
        column < left.length ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
      ).join(" | ")
    } |\n`;
  const rule = widths.map((width, column) =>
    column < left.length ? "-".repeat(width) : `${"-".repeat(width - 1)}:`
  );
  return [line(cells[0]), line(rule), ...cells.slice(1).map(line)].join("");
}

/**
 * A number with four digits that say something, and over several seeds its sample standard deviation.
 *
 * @param values One for each seed
 * @returns Text such as `1.234` or `1.234 ± 0.012`; a dash where a value is missing
 */
export function spread(values: readonly (number | undefined)[]): string {
  const known = values.filter((value) => value !== undefined);
  if (known.length < values.length || known.length === 0) return "–";
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const places = mean < 10 ? 3 : mean < 100 ? 2 : mean < 1000 ? 1 : 0;
  const text = mean.toFixed(places);
  if (known.length === 1) return text;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return `${text} ± ${Math.sqrt(squares / (known.length - 1)).toFixed(places)}`;
}

/**
 * The ratio of the worst text, with the names of those that are worst at some seed.
 *
 * @param rows One for each seed
 * @returns Text such as `1.90 ± 0.02 (python)`
 */
export function worstOf(rows: readonly CompareRow[]): string {
  const names = [...new Set(rows.map(({ worst }) => worst.name))].join(", ");
  return `${spread(rows.map(({ worst }) => worst.ratio))} (${names})`;
}

/** A part of a file that a later run can replace. */
export interface Part {
  /** Its name, once in a file. */
  readonly name: string;
  /** Its Markdown. */
  readonly text: string;
}

const opening = (name: string) => `<!-- begin ${name} -->`;
const closing = (name: string) => `<!-- end ${name} -->`;

/**
 * Puts parts into a document: those it has already are replaced, others are added at its end.
 *
 * @param document Markdown, or empty
 * @param head What a new document starts with
 * @param parts The parts
 * @returns The document
 */
export function withParts(document: string, head: string, parts: readonly Part[]): string {
  let text = document === "" ? head : document;
  for (const { name, text: body } of parts) {
    const block = `${opening(name)}\n\n${body.trim()}\n\n${closing(name)}`;
    const start = text.indexOf(opening(name));
    const end = text.indexOf(closing(name));
    text = start < 0 || end < start
      ? `${text.trimEnd()}\n\n${block}\n`
      : text.slice(0, start) + block + text.slice(end + closing(name).length);
  }
  return text;
}
