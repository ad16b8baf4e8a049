/**
 * Text and JSON of files that anybody may have written: read only where that is a file of a sensible size, nested no
 * deeper than any honest file is, and, where it matters, without keys that stand twice.
 * @module
 */

/** Text files are no larger than this, in bytes: the largest tokenizers take a tenth. */
const LARGEST = 256 << 20;
/** JSON is nested no deeper: honest files have ten levels, and code that walks a value needs a stack for each. */
const DEEPEST = 128;

/** Why a file cannot be used, as the end of a sentence. */
export class UnusableError extends Error {}

/**
 * Reads a text file. Anything that is no file, such as a pipe or a device, is not touched: it may never end.
 *
 * @param path The file
 * @returns Its text
 * @throws {UnusableError} if it is no file or too large
 * @throws {Error} what the disk says
 */
export async function readTextFile(path: string): Promise<string> {
  const { isFile, isDirectory, size } = await Deno.stat(path);
  if (isDirectory) throw new UnusableError("it is a folder");
  if (!isFile) throw new UnusableError("it is not a regular file");
  if (size > LARGEST) {
    throw new UnusableError(`it has ${size} bytes, and at most ${LARGEST} are read`);
  }
  return await Deno.readTextFile(path);
}

/** Options of {@linkcode parseJson}. */
export interface ParseJsonOptions {
  /** What becomes of an object that has a key twice. Default `last`, as in Python: the last one counts. */
  readonly repeatedKeys?: "last" | "refuse";
}

/**
 * Parses JSON.
 *
 * @param text The text
 * @param options What becomes of keys that stand twice
 * @returns The value
 * @throws {SyntaxError} if it is not JSON
 * @throws {UnusableError} if it is nested too deeply, or a key stands twice and may not
 *
 * @example
 * ```ts
 * import { parseJson } from "./json.ts";
 * import { assertEquals, assertThrows } from "@std/assert";
 * assertEquals(parseJson('{"a": 1, "a": 2}'), { a: 2 });
 * assertThrows(() => parseJson('{"a": 1, "a": 2}', { repeatedKeys: "refuse" }));
 * ```
 */
export function parseJson(text: string, { repeatedKeys = "last" }: ParseJsonOptions = {}): unknown {
  requireShallow(text);
  const value: unknown = JSON.parse(text);
  if (repeatedKeys === "refuse") {
    const key = repeatedKey(text);
    if (key !== undefined) throw new UnusableError(`it has the key '${key}' twice in one object`);
  }
  return value;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Where the string ends that begins at a quote; the text's end if it does not. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH) at++;
  }
  return text.length;
}

function requireShallow(text: string): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > DEEPEST) {
          throw new UnusableError(`its JSON is nested more than ${DEEPEST} levels deep`);
        }
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
    }
  }
}

/**
 * The first key that stands twice in one object.
 *
 * @param text Valid JSON
 * @returns The key, or undefined where none does
 */
export function repeatedKey(text: string): string | undefined {
  // The keys of each open object; undefined for a list.
  const open: (Set<string> | undefined)[] = [];
  let keyExpected = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfString(text, at);
        const keys = open.at(-1);
        if (keyExpected && keys !== undefined) {
          const key = JSON.parse(text.slice(at, end + 1)) as string;
          if (keys.has(key)) return key;
          keys.add(key);
        }
        keyExpected = false;
        at = end;
        break;
      }
      case 0x7b: // {
        open.push(new Set());
        keyExpected = true;
        break;
      case 0x5b: // [
        open.push(undefined);
        break;
      case 0x5d: // ]
      case 0x7d: // }
        open.pop();
        break;
      case 0x2c: // ,
        keyExpected = open.at(-1) !== undefined;
    }
  }
  return undefined;
}

/**
 * Why a file could not be read, as the end of a sentence.
 *
 * @param error What reading or parsing it threw
 * @returns The reason
 */
export function unusableReason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.PermissionDenied) return "no permission to read it";
  if (error instanceof SyntaxError) return `it is not JSON (${error.message})`;
  return error instanceof Error ? error.message : String(error);
}
