/**
 * Draws lines with Ink: the one place where a screen becomes a terminal's business.
 * @module
 */
import { Box, Text } from "ink";
import type { ReactElement } from "react";
import { cutLine, type Line, type Span } from "./spans.ts";

/** What is drawn, and how large the terminal is. */
export interface LinesProps {
  /** The lines. */
  readonly lines: readonly Line[];
  /** Columns of the terminal. */
  readonly columns: number;
  /** Rows of the terminal. */
  readonly rows: number;
  /** Whether colour is allowed. */
  readonly colors: boolean;
}

/**
 * Lines from the top left corner, cut to the terminal.
 *
 * @param props What is drawn
 * @returns The element
 */
export function Lines({ lines, columns, rows, colors }: LinesProps): ReactElement {
  // An empty text would take no row. One text for each line: a layout of every piece would cost many times as much.
  return (
    <Box width={columns} height={rows} flexDirection="column" overflow="hidden">
      {Array.from(
        { length: rows },
        (_, row) => (
          <Text key={row} wrap="truncate">
            {styled(cutLine(lines[row] ?? [], columns), colors) || " "}
          </Text>
        ),
      )}
    </Box>
  );
}

/** Codes that begin a style, and that end it. */
const codes = {
  bold: [1, 22],
  dim: [2, 22],
  inverse: [7, 27],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;

/**
 * A line as text with escape codes. Bold, dim and reverse are no colours, and stay without them.
 *
 * @param line The line
 * @param colors Whether colour is allowed
 * @returns The text
 */
export function styled(line: Line, colors: boolean): string {
  return line.map((span) => {
    const styles = stylesOf(span, colors);
    const begin = styles.map((style) => `\x1b[${codes[style][0]}m`).join("");
    const end = styles.map((style) => `\x1b[${codes[style][1]}m`).reverse().join("");
    return begin + span.text + end;
  }).join("");
}

function stylesOf(span: Span, colors: boolean): readonly (keyof typeof codes)[] {
  const { bold, dim, inverse, color } = span;
  return [
    ...(bold ? ["bold" as const] : []),
    ...(dim && !bold ? ["dim" as const] : []),
    ...(inverse ? ["inverse" as const] : []),
    ...(colors && color !== undefined ? [color] : []),
  ];
}
