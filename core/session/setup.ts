/**
 * What every job starts with: the engine, the model, and checks that fail before any work is done.
 * @module
 */
import process from "node:process";
import type { Engine } from "../engine/types.ts";
import { limitsFor, MemoryBudget, ordinaryLimits } from "../engine/memory.ts";
import { openEngine } from "../engine/open.ts";
import { OptionError } from "../errors.ts";
import { type ExportTarget, exportTargets } from "../export/formats.ts";
import { openModel } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import type { MemoryTask } from "./memory/memory_needs.ts";
import { promiseMemory } from "./memory/promise.ts";
import type { JobOptions, OutputOptions } from "./types.ts";

/**
 * Opens engine and model, does a job, and closes the engine.
 *
 * @param options Which model, which engine
 * @param work The job
 * @param taskOf What the job does, as far as memory goes: where memory is promised
 * @returns What the job gives
 * @throws {OptionError} if the job does not fit into the memory that was promised
 */
export async function withModel<T>(
  options: JobOptions,
  work: (engine: Engine, model: Model) => Promise<T>,
  taskOf: (model: Model) => MemoryTask,
): Promise<T> {
  const { revision, signal, onProgress } = options;
  const model = await openModel(options.model, { revision, signal, onProgress });
  const memory = options.memory === undefined
    ? new MemoryBudget(limitsFor(availableMemory()))
    : promiseMemory(taskOf(model), options.memory);
  const engine = await openEngine(options.engine ?? "auto", {
    architecture: model.architecture,
    memory,
    onNote: (message) => options.onEvent?.({ type: "note", message }),
  });
  try {
    return await work(engine, model);
  } finally {
    await engine.close();
  }
}

/** Memory that is free; where nobody may ask, enough for ordinary limits. */
function availableMemory(): number {
  try {
    return Deno.systemMemoryInfo().available;
  } catch {
    return 4 * ordinaryLimits.streamBytes;
  }
}

/**
 * Checks what is to be written before any work is done.
 *
 * @param options Formats, quantisations and data type
 * @returns What to write
 * @throws {OptionError} if a name is unknown, or a combination makes no sense
 */
export function outputTargets(
  { formats, quantize, dataType = "keep", zeroPad = false }: Pick<
    OutputOptions,
    "formats" | "quantize" | "dataType" | "zeroPad"
  >,
): readonly ExportTarget[] {
  const targets = exportTargets(formats, quantize);
  if (zeroPad && targets.every(({ format }) => format !== "hf")) {
    throw new OptionError(
      "Cannot pad with zeros: --zero-pad is of --format hf alone, and other formats hold layers of different sizes",
    );
  }
  if (dataType !== "keep" && targets.every(({ format }) => format !== "hf")) {
    const formats = [...new Set(targets.map(({ format }) => format))];
    throw new OptionError(
      `Cannot store ${formats.join(" and ")} as ${dataType}: --dtype is of hf; use --quantize`,
    );
  }
  return targets;
}

/** Measures the wall time of stages. */
export class Stopwatch<Stage extends string> {
  readonly #seconds = new Map<Stage, number>();

  /**
   * Times a piece of work.
   *
   * @param stage The stage that it belongs to; pieces of one stage add up
   * @param work The work
   * @returns What the work gives
   */
  async time<T>(stage: Stage, work: () => Promise<T> | T): Promise<T> {
    const start = performance.now();
    try {
      return await work();
    } finally {
      const passed = (performance.now() - start) / 1000;
      this.#seconds.set(stage, (this.#seconds.get(stage) ?? 0) + passed);
    }
  }

  /**
   * Seconds of a stage.
   *
   * @param stage The stage
   * @returns Seconds; 0 where it did not take place
   */
  seconds(stage: Stage): number {
    return this.#seconds.get(stage) ?? 0;
  }
}

/** The highest resident memory of this process so far, in bytes. */
export class MemoryPeak {
  #highest = 0;

  /** Looks at the memory now; call it now and then. */
  look(): void {
    this.#highest = Math.max(this.#highest, Deno.memoryUsage().rss);
  }

  /** The highest value seen, or, where the system keeps it, the true peak. */
  get bytes(): number {
    this.look();
    return Math.max(this.#highest, systemPeak());
  }
}

/**
 * Says where a promise was broken: what a job takes is worked out before it starts, and could be wrong.
 *
 * @param peakBytes The highest resident memory
 * @param promised What the job was to stay below, if anything
 * @returns One sentence; undefined where the promise was kept
 */
export function brokenPromise(peakBytes: number, promised: number | undefined): string | undefined {
  if (promised === undefined || peakBytes <= promised) return undefined;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  return `Memory went up to ${megabytes(peakBytes)}, past the ${
    megabytes(promised)
  } of --memory: that is a fault of gprune, please report it`;
}

/**
 * The peak that Linux keeps of this process; elsewhere the looks have to do. A process starts with the peak of the one
 * that started it: until it goes past that, its own is not known. (`/proc` may be read with all permissions alone.)
 */
function systemPeak(): number {
  const peak = keptPeak();
  return peak > inheritedPeak ? peak : 0;
}

function keptPeak(): number {
  if (Deno.build.os !== "linux") return 0;
  try {
    return 1024 * process.resourceUsage().maxRSS;
  } catch {
    return 0;
  }
}

const inheritedPeak = keptPeak();
