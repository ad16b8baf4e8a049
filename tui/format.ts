/**
 * Numbers and texts as a terminal shows them.
 * @module
 */
import stringWidth from "string-width";
import { missing } from "../core/report/numbers.ts";

export {
  formatBytes,
  formatCount,
  formatFigure,
  formatFixed,
  formatPercent,
  formatSeconds,
  missing,
} from "../core/report/numbers.ts";

/**
 * A time span as a clock shows it.
 *
 * @param seconds The seconds
 * @returns Text such as `0:12`, `12:05`, `1:02:03`
 */
export function formatClock(seconds: number): string {
  if (!Number.isFinite(seconds)) return missing;
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(whole % 60)}`
    : `${minutes}:${two(whole % 60)}`;
}

/**
 * A bar that is filled from the left, in eighths of a column.
 *
 * @param share How much is filled, 0 to 1
 * @param width Columns
 * @returns Exactly `width` columns
 */
export function bar(share: number, width: number): string {
  const filled = Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
  const eighths = Math.round(filled * width * 8);
  const whole = Math.floor(eighths / 8);
  const rest = eighths % 8;
  const parts = "█".repeat(whole) + (rest > 0 ? "▏▎▍▌▋▊▉"[rest - 1] : "");
  return parts + "░".repeat(width - whole - (rest > 0 ? 1 : 0));
}

/**
 * One cell that is filled from below: a share at a glance.
 *
 * @param share The share, 0 to 1
 * @returns One of `·▁▂▃▄▅▆▇█`; the dot is nothing at all, the full block all of it
 */
export function shareCell(share: number): string {
  if (!Number.isFinite(share)) return missing;
  if (share <= 0) return "·";
  if (share >= 1) return "█";
  return "▁▂▃▄▅▆▇"[Math.min(6, Math.floor(share * 7))];
}

/** Characters that every terminal draws in one column: Latin, arrows, boxes, blocks, simple shapes. */
const narrow = /^[\x20-\x7e\u00a0-\u02ff\u2010-\u2027\u2190-\u21ff\u2500-\u25fc]*$/;

/**
 * The columns that a text takes on a terminal.
 *
 * @param text The text, without escape codes
 * @returns Columns
 */
export function columnsOf(text: string): number {
  // Screens measure thousands of texts for every key, almost all of them plain.
  return narrow.test(text) ? text.length : stringWidth(text);
}

/**
 * Fills a text with spaces up to a width, by the columns that it takes on a terminal.
 *
 * @param text The text
 * @param width Columns
 * @param align Where the text stands
 * @returns The text in at least `width` columns
 */
export function pad(text: string, width: number, align: "left" | "right" = "left"): string {
  const space = " ".repeat(Math.max(0, width - columnsOf(text)));
  return align === "left" ? text + space : space + text;
}

/**
 * Shortens a text to a width, with an ellipsis where something is gone.
 *
 * @param text The text
 * @param width Columns, at least 1
 * @returns The text in at most `width` columns
 */
export function truncate(text: string, width: number): string {
  if (columnsOf(text) <= width) return text;
  if (narrow.test(text)) return width < 1 ? "" : `${text.slice(0, width - 1)}…`;
  let kept = "";
  let columns = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    const next = stringWidth(segment);
    if (columns + next > width - 1) break;
    kept += segment;
    columns += next;
  }
  return width < 1 ? "" : `${kept}…`;
}

/**
 * Breaks a text into lines at spaces.
 *
 * @param text The text
 * @param width Columns of a line
 * @param indent What every line but the first starts with
 * @returns The lines, joined
 */
export function wrap(text: string, width: number, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line === "") line = word;
    else if (stringWidth(line) + 1 + stringWidth(word) <= width) line += ` ${word}`;
    else {
      lines.push(line);
      line = indent + word;
    }
  }
  return [...lines, line].join("\n");
}
