/**
 * The journal of a run: what it has finished, kept in a folder so that an interrupted run can go on. Every record is
 * written beside its place, forced to the disk and renamed, so that a record is there whole or not at all, whatever
 * ends the process; a record whose words have changed since counts as unfinished. The journal also says what the run was asked for: going on with something else is refused.
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join } from "@std/path";
import { z } from "zod";
import config from "../../../deno.json" with { type: "json" };
import { ExportError } from "../../errors.ts";
import {
  readSafetensorsHeader,
  type TensorEntry,
  writeSafetensors,
} from "../../model/safetensors.ts";
import type { TensorView } from "../../model/types.ts";
import { parseJson } from "../../json.ts";
import { parseWithAllNumbers, stringifyWithAllNumbers } from "./all_numbers.ts";
import { type Condition, requireSame } from "./conditions.ts";

/** Name and version of the layout of a journal's folder. */
const schema = "gprune.journal/1";

const head = z.object({
  schema: z.literal(schema),
  version: z.literal(config.version),
  conditions: z.array(z.object({ name: z.string(), value: z.string() })),
});

/** Options of {@linkcode Journal.open}. */
export interface JournalOptions {
  /** Whether to use what the folder holds. Default false: it is emptied. */
  readonly resume?: boolean;
  /** What to do where the folder holds work of other conditions. Default `refuse`. */
  readonly otherwise?: "refuse" | "start anew";
  /** What the work depends on. */
  readonly conditions: readonly Condition[];
  /** Told what became of an earlier run's work, where it is not gone on with. */
  readonly onNote?: (message: string) => void;
}

/** What a record of tensors holds. */
export interface KeptTensors {
  /** Words beside the tensors. */
  readonly words: unknown;
  /** The tensors by name; their numbers stay in the file until they are read. */
  readonly tensors: ReadonlyMap<string, TensorView>;
}

/** Finished steps by name; without a folder nothing is kept. */
export class Journal {
  readonly #folder: string | undefined;

  private constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** A journal that keeps nothing. */
  static readonly none: Journal = new Journal(undefined);

  /**
   * Opens a journal.
   *
   * @param folder Its folder; made if missing. Undefined: nothing is kept
   * @param options Whether to go on, and under which conditions
   * @returns The journal
   * @throws {OptionError} if the folder holds work of other options, of another model or other texts
   * @throws {ExportError} if the folder cannot be made, or was left by another version
   */
  static async open(folder: string | undefined, options: JournalOptions): Promise<Journal> {
    if (folder === undefined) return Journal.none;
    const { conditions, resume = false, otherwise = "refuse", onNote } = options;
    const path = join(folder, "journal.json");
    const found = await foundConditions(path);
    if (resume && found !== "nothing" && otherwise === "refuse") {
      if (found === "unreadable") {
        throw new ExportError(
          `Cannot go on from '${folder}': it was left by another version of gprune or is damaged; start anew without --resume`,
        );
      }
      requireSame(folder, found, conditions);
    }
    const same = typeof found === "object" &&
      JSON.stringify(found) === JSON.stringify(conditions);
    if (resume && same) return new Journal(folder);
    if (resume) onNote?.("There is nothing to go on from; starting plainly");
    else if (same) onNote?.("Starting anew; --resume would have gone on from an interrupted run");
    const journal = new Journal(folder);
    await journal.keeping(async () => {
      await Deno.remove(folder, { recursive: true }).catch(ignoreMissing);
      await Deno.mkdir(folder, { recursive: true });
      const text = stringifyWithAllNumbers({ schema, version: config.version, conditions });
      await writeDurably(path, new TextEncoder().encode(text));
    });
    return journal;
  }

  /** Where the journal is; undefined where nothing is kept. */
  get folder(): string | undefined {
    return this.#folder;
  }

  /**
   * Does a step, unless an earlier run has done it: then its result is read.
   *
   * @param step The step's name, which says all that its result depends on besides the journal's conditions
   * @param work Does the step; what it gives must survive JSON (numbers may be infinite)
   * @returns What the step gave
   * @throws {ExportError} if the disk refuses the result
   */
  readonly remember = async <T>(step: string, work: () => Promise<T>): Promise<T> => {
    const known = await this.read<T>(step);
    if (known !== undefined) return known.value;
    const value = await work();
    await this.write(step, value);
    return value;
  };

  /**
   * What an earlier run noted.
   *
   * @param step The step's name
   * @returns Its result, or undefined where it was not finished
   */
  async read<T>(step: string): Promise<{ readonly value: T } | undefined> {
    const path = this.path(step, "json");
    if (path === undefined) return undefined;
    try {
      // What cannot be read was not finished: the step is done again.
      const [head, text] = (await Deno.readTextFile(path)).split("\n");
      if (head !== JSON.stringify({ step, sha256: hashOf(text) })) return undefined;
      return { value: parseWithAllNumbers(text) as T };
    } catch {
      return undefined;
    }
  }

