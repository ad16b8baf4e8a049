/**
 * Colour, where it is allowed. Whether it is depends on the command line and on the stream, so the caller decides.
 * @module
 */

const codes = { bold: [1, 22], red: [31, 39], cyan: [36, 39] } as const;

/**
 * Colours a text.
 *
 * @param text The text
 * @param style How
 * @param allowed Whether colour is allowed
 * @returns The text, with escape codes around it if allowed
 */
export function colored(text: string, style: keyof typeof codes, allowed: boolean): string {
  const [start, end] = codes[style];
  return allowed ? `\x1b[${start}m${text}\x1b[${end}m` : text;
}
