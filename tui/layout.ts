/**
 * Tables of text: light rules, columns that line up, a width that is kept.
 * @module
 */
import stringWidth from "string-width";
import { pad, truncate, wrap } from "./format.ts";

/** A column of a table. */
export interface Column {
  /** What stands above it. */
  readonly heading: string;
  /** Numbers stand to the right. */
  readonly align: "left" | "right";
  /** Whether its cells may be shortened where the table is too wide. */
  readonly shrinks?: boolean;
}

/** A row: one cell for each column, or a rule between groups. */
export type Row = readonly string[] | "rule";

const gap = 2;

/**
 * Draws a table: headings, a rule, rows.
 *
 * @param columns The columns
 * @param rows The rows; those with fewer cells are filled with empty ones
 * @param width Columns of the terminal
 * @returns Lines without a line break at the end
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly Row[],
  width: number,
): string {
  const widths = columnWidths(columns, rows, width);
  const total = widths.reduce((sum, each) => sum + each, 0) + gap * (columns.length - 1);
  const rule = "─".repeat(total);
  const line = (cells: readonly string[]) =>
    columns
      .map((column, at) => pad(truncate(cells[at] ?? "", widths[at]), widths[at], column.align))
      .join(" ".repeat(gap))
      .trimEnd();
  return [
    line(columns.map((column) => column.heading)),
    rule,
    ...rows.map((row) => row === "rule" ? rule : line(row)),
  ].join("\n");
}

function columnWidths(columns: readonly Column[], rows: readonly Row[], width: number): number[] {
  const widths = columns.map((column, at) =>
    Math.max(
      stringWidth(column.heading),
      ...rows.map((row) => row === "rule" ? 0 : stringWidth(row[at] ?? "")),
    )
  );
  let excess = widths.reduce((sum, each) => sum + each, 0) + gap * (columns.length - 1) - width;
  columns.forEach((column, at) => {
    if (column.shrinks !== true || excess <= 0) return;
    const smaller = Math.max(8, widths[at] - excess);
    excess -= Math.max(0, widths[at] - smaller);
    widths[at] = Math.min(widths[at], smaller);
  });
  return widths;
}

/**
 * Draws lines of a name and what belongs to it, the names in one column.
 *
 * @param entries Names and values; entries without a value are left out
 * @param width Columns of the terminal
 * @returns Lines without a line break at the end
 */
export function renderEntries(
  entries: readonly (readonly [name: string, value: string | undefined])[],
  width: number,
): string {
  const shown = entries.filter((entry): entry is readonly [string, string] =>
    entry[1] !== undefined
  );
  const names = Math.max(0, ...shown.map(([name]) => stringWidth(name)));
  const indent = " ".repeat(names + gap);
  // Wrapping eats runs of spaces, so the first line's name is set in front of a text wrapped for the rest.
  return shown
    .map(([name, value]) =>
      pad(name, names + gap) + wrap(value, width - names - gap).replaceAll("\n", `\n${indent}`)
    )
    .join("\n");
}

/**
 * Draws sentences as a list.
 *
 * @param notes The sentences
 * @param width Columns of the terminal
 * @returns Lines without a line break at the end; empty without notes
 */
export function renderNotes(notes: readonly string[], width: number): string {
  return notes
    .map((note) => `Note: ${wrap(note, width - 6).replaceAll("\n", "\n      ")}`)
    .join("\n");
}

/**
 * Puts blocks of lines below each other with an empty line between; empty blocks are left out.
 *
 * @param blocks The blocks
 * @returns The blocks and a line break at the end
 */
export function joinBlocks(blocks: readonly string[]): string {
  return `${blocks.filter((block) => block !== "").join("\n\n")}\n`;
}
