/**
 * The process that reads hostile files: it says on standard output which case it begins, so that whoever started it
 * knows at which case it hangs or dies, and at the end what came of all of them.
 * @module
 */
import fc from "fast-check";
import { memoryOf } from "./memory.ts";
import type { Bytes } from "./mutations.ts";
import { faultOf } from "./outcome.ts";
import type { OpenReader } from "./reader.ts";
import { readers } from "./readers/mod.ts";
import type { ReaderName } from "./readers/names.ts";

/** Seconds that a case may take. */
const MOST_SECONDS = 2;
/** Bytes that a case may take over those of its file. */
const MOST_MEMORY = 512 << 20;

/** What came of all cases. */
export interface FuzzSummary {
  /** Cases that were read, those of shrinking included. */
  readonly cases: number;
  /** Cases that were read without an error. */
  readonly accepted: number;
  /** The most memory that one took over the size of its file, in bytes. */
  readonly mostMemory: number;
  /** The longest that one took, in milliseconds. */
  readonly mostMilliseconds: number;
  /** What went wrong, if anything: the smallest case that was found. */
  readonly failure?: {
    readonly reason: string;
    /** The path that fast-check finds the case by, with the same seed. */
    readonly path: string;
    /** A file that holds the case. */
    readonly file: string;
  };
}

class Fuzzing {
  readonly #reader: OpenReader;
  readonly #folder: string;
  #accepted = false;
  cases = 0;
  accepted = 0;
  mostMemory = 0;
  mostMilliseconds = 0;
  readonly #output = Deno.stdout;

  constructor(reader: OpenReader, folder: string) {
    this.#reader = reader;
    this.#folder = folder;
  }

  /** Throws what is wrong with how a file is read. */
  async check(file: Bytes): Promise<void> {
    this.cases++;
    this.#output.writeSync(new TextEncoder().encode(".\n"));
    Deno.writeFileSync(`${this.#folder}/case`, file);
    let slow = await this.#read(file);
    // Other work on the machine can slow a case down once.
    if (slow) slow = await this.#read(file);
    if (this.#accepted) this.accepted++;
    if (slow) throw new Error(`takes more than ${MOST_SECONDS} s`);
    const outside = Array.from(Deno.readDirSync(this.#folder), ({ name }) => name).sort().join(" ");
    if (outside !== "case inside") throw new Error(`files beside its folder: ${outside}`);
  }

  async #read(file: Bytes): Promise<boolean> {
    let fault: string | undefined;
    let accepted = false;
    const start = performance.now();
    const memory = await memoryOf(async () => {
      try {
        await this.#reader.read(file);
        accepted = true;
      } catch (error) {
        fault = faultOf(error);
      }
    });
    const milliseconds = performance.now() - start;
    this.mostMilliseconds = Math.max(this.mostMilliseconds, milliseconds);
    this.mostMemory = Math.max(this.mostMemory, memory - file.length);
    if (fault !== undefined) throw new Error(fault);
    this.#accepted = accepted;
    if (memory - file.length > MOST_MEMORY) throw new Error(`takes ${memory} bytes of memory`);
    return milliseconds > 1000 * MOST_SECONDS;
  }
}

async function main([name, cases, seed, folder]: readonly string[]): Promise<void> {
  Deno.mkdirSync(`${folder}/inside`);
  const reader = await readers[name as ReaderName](`${folder}/inside`);
  const fuzzing = new Fuzzing(reader, folder);
  const property = fc.asyncProperty(reader.files, async (file) => await fuzzing.check(file));
  const result = await fc.check(property, { numRuns: Number(cases), seed: Number(seed) });
  await reader.close?.();
  const file = `${folder}/case`;
  if (result.counterexample !== null) Deno.writeFileSync(file, result.counterexample[0]);
  const { accepted, mostMemory, mostMilliseconds } = fuzzing;
  const reason = result.errorInstance instanceof Error
    ? result.errorInstance.message
    : String(result.errorInstance);
  const summary: FuzzSummary = {
    cases: fuzzing.cases,
    accepted,
    mostMemory,
    mostMilliseconds,
    ...(result.failed ? { failure: { reason, path: result.counterexamplePath ?? "", file } } : {}),
  };
  console.log(JSON.stringify(summary));
}

if (import.meta.main) {
  await main(Deno.args);
  Deno.exit(0);
}
