/**
 * Output folders that appear whole or not at all, and the hashes of what is in them.
 * @module
 */
import { createHash } from "node:crypto";
import { basename, dirname, resolve } from "@std/path";
import { ExportError, GpruneError, OptionError } from "../errors.ts";
import { throwIfCancelled } from "../progress.ts";

/** Options of {@linkcode writeFolder}. */
export interface WriteFolderOptions {
  /** Whether to replace a folder that exists. Default false. */
  readonly force?: boolean;
  /** Cancels the work: the folder then does not appear. */
  readonly signal?: AbortSignal;
  /**
   * A folder on the same disk to do the work in, which stays as it is if the work fails, so that another run can go on.
   * Default: a hidden folder beside the one to make, which goes.
   */
  readonly workIn?: string;
}

/** A file with its hash. */
export interface HashedFile {
  /** Its path inside the folder, with `/` between names. */
  readonly path: string;
  /** Its size. */
  readonly bytes: number;
  /** Its SHA-256, as hexadecimal digits. */
  readonly sha256: string;
}

/**
 * Makes a folder that appears whole or not at all: the work is done in a hidden folder beside it, which gets the name
 * at the end. A folder that is replaced stays as it was until then.
 *
 * @param out The folder to make
 * @param options Whether it may replace one; cancellation
 * @param work Fills the hidden folder, whose path it is given
 * @returns What the work returns
 * @throws {OptionError} if `out` exists and may not be replaced
 * @throws {ExportError} if the disk refuses
 * @throws {CancelledError} if the signal is aborted
 *
 * @example
 * ```ts
 * import { writeFolder } from "./folder.ts";
 * const out = `${await Deno.makeTempDir()}/result`;
 * await writeFolder(out, {}, (partial) => Deno.writeTextFile(`${partial}/report.json`, "{}"));
 * console.log((await Deno.stat(`${out}/report.json`)).size); // 2
 * ```
 */
export async function writeFolder<T>(
  out: string,
  options: WriteFolderOptions,
  work: (partial: string) => Promise<T>,
): Promise<T> {
  throwIfCancelled(options.signal);
  const target = await checkTarget(out, options);
  const mark = crypto.randomUUID().slice(0, 8);
  const beside = (word: string) => `${dirname(target)}/.${basename(target)}.${word}-${mark}`;
  const partial = options.workIn ?? beside("partial");
  const made = await firstMissing(dirname(target));
  let done = false;
  try {
    await Deno.mkdir(partial, { recursive: true });
    const result = await work(partial);
    throwIfCancelled(options.signal);
    await putInPlace({ out, target, partial, old: beside("old") }, options);
    done = true;
    return result;
  } catch (error) {
    throw error instanceof GpruneError ? error : await cannotWrite(out, error);
  } finally {
    if (!done) {
      if (options.workIn === undefined) {
        await Deno.remove(partial, { recursive: true }).catch(() => undefined);
      }
      await removeEmpty(made, dirname(target));
    }
  }
}

/**
 * Hashes all files of a folder and the folders in it.
 *
 * @param directory The folder
 * @returns Its files, sorted by path
 * @throws {ExportError} if a file cannot be read
 */
export async function hashFiles(directory: string): Promise<readonly HashedFile[]> {
  const files: HashedFile[] = [];
  try {
    for (const path of await pathsOf(directory, "")) {
      const hash = createHash("sha256");
      let bytes = 0;
      for await (const piece of (await Deno.open(`${directory}/${path}`)).readable) {
        hash.update(piece);
        bytes += piece.length;
      }
      files.push({ path, bytes, sha256: hash.digest("hex") });
    }
  } catch (error) {
    const reason = (error as Error).message;
    throw new ExportError(`Cannot hash the files of '${directory}': ${reason}`, { cause: error });
  }
  return files;
}

async function pathsOf(directory: string, prefix: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const entry of Deno.readDir(`${directory}/${prefix}`)) {
    const path = `${prefix}${entry.name}`;
    if (entry.isDirectory) paths.push(...await pathsOf(directory, `${path}/`));
    else paths.push(path);
  }
  return paths.sort();
}

/**
 * Checks before any work that {@linkcode writeFolder} could make a folder.
 *
 * @param out The folder
 * @param options Whether it may be replaced
 * @throws {OptionError} if `out` exists and may not be replaced
 * @throws {ExportError} if its place cannot be looked at
 */
export async function requireWritable(
  out: string,
  options: WriteFolderOptions = {},
): Promise<void> {
  await checkTarget(out, options);
}

/** What killed runs left beside a folder. */
export interface Leftovers {
  /** Paths of half-made folders. */
  readonly partial: readonly string[];
  /** Paths of folders that were to be replaced; the folder itself may be missing then. */
  readonly old: readonly string[];
}

