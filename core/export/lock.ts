/**
 * Locks that keep two runs on one output apart. The lock is the operating system's own, on a file beside the output:
 * it ends with its process whatever happens to that, so that a lock which a dead run left behind is told from one that
 * is held without asking for a permission to look at other processes. The file says who holds it.
 * @module
 */
import { basename, dirname, resolve } from "@std/path";
import { ExportError } from "../errors.ts";
import { cannotWrite, exists, firstMissing, leftovers, removeEmpty } from "./folder.ts";

/** Options of {@linkcode withOutputLock}. */
export interface OutputLockOptions {
  /** Told what an earlier run left behind and what became of it, one sentence each. */
  readonly onNote?: (message: string) => void;
}

/** Who holds a lock, as its file says. */
interface Holder {
  /** Number of the process. */
  readonly process: number;
  /** Name of the machine. */
  readonly host: string;
}

/** A lock whose file is removed between opening and locking is tried again, so often at most. */
const ATTEMPTS = 100;

/**
 * Does work on an output while no other run can. What a killed run left beside the output is cleared away first; an
 * output that a kill took from its place in the middle of its replacement is put back.
 *
 * @param out The folder or file that the work makes
 * @param options Who is told of leftovers
 * @param work The work
 * @returns What the work returns
 * @throws {ExportError} if another run holds the lock, or the disk refuses it
 *
 * @example
 * ```ts
 * import { withOutputLock } from "./lock.ts";
 * import { assertRejects } from "@std/assert";
 * const out = `${await Deno.makeTempDir()}/result`;
 * await withOutputLock(out, {}, async () => {
 *   await assertRejects(() => withOutputLock(out, {}, () => Promise.resolve()), Error, "is at work");
 * });
 * ```
 */
export async function withOutputLock<T>(
  out: string,
  options: OutputLockOptions,
  work: () => Promise<T>,
): Promise<T> {
  // The work refuses a name of nothing in its own words.
  if (out.trim() === "") return await work();
  const above = dirname(resolve(out));
  const missing = await firstMissing(above);
  try {
    const target = await placeOf(out);
    const path = `${dirname(target)}/.${basename(target)}.lock`;
    const lock = await acquire(out, path);
    try {
      await clearLeftovers(target, lock.stale, options);
      return await work();
    } finally {
      // In this order: whoever opened the file before it went finds out that it has gone.
      await Deno.remove(path).catch(() => undefined);
      lock.file.close();
    }
  } finally {
    await removeEmpty(missing, above);
  }
}

/** Where the output really is, so that two names of it are one lock. */
async function placeOf(out: string): Promise<string> {
  const path = resolve(out);
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    const whole = await Deno.realPath(path).catch(() => undefined);
    return whole ?? `${(await Deno.realPath(dirname(path))).replace(/\/$/, "")}/${basename(path)}`;
  } catch (error) {
    throw await cannotWrite(out, error);
  }
}

interface Lock {
  readonly file: Deno.FsFile;
  /** Who held it and did not take it away. */
  readonly stale?: Holder;
}

async function acquire(out: string, path: string): Promise<Lock> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { file, made } = await openLockFile(out, path);
    let kept = false;
    try {
      if (!await tryLock(file, made)) throw isHeld(out, path, await holderOf(path));
      if (!await isAt(file, path)) continue;
      const stale = made ? undefined : await holderOf(path);
      await write(file, { process: Deno.pid, host: hostName() });
      kept = true;
      return { file, stale };
    } catch (error) {
      throw error instanceof ExportError ? error : await cannotWrite(out, error);
    } finally {
      if (!kept) file.close();
    }
  }
  throw isHeld(out, path, undefined);
}

async function openLockFile(
  out: string,
  path: string,
): Promise<{ readonly file: Deno.FsFile; readonly made: boolean }> {
  try {
    const file = await Deno.open(path, { write: true, createNew: true });
    return { file, made: true };
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw await cannotWrite(out, error);
  }
  try {
    return { file: await Deno.open(path, { write: true, create: true }), made: false };
  } catch (error) {
    throw await cannotWrite(out, error);
  }
}

/** Some network disks know no locks: there, having made the file is the lock. */
async function tryLock(file: Deno.FsFile, made: boolean): Promise<boolean> {
  try {
    return await file.tryLock(true);
  } catch {
    return made;
  }
}

/** Whether the file that is open is still the one at the path. */
async function isAt(file: Deno.FsFile, path: string): Promise<boolean> {
  const there = await Deno.stat(path).catch(() => undefined);
  const here = await file.stat();
  return there !== undefined && there.ino === here.ino && there.dev === here.dev;
}

async function write(file: Deno.FsFile, holder: Holder): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(holder)}\n`);
  await file.truncate();
  await file.write(bytes);
}

async function holderOf(path: string): Promise<Holder | undefined> {
  try {
    const holder = JSON.parse(await Deno.readTextFile(path));
    return Number.isInteger(holder.process) && typeof holder.host === "string" ? holder : undefined;
  } catch {
    // Being written, or cut off by a kill: it is a lock all the same.
    return undefined;
  }
}

function hostName(): string {
  try {
    return Deno.hostname();
  } catch {
    // Without the permission to ask for it.
    return "this machine";
  }
}

function isHeld(out: string, path: string, holder: Holder | undefined): ExportError {
  const who = holder === undefined
    ? "another run is at work on it"
    : `another run (process ${holder.process} on '${holder.host}') is at work on it`;
  return new ExportError(
    `Cannot write to '${out}': ${who}; wait until it has ended, or choose another output (its lock is '${path}')`,
  );
}

/** With the lock in hand, whatever unfinished stands beside the output belongs to a run that is no more. */
async function clearLeftovers(
  target: string,
  stale: Holder | undefined,
  { onNote }: OutputLockOptions,
): Promise<void> {
  const { partial, old } = await leftovers(target);
  const who = stale === undefined
    ? "An earlier run"
    : `An earlier run (process ${stale.process} on '${stale.host}')`;
  const [kept, ...others] = old;
  if (kept !== undefined && !await exists(target)) {
    await Deno.rename(kept, target);
    onNote?.(`${who} was killed while it replaced '${target}': the folder is back as it was`);
  } else if (kept !== undefined) others.unshift(kept);
  for (const path of [...partial, ...others]) {
    await Deno.remove(path, { recursive: true }).catch(() => undefined);
  }
  if (stale !== undefined || partial.length > 0) {
    onNote?.(`${who} did not end cleanly: its lock and its unfinished files were taken over`);
  }
}
