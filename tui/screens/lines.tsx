/**
 * Draws lines with Ink: the one place where a screen becomes a terminal's business.
 * @module
 */
import { Box, Text } from "ink";
import type { ReactElement } from "react";
import { fitLine, type Line, type Span } from "./spans.ts";

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
  return (
    <Box width={columns} height={rows} flexDirection="column" overflow="hidden">
      {Array.from({ length: rows }, (_, row) => (
        <Text key={row} wrap="truncate">
          {fitLine(lines[row] ?? [], columns).map((span, at) => (
            <Piece key={at} span={span} colors={colors} />
          ))}
        </Text>
      ))}
    </Box>
  );
}

function Piece({ span, colors }: { readonly span: Span; readonly colors: boolean }): ReactElement {
  const { text, bold, dim, inverse, color } = span;
  return (
    <Text bold={bold} dimColor={dim} inverse={inverse} color={colors ? color : undefined}>
      {text}
    </Text>
  );
}