/**
 * What killed runs of {@linkcode writeFolder} left. It may be somebody's work in hand unless the folder is locked.
 *
 * @param target Real path of the folder, which need not exist
 * @returns Paths beside it
 */
export async function leftovers(target: string): Promise<Leftovers> {
  const partial: string[] = [];
  const old: string[] = [];
  const beginning = `.${basename(target)}.`;
  const entries = await Array.fromAsync(Deno.readDir(dirname(target))).catch(() => []);
  for (const { name } of entries.toSorted((a, b) => a.name < b.name ? -1 : 1)) {
    if (!name.startsWith(beginning)) continue;
    const [, word] = /^(partial|old)-[0-9a-f]{8}$/.exec(name.slice(beginning.length)) ?? [];
    if (word !== undefined) (word === "old" ? old : partial).push(`${dirname(target)}/${name}`);
  }
  return { partial, old };
}

/** Checks before any work that the folder can be made, and follows links to where it really is. */
async function checkTarget(out: string, { force = false }: WriteFolderOptions): Promise<string> {
  if (out.trim() === "") {
    throw new OptionError("Cannot write to '': give the name of a folder to make");
  }
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(out);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return resolve(out);
    throw await cannotWrite(out, error);
  }
  if (!force) {
    throw new OptionError(
      `Cannot write to '${out}': it exists already; choose another folder, or replace it with --force`,
    );
  }
  if (!info.isDirectory) {
    throw new OptionError(`Cannot replace '${out}': it is a file; choose another folder`);
  }
  const target = await Deno.realPath(out);
  const here = await Deno.realPath(".");
  if (`${here}/`.startsWith(`${target}/`) || dirname(target) === target) {
    throw new OptionError(
      `Cannot replace '${out}': the current folder is in it; choose another folder`,
    );
  }
  return target;
}

interface Places {
  readonly out: string;
  readonly target: string;
  readonly partial: string;
  readonly old: string;
}

async function putInPlace(
  { out, target, partial, old }: Places,
  { force = false }: WriteFolderOptions,
): Promise<void> {
  if (!await exists(target)) return await Deno.rename(partial, target);
  if (!force) {
    throw new ExportError(
      `Cannot write to '${out}': something else made it in the meantime; replace it with --force`,
    );
  }
  await Deno.rename(target, old);
  try {
    await Deno.rename(partial, target);
  } catch (error) {
    await Deno.rename(old, target);
    throw error;
  }
  // What was asked for stands; a leftover of the old folder is no reason to call that a failure.
  await Deno.remove(old, { recursive: true }).catch(() => undefined);
}

/**
 * Whether something is there.
 *
 * @param path Its path; a link that leads nowhere counts
 * @returns True if it is
 */
export async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

/**
 * The outermost of the folders that are not there yet.
 *
 * @param path The innermost folder
 * @returns Its path, or undefined where all are there
 */
export async function firstMissing(path: string): Promise<string | undefined> {
  let missing: string | undefined;
  for (let at = path; dirname(at) !== at && !await exists(at); at = dirname(at)) missing = at;
  return missing;
}

/**
 * Takes away again the folders that were made to hold one that did not come about, as far as they are empty.
 *
 * @param outermost What {@linkcode firstMissing} said; nothing is done if undefined
 * @param innermost The folder that was made last
 */
export async function removeEmpty(outermost: string | undefined, innermost: string): Promise<void> {
  if (outermost === undefined) return;
  for (let at = innermost; at.length >= outermost.length; at = dirname(at)) {
    if (!await Deno.remove(at).then(() => true, () => false)) return;
  }
}

/**
 * The error of an output that the disk refuses.
 *
 * @param out The output, as the user named it
 * @param error What the disk said
 * @returns The error, with a reason that a person can act on
 */
export async function cannotWrite(out: string, error: unknown): Promise<ExportError> {
  const reason = await reasonOf(out, error);
  return new ExportError(`Cannot write to '${out}': ${reason}`, { cause: error });
}

async function reasonOf(out: string, error: unknown): Promise<string> {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOSPC") return "the disk is full; free some space, or choose another folder";
  if (code === "EROFS") return "the disk is read-only; choose another folder";
  if (error instanceof Deno.errors.PermissionDenied || code === "EACCES" || code === "EPERM") {
    return "no permission; choose another folder";
  }
  for (let at = dirname(resolve(out)); dirname(at) !== at; at = dirname(at)) {
    const isFile = await Deno.stat(at).then((info) => info.isFile, () => false);
    if (isFile) return `'${at}' is a file; choose another folder`;
  }
  return error instanceof Error ? error.message : String(error);
}
