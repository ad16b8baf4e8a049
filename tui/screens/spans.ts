/**
 * Lines of styled text: what screens are made of, before anything is drawn.
 * @module
 */
import { columnsOf, pad, truncate } from "../format.ts";

/** How a piece of text looks. Nothing may be told by colour alone. */
export interface Style {
  readonly bold?: boolean;
  readonly dim?: boolean;
  /** Foreground and background exchanged: what is under the cursor. */
  readonly inverse?: boolean;
  readonly color?: "red" | "yellow" | "green" | "cyan";
}

/** A piece of text that looks the same from end to end. */
export interface Span extends Style {
  readonly text: string;
}

/** One line of a screen. */
export type Line = readonly Span[];

/**
 * A line of one piece.
 *
 * @param text The text
 * @param style How it looks
 * @returns The line
 */
export function line(text: string, style: Style = {}): Line {
  return [{ text, ...style }];
}

/**
 * Columns that a line takes.
 *
 * @param spans The line
 * @returns Columns on a terminal
 */
export function lineWidth(spans: Line): number {
  return spans.reduce((sum, { text }) => sum + columnsOf(text), 0);
}

/**
 * Cuts a line, with an ellipsis where something is gone.
 *
 * @param spans The line
 * @param width Columns
 * @returns A line of at most so many columns
 */
export function cutLine(spans: Line, width: number): Line {
  if (lineWidth(spans) <= width) return spans;
  const cut: Span[] = [];
  let left = width;
  for (const span of spans) {
    const own = columnsOf(span.text);
    // What fills the rest exactly is not all: its last column makes way for the ellipsis.
    if (own >= left) return [...cut, { ...span, text: truncate(`${span.text} `, left) }];
    cut.push(span);
    left -= own;
  }
  return cut;
}

/**
 * Makes a line as wide as it should be: cut, or filled with spaces.
 *
 * @param spans The line
 * @param width Columns
 * @returns A line of exactly so many columns
 */
export function fitLine(spans: Line, width: number): Line {
  const cut = cutLine(spans, width);
  const left = width - lineWidth(cut);
  return left > 0 ? [...cut, { text: " ".repeat(left) }] : cut;
}

/**
 * Sets blocks of lines side by side.
 *
 * @param blocks Lines and the columns that they take
 * @param gap Columns between blocks
 * @returns Lines, as many as the tallest block has
 */
export function beside(
  blocks: readonly { readonly lines: readonly Line[]; readonly width: number }[],
  gap: number,
): readonly Line[] {
  const height = Math.max(0, ...blocks.map(({ lines }) => lines.length));
  return Array.from({ length: height }, (_, row) =>
    blocks.flatMap(({ lines, width }, index) => [
      ...(index === 0 ? [] : [{ text: " ".repeat(gap) }]),
      ...fitLine(lines[row] ?? [], width),
    ]));
}

/**
 * Cuts or fills a block of lines to a height.
 *
 * @param lines The lines
 * @param height Rows
 * @returns Exactly so many lines
 */
export function fitHeight(lines: readonly Line[], height: number): readonly Line[] {
  return Array.from({ length: Math.max(0, height) }, (_, row) => lines[row] ?? []);
}

/** A cell of a table: its text, and how it looks. */
export interface Cell extends Style {
  readonly text: string;
}

/** A column of a table whose width is known. */
export interface FixedColumn {
  readonly heading: string;
  readonly width: number;
  readonly align: "left" | "right";
}

/**
 * Draws a row of a table.
 *
 * @param columns The columns
 * @param cells One for each column
 * @param style How the whole row looks
 * @param gap Columns between cells
 * @returns The line
 */
export function tableLine(
  columns: readonly FixedColumn[],
  cells: readonly (Cell | string)[],
  style: Style = {},
  gap = 1,
): Line {
  return columns.flatMap(({ width, align }, index) => {
    const cell = cells[index] ?? "";
    const { text, ...own } = typeof cell === "string" ? { text: cell } : cell;
    const space = index === 0 ? [] : [{ text: " ".repeat(gap), ...style }];
    return [...space, { text: pad(truncate(text, width), width, align), ...style, ...own }];
  });
}

/**
 * Draws the headings of a table.
 *
 * @param columns The columns
 * @param gap Columns between cells
 * @returns The line
 */
export function headingLine(columns: readonly FixedColumn[], gap = 1): Line {
  return tableLine(columns, columns.map(({ heading }) => heading), { dim: true }, gap);
}
