/**
 * Patterns of tokenizers that are never done with a text: a hostile `tokenizer.json` could hang every run.
 * @module
 */

/**
 * Whether a pattern repeats without bound what itself repeats without bound, as `(x+)+y` does: the ways to match grow
 * with 2 to the text's length. No tokenizer that is in use has such a pattern; others that are slow are not found.
 *
 * @param pattern A regular expression
 * @returns True if it does
 *
 * @example
 * ```ts
 * import { repeatsRepetition } from "./tokenizer_patterns.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(["(x+x+)+y", "\\s+(?!\\S)|(?:\\d{3})*"].map(repeatsRepetition), [true, false]);
 * ```
 */
export function repeatsRepetition(pattern: string): boolean {
  // For each open group, whether something in it repeats without bound.
  const open = [false];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at];
    let closed: boolean | undefined;
    if (character === "\\") at++;
    else if (character === "[") at = endOfClass(pattern, at);
    else if (character === "(") {
      open.push(false);
      continue;
    } else if (character === ")" && open.length > 1) closed = open.pop();
    if (isUnbounded(pattern, at + 1)) {
      if (closed) return true;
      open[open.length - 1] = true;
    } else if (closed) open[open.length - 1] = true;
  }
  return false;
}

function endOfClass(pattern: string, start: number): number {
  for (let at = start + 1; at < pattern.length; at++) {
    if (pattern[at] === "\\") at++;
    else if (pattern[at] === "]") return at;
  }
  return pattern.length;
}

function isUnbounded(pattern: string, at: number): boolean {
  return pattern[at] === "*" || pattern[at] === "+" ||
    pattern[at] === "{" && /^\{\d*,\}/.test(pattern.slice(at, at + 20));
}
