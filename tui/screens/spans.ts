/**
 * Lines of styled text: what screens are made of, before anything is drawn.
 * @module
 */
import stringWidth from "string-width";
import { pad, truncate } from "../format.ts";

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
  return spans.reduce((sum, { text }) => sum + stringWidth(text), 0);
}

/**
 * Makes a line as wide as it should be: cut with an ellipsis, or filled with spaces.
 *
 * @param spans The line
 * @param width Columns
 * @returns A line of exactly so many columns
 */
export function fitLine(spans: Line, width: number): Line {
  const fitted: Span[] = [];
  let left = width;
  for (const [index, span] of spans.entries()) {
    const own = stringWidth(span.text);
    const rest = spans.slice(index + 1).some(({ text }) => text !== "");
    if (own > left || (own === left && rest)) {
      // An ellipsis stands for all that is gone, so the last column of what fits must give way to it.
      const text = own > left ? truncate(span.text, left) : truncate(`${span.text} `, left);
      fitted.push({ ...span, text });
      left -= stringWidth(text);
      break;
    }
    fitted.push(span);
    left -= own;
  }
  return left > 0 ? [...fitted, { text: " ".repeat(left) }] : fitted;
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