  /**
   * Notes a result.
   *
   * @param step The step's name
   * @param value The result
   * @throws {ExportError} if the disk refuses
   */
  async write(step: string, value: unknown): Promise<void> {
    const path = this.path(step, "json");
    if (path === undefined) return;
    const text = stringifyWithAllNumbers(value);
    const head = JSON.stringify({ step, sha256: hashOf(text) });
    const bytes = new TextEncoder().encode(`${head}\n${text}`);
    await this.keeping(() => writeDurably(path, bytes));
  }

  /**
   * Tensors that an earlier run kept.
   *
   * @param step The step's name
   * @returns The tensors, or undefined where the step was not finished
   */
  async readTensors(step: string): Promise<KeptTensors | undefined> {
    const path = this.path(step, "safetensors");
    if (path === undefined) return undefined;
    try {
      const { tensors, metadata } = await readSafetensorsHeader(path);
      if (metadata.step !== step || metadata.sha256 !== hashOf(metadata.words)) return undefined;
      const words = parseWithAllNumbers(metadata.words);
      return { words, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
    } catch {
      return undefined;
    }
  }

  /**
   * Keeps tensors.
   *
   * @param step The step's name
   * @param words Words beside them
   * @param entries The tensors
   * @throws {ExportError} if the disk refuses
   */
  async writeTensors(
    step: string,
    words: unknown,
    entries: readonly TensorEntry[],
  ): Promise<void> {
    const text = stringifyWithAllNumbers(words);
    const metadata = { step, words: text, sha256: hashOf(text) };
    await this.writeFile(step, "safetensors", async (path) => {
      await writeSafetensors(path, entries, { metadata });
    });
  }

  /**
   * Keeps a file that a function writes.
   *
   * @param step The step's name
   * @param extension What its name ends in
   * @param write Writes the file to the path that it is given
   * @returns Where the file is; undefined where nothing is kept
   * @throws {ExportError} if the disk refuses
   */
  async writeFile(
    step: string,
    extension: string,
    write: (path: string) => Promise<void>,
  ): Promise<string | undefined> {
    const path = this.path(step, extension);
    if (path === undefined) return undefined;
    await this.keeping(() => placeDurably(path, write));
    return path;
  }

  /**
   * Where a step's record is.
   *
   * @param step The step's name
   * @param extension What its name ends in
   * @returns The path, whether there is a record or not; undefined where nothing is kept
   */
  path(step: string, extension: string): string | undefined {
    if (this.#folder === undefined) return undefined;
    // Steps are told apart by the hash; the words are for people who look into the folder.
    const words = step.replace(/[^\w.-]+/g, "-").slice(0, 60);
    const hash = hashOf(step).slice(0, 12);
    return join(this.#folder, `${words}-${hash}.${extension}`);
  }

  /** Takes the journal away: the run is finished. */
  async close(): Promise<void> {
    if (this.#folder === undefined) return;
    await Deno.remove(this.#folder, { recursive: true }).catch(() => undefined);
  }

  /**
   * Does something that the disk may refuse, in the journal's folder.
   *
   * @param write What is done
   * @throws {ExportError} if the disk refuses
   */
  async keeping(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (cause) {
      if (cause instanceof ExportError) throw cause;
      const full = (cause as { code?: string }).code === "ENOSPC";
      throw new ExportError(
        `Cannot keep unfinished work in '${this.#folder}': ${
          full ? "the disk is full; make room and go on with --resume" : (cause as Error).message
        }`,
        { cause },
      );
    }
  }
}

/**
 * Forces all files of a folder to the disk, so that a record that says they are there can be believed.
 *
 * @param folder The folder
 */
export async function syncFolder(folder: string): Promise<void> {
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    if (isDirectory) await syncFolder(join(folder, name));
    if (isFile) await syncPath(join(folder, name));
  }
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function foundConditions(
  path: string,
): Promise<readonly Condition[] | "nothing" | "unreadable"> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch {
    const isThere = await Deno.stat(dirname(path)).then(() => true, () => false);
    return isThere && !await isEmpty(dirname(path)) ? "unreadable" : "nothing";
  }
  try {
    const found = head.safeParse(parseJson(text));
    return found.success ? found.data.conditions : "unreadable";
  } catch {
    return "unreadable";
  }
}

async function isEmpty(folder: string): Promise<boolean> {
  // A run that was killed while it wrote its first record left no more than that record's beginning.
  for await (const { name } of Deno.readDir(folder)) if (!name.endsWith(".part")) return false;
  return true;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await placeDurably(path, (part) => Deno.writeFile(part, bytes));
}

/**
 * What takes no time is not waited for: while the engine runs a block, the event loop stands still, and every step that
 * is waited for takes at least as long as the block in hand.
 */
async function placeDurably(path: string, write: (part: string) => Promise<void>): Promise<void> {
  const part = `${path}.part`;
  try {
    await write(part);
    await syncPath(part);
    Deno.renameSync(part, path);
    // Where folders cannot be opened (Windows), a rename is as durable as it gets.
    await syncPath(dirname(path)).catch(() => undefined);
  } catch (error) {
    await Deno.remove(part).catch(() => undefined);
    throw error;
  }
}

async function syncPath(path: string): Promise<void> {
  // Windows forces to the disk only what is open for writing; folders can be opened for reading alone.
  const { isFile } = Deno.statSync(path);
  using file = Deno.openSync(path, { read: true, write: isFile });
  await file.sync();
}
