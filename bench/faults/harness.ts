/**
 * What all faults share: running the command line, killing it, and looking at what is left.
 * @module
 */
import { createHash } from "node:crypto";

/** What came of one kind of fault. */
export interface FaultRow {
  /** What was done. */
  readonly fault: string;
  /** How often. */
  readonly cases: number;
  /** Runs that ended well in spite of it, or because it came too late. */
  readonly finished: number;
  /** Runs that were killed, or said in one sentence why they could not go on. */
  readonly stopped: number;
  /** What came of it that must not: an input changed, half an output, an error that is no sentence. */
  readonly faults: readonly string[];
  /** What else there is to know. */
  readonly note?: string;
}

/** Counts what comes of cases. */
export class Tally {
  readonly #fault: string;
  readonly #faults: string[] = [];
  #finished = 0;
  #stopped = 0;

  /**
   * Starts at nought.
   *
   * @param fault What is done
   */
  constructor(fault: string) {
    this.#fault = fault;
  }

  /** A run ended well. */
  finished(): void {
    this.#finished++;
  }

  /** A run was killed or stopped with a sentence. */
  stopped(): void {
    this.#stopped++;
  }

  /**
   * Something came of a case that must not.
   *
   * @param faults What; nothing where all is well
   */
  faults(...faults: readonly string[]): void {
    for (const fault of faults) console.error(`  ${this.#fault}: ${fault}`);
    this.#faults.push(...faults);
  }

  /**
   * The row.
   *
   * @param note What else there is to know
   * @returns What came of all cases
   */
  row(note?: string): FaultRow {
    const [finished, stopped] = [this.#finished, this.#stopped];
    const row = {
      fault: this.#fault,
      cases: finished + stopped,
      finished,
      stopped,
      faults: this.#faults,
      note,
    };
    console.error(
      `${row.fault}: ${row.cases} cases, ${finished} finished, ${stopped} stopped, ${row.faults.length} faults`,
    );
    return row;
  }
}

/** How a run of the command line ended. */
export interface RunEnd {
  /** Its exit code. */
  readonly code: number;
  /** What killed it, if anything did. */
  readonly signal: Deno.Signal | null;
  /** How long it took. */
  readonly milliseconds: number;
  /** What it said on standard error. */
  readonly errors: string;
}

/** How a run is disturbed. */
export interface RunOptions {
  /** Called when it has begun, with its process. */
  readonly disturb?: (process: Deno.ChildProcess) => Promise<void>;
  /** Variables of its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command before Deno's, such as one that changes the user. */
  readonly before?: readonly string[];
}

const main = new URL("../../main.ts", import.meta.url).pathname;

/**
 * Runs the command line.
 *
 * @param args Command and options
 * @param options How it is disturbed
 * @returns How it ended
 */
export async function gprune(args: readonly string[], options: RunOptions = {}): Promise<RunEnd> {
  const [command, ...rest] = [
    ...options.before ?? [],
    Deno.execPath(),
    ...["run", "--quiet", "-A", main, ...args],
  ];
  const start = performance.now();
  const process = new Deno.Command(command, {
    args: rest,
    env: { NO_COLOR: "1", ...options.env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const errors = new Response(process.stderr).text();
  const disturbed = options.disturb?.(process);
  const { code, signal } = await process.status;
  await disturbed;
  return { code, signal, milliseconds: performance.now() - start, errors: await errors };
}

/**
 * Waits.
 *
 * @param milliseconds How long
 */
export async function wait(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Kills a run at a moment.
 *
 * @param milliseconds After how long
 * @returns What disturbs it
 */
export function killAfter(milliseconds: number): (process: Deno.ChildProcess) => Promise<void> {
  return async (process) => {
    await wait(milliseconds);
    try {
      process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  };
}

/**
 * Why a run that ended by itself did not end as it should: with success, or with one sentence.
 *
 * @param end How it ended
 * @returns Undefined where it did
 */
export function endFault({ code, signal, errors }: RunEnd): string | undefined {
  if (code === 0) return undefined;
  const lines = errors.trim().split("\n");
  const last = lines.at(-1) ?? "";
  if (signal !== null) return `ended by ${signal}`;
  const sentence = /^(gprune: |error: |Error: )?[A-Z].*[^.]$/.test(last);
  if (code === 1 && sentence && !/^\s+at /m.test(errors)) return undefined;
  return `exit code ${code}: ${lines.slice(-4).join(" | ")}`;
}

/**
 * Hashes every file of a folder whose bytes are not those of the moment: a report holds times, a card the command.
 *
 * @param folder The folder
 * @returns Path and hash of each file, as one text
 */
export async function hashOf(folder: string): Promise<string> {
  const lines: string[] = [];
  for (const path of await pathsOf(folder)) {
    if (["report.json", "report.html", "README.md"].includes(path)) {
      lines.push(`${path} ${(await Deno.stat(`${folder}/${path}`)).size > 0}`);
      continue;
    }
    const hash = createHash("sha256").update(await Deno.readFile(`${folder}/${path}`));
    lines.push(`${path} ${hash.digest("hex")}`);
  }
  return lines.join("\n");
}

async function pathsOf(folder: string, prefix = ""): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${prefix}`)) {
    const path = `${prefix}${name}`;
    if (isDirectory) paths.push(...await pathsOf(folder, `${path}/`));
    else paths.push(path);
  }
  return paths.sort();
}

/**
 * Whether something is there.
 *
 * @param path Its path
 * @returns True if it is
 */
export async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}

/**
 * What is wrong with what lies in a folder of outputs.
 *
 * @param folder The folder
 * @param wanted The hash of the output, if it is there
 * @param options Whether a run may have left its work, and whether the output must be there
 * @returns What is wrong
 */
export async function outputFaults(
  folder: string,
  wanted: readonly string[],
  options: { readonly leftovers: boolean; readonly output: "must" | "may" | "must not" },
): Promise<readonly string[]> {
  const faults: string[] = [];
  const left = options.leftovers
    ? /^(\.out\.(lock|partial-[0-9a-f]{8}|old-[0-9a-f]{8})|out\.unfinished)$/
    : /^$/;
  for await (const { name } of Deno.readDir(folder)) {
    if (name !== "out" && !left.test(name)) faults.push(`'${name}' is left`);
  }
  if (await isThere(`${folder}/out`)) {
    if (options.output === "must not") faults.push("there is an output of a run that failed");
    else if (!wanted.includes(await hashOf(`${folder}/out`))) faults.push("the output is corrupt");
  } else if (options.output === "must") faults.push("the output is lost");
  return faults;
}

/** Numbers from a seed, the same on every machine. */
export class Moments {
  #state: number;

  /**
   * Starts a row of numbers.
   *
   * @param seed The seed
   */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /**
   * The next number.
   *
   * @returns A number from 0 to 1
   */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}
