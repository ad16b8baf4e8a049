/**
 * Domains: named texts, read from files, JSON Lines, folders, or made by the embedded generator.
 * @module
 */
import { createHash } from "node:crypto";
import { basename, join } from "@std/path";
import { TextError } from "../errors.ts";

/** A text distribution under a name. */
export interface Domain {
  /** The name that the user gave. */
  readonly name: string;
  /** The whole text. */
  readonly text: string;
  /** SHA-256 of the text in UTF-8, as hexadecimal digits. */
  readonly sha256: string;
}

/**
 * Makes a domain of a text in memory.
 *
 * @param name Its name
 * @param text Its text
 * @returns The domain with the hash of its text
 * @throws {TextError} if the text is empty
 * @example
 * ```ts
 * import { domainOf } from "./domains.ts";
 * console.log(domainOf("greeting", "hello").sha256.slice(0, 8)); // 2cf24dba
 * ```
 */
export function domainOf(name: string, text: string): Domain {
  if (text.trim() === "") throw new TextError(`Cannot use text '${name}': it is empty`);
  return { name, text, sha256: createHash("sha256").update(text).digest("hex") };
}

/**
 * Reads domains: each from a text file, a `.jsonl` file whose records have a string field `text`, or a folder of text
 * files (read in the order of their paths; hidden and binary files are passed over).
 *
 * @param paths Path by name, or a list of both
 * @returns The domains, in the order given
 * @throws {TextError} if a path is missing, unreadable, empty, binary, or not what its ending says
 * @example
 * ```ts
 * import { openDomains } from "./domains.ts";
 * const path = await Deno.makeTempFile({ suffix: ".txt" });
 * await Deno.writeTextFile(path, "Once upon a time.");
 * console.log((await openDomains({ tale: path }))[0].name); // tale
 * ```
 */
export async function openDomains(
  paths:
    | Readonly<Record<string, string>>
    | readonly { readonly name: string; readonly path: string }[],
): Promise<readonly Domain[]> {
  const list = Array.isArray(paths)
    ? paths as readonly { readonly name: string; readonly path: string }[]
    : Object.entries(paths).map(([name, path]) => ({ name, path: path as string }));
  const seen = new Set<string>();
  const domains: Domain[] = [];
  for (const { name, path } of list) {
    if (seen.has(name)) throw new TextError(`Cannot use two texts named '${name}': rename one`);
    seen.add(name);
    const text = await readText(name, path);
    if (text.trim() === "") throw new TextError(`Cannot use text '${name}': '${path}' is empty`);
    domains.push(domainOf(name, text));
  }
  return domains;
}

async function readText(name: string, path: string): Promise<string> {
  const info = await attempt(name, path, () => Deno.stat(path));
  if (info.isDirectory) return await readFolder(name, path);
  if (!info.isFile) {
    // A pipe or a device may never end.
    throw new TextError(`Cannot read text '${name}' at '${path}': it is not a regular file`);
  }
  const text = await readFile(name, path);
  if (text === undefined) {
    throw new TextError(`Cannot use text '${name}': '${path}' is not UTF-8 text (a binary file?)`);
  }
  return path.toLowerCase().endsWith(".jsonl") ? textOfJsonLines(name, path, text) : text;
}

async function readFolder(name: string, path: string): Promise<string> {
  const parts: string[] = [];
  for (const file of await listFiles(name, path)) {
    const text = await readFile(name, file);
    if (text === undefined) continue;
    parts.push(
      file.toLowerCase().endsWith(".jsonl") ? textOfJsonLines(name, file, text) : text,
    );
  }
  if (parts.length === 0) {
    throw new TextError(`Cannot use text '${name}': the folder '${path}' holds no text files`);
  }
  return parts.join("\n");
}

async function listFiles(name: string, folder: string): Promise<string[]> {
  const entries = await attempt(name, folder, () => Array.fromAsync(Deno.readDir(folder)));
  const files: string[] = [];
  for (const entry of entries.toSorted((a, b) => a.name < b.name ? -1 : 1)) {
    if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory) files.push(...await listFiles(name, path));
    else if (entry.isFile) files.push(path);
  }
  return files;
}

/** The file's text, or undefined where it is binary. */
async function readFile(name: string, path: string): Promise<string | undefined> {
  const bytes = await attempt(name, path, () => Deno.readFile(path));
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function textOfJsonLines(name: string, path: string, content: string): string {
  const texts: string[] = [];
  content.split("\n").forEach((line, index) => {
    if (line.trim() === "") return;
    let record: unknown;
    try {
      record = JSON.parse(line);
    } catch (cause) {
      throw new TextError(
        `Cannot use text '${name}': line ${index + 1} of '${basename(path)}' is not JSON`,
        { cause },
      );
    }
    const text = (record as { text?: unknown } | null)?.text;
    if (typeof text !== "string") {
      throw new TextError(
        `Cannot use text '${name}': line ${index + 1} of '${
          basename(path)
        }' has no string field 'text'`,
      );
    }
    // JSON can hold halves of characters, which no UTF-8 text has.
    texts.push(text.toWellFormed());
  });
  return texts.join("\n");
}

async function attempt<T>(name: string, path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "no such file or folder"
      : cause instanceof Deno.errors.PermissionDenied
      ? "no permission to read it"
      : (cause as Error).message;
    throw new TextError(`Cannot read text '${name}' at '${path}': ${reason}`, { cause });
  }
}
