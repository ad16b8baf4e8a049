/**
 * Finished rows in a file, so that a bench that was stopped goes on where it was, and sections share rows.
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join } from "@std/path";
import type { CompareRow } from "../../core/evaluate/report.ts";

/** A row with the time it took. */
export interface FinishedRow {
  /** What was measured. */
  readonly row: CompareRow;
  /** Wall time of planning, cutting and evaluating. */
  readonly seconds: number;
}

/** Rows by the conditions that they were measured under. */
export class RowCache {
  readonly #path: string;
  readonly #rows: Map<string, FinishedRow>;

  private constructor(path: string, rows: Map<string, FinishedRow>) {
    this.#path = path;
    this.#rows = rows;
  }

  /**
   * Opens the file.
   *
   * @param path The file: one JSON record a line; a line that was cut off is passed over
   * @returns The cache
   */
  static async open(path: string): Promise<RowCache> {
    const rows = new Map<string, FinishedRow>();
    const text = await Deno.readTextFile(path).catch(() => "");
    for (const line of text.split("\n")) {
      try {
        const { key, ...finished } = JSON.parse(line);
        rows.set(key, finished);
      } catch {
        continue;
      }
    }
    await Deno.mkdir(dirname(path), { recursive: true });
    return new RowCache(path, rows);
  }

  /**
   * A finished row.
   *
   * @param key Its conditions, see {@linkcode keyOf}
   * @returns The row, or undefined
   */
  get(key: string): FinishedRow | undefined {
    return this.#rows.get(key);
  }

  /**
   * Keeps a row.
   *
   * @param key Its conditions
   * @param finished The row
   */
  async put(key: string, finished: FinishedRow): Promise<void> {
    this.#rows.set(key, finished);
    const line = `${JSON.stringify({ key, ...finished })}\n`;
    await Deno.writeTextFile(this.#path, line, { append: true });
  }
}

/**
 * The name of conditions.
 *
 * @param conditions Everything that a row depends on
 * @returns SHA-256 of their JSON, as hexadecimal digits
 */
export function keyOf(conditions: unknown): string {
  return createHash("sha256").update(JSON.stringify(conditions)).digest("hex");
}

/**
 * The name of the code that rows are measured with: any change of it makes other rows.
 *
 * @param folder The folder of the code
 * @returns SHA-256 over paths and contents of its TypeScript files
 */
export async function codeHash(folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const path of (await filesUnder(folder)).sort()) {
    hash.update(`${path.slice(folder.length)}\n`).update(await Deno.readFile(path));
  }
  return hash.digest("hex");
}

async function filesUnder(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) files.push(...await filesUnder(path));
    else if (name.endsWith(".ts")) files.push(path);
  }
  return files;
}
