/**
 * ONNX Runtime: loaded when it is first needed, its sessions made from graphs, its errors turned into ours.
 * @module
 */
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { EngineError } from "../errors.ts";

/** The module of ONNX Runtime. */
export type Runtime = typeof import("onnxruntime-node");

/** Numbers with their sizes, as they go into a session. */
export interface Feed {
  /** The type of the numbers. */
  readonly type: "float32" | "float64" | "int64" | "int32";
  /** The numbers. */
  readonly data: Float32Array | Float64Array | BigInt64Array | Int32Array;
  /** Sizes of the axes, outermost first. */
  readonly shape: readonly number[];
}

/** How a session is prepared. */
export interface SessionOptions {
  /** Threads inside an operation. */
  readonly threads: number;
  /** The folder that the locations of external weights are relative to; that of its file if a graph has one. */
  readonly folder?: string;
  /**
   * `speed` converts and rearranges weights once, into memory of the session's own; `memory` leaves them in their
   * file and converts them at every run.
   */
  readonly goal: "speed" | "memory";
}

/** An input of a graph. */
export interface SessionInput {
  /** Its name. */
  readonly name: string;
  /** Sizes of its axes: numbers, and names where they are known at run time. */
  readonly shape: readonly (number | string)[];
}

/** A graph that is ready to run. */
export interface Session {
  /** What it takes. */
  readonly inputs: readonly SessionInput[];
  /**
   * Runs the graph.
   *
   * @param feeds Its inputs by name
   * @param outputs Its outputs by name, with arrays that are filled in place
   * @throws {EngineError} if the run fails
   */
  run(
    feeds: Readonly<Record<string, Feed>>,
    outputs: Readonly<Record<string, Feed>>,
  ): Promise<void>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

let runtime: Promise<Runtime> | undefined;

/**
 * Loads ONNX Runtime at the first call.
 *
 * @returns The module
 * @throws {EngineError} if its native library is missing or does not load
 */
export async function loadRuntime(): Promise<Runtime> {
  try {
    return await (runtime ??= importRuntime());
  } catch (error) {
    runtime = undefined;
    throw new EngineError(
      "Cannot load ONNX Runtime: install its native library with 'deno install npm:onnxruntime-node@1.30.0' and allow --allow-ffi=./node_modules",
      { cause: error },
    );
  }
}

async function importRuntime(): Promise<Runtime> {
  const module = await import("onnxruntime-node");
  module.env.logLevel = "fatal";
  return module;
}

/**
 * Makes a float32 feed.
 *
 * @param data The numbers
 * @param shape Sizes of the axes
 * @returns The feed
 */
export function floats(data: Float32Array, shape: readonly number[]): Feed {
  return { type: "float32", data, shape };
}

/**
 * Makes a float64 feed.
 *
 * @param data The numbers
 * @param shape Sizes of the axes
 * @returns The feed
 */
export function doubles(data: Float64Array, shape: readonly number[]): Feed {
  return { type: "float64", data, shape };
}

/**
 * Makes an int64 feed.
 *
 * @param values The numbers
 * @param shape Sizes of the axes; a list if absent
 * @returns The feed
 */
export function integers(values: ArrayLike<number>, shape?: readonly number[]): Feed {
  const data = BigInt64Array.from({ length: values.length }, (_, index) => BigInt(values[index]));
  return { type: "int64", data, shape: shape ?? [data.length] };
}

/**
 * Makes an int32 feed.
 *
 * @param data The numbers
 * @param shape Sizes of the axes; a list if absent
 * @returns The feed
 */
export function shortIntegers(data: Int32Array, shape?: readonly number[]): Feed {
  return { type: "int32", data, shape: shape ?? [data.length] };
}

/**
 * Prepares a graph to run.
 *
 * @param graph The bytes of an ONNX model, or the path of its file
 * @param what What the graph is, for error messages, such as `a block`
 * @param options Threads, folder of the weights, and what to spend memory on
 * @returns The session; close it after use
 * @throws {EngineError} if ONNX Runtime is missing or refuses the graph
 */
export async function openSession(
  graph: Uint8Array | string,
  what: string,
  options: SessionOptions,
): Promise<Session> {
  const module = await loadRuntime();
  let session: InferenceSession;
  try {
    const settings = sessionOptions(options);
    // Two calls, since the function's types tell bytes and paths apart.
    session = typeof graph === "string"
      ? await module.InferenceSession.create(graph, settings)
      : await module.InferenceSession.create(graph, settings);
  } catch (error) {
    throw new EngineError(`Cannot prepare ${what}: ONNX Runtime says '${messageOf(error)}'`, {
      cause: error,
    });
  }
  const tensors = (feeds: Readonly<Record<string, Feed>>) =>
    Object.fromEntries(
      Object.entries(feeds).map(([name, feed]) => [name, tensorOf(module, feed)]),
    );
  return {
    inputs: session.inputMetadata.flatMap((input) =>
      input.isTensor ? [{ name: input.name, shape: input.shape }] : []
    ),
    run: async (feeds, outputs) => {
      try {
        await session.run(tensors(feeds), tensors(outputs));
      } catch (error) {
        throw new EngineError(`Cannot run ${what}: ONNX Runtime says '${messageOf(error)}'`, {
          cause: error,
        });
      }
    },
    close: async () => await session.release(),
  };
}

function sessionOptions(
  { threads, folder, goal }: SessionOptions,
): InferenceSession.SessionOptions {
  const saving = goal === "memory";
  return {
    executionProviders: ["cpu"],
    graphOptimizationLevel: saving ? "disabled" : "all",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    // The arena keeps what it once had, and grows by doubling: too much where weights are converted at every run.
    enableCpuMemArena: !saving,
    // Errors are thrown; nothing is to be printed beside.
    logSeverityLevel: 4,
    extra: {
      session: {
        ...(folder === undefined ? {} : { model_external_initializers_file_folder_path: folder }),
        // Idle threads that spin take the processor from other sessions: blocks then run 2 to 10 times slower.
        intra_op: { allow_spinning: "0" },
        disable_prepacking: saving ? "1" : "0",
      },
    },
  };
}

function tensorOf(module: Runtime, { type, data, shape }: Feed): Tensor {
  if (type === "int64") return new module.Tensor(type, data as BigInt64Array, shape);
  if (type === "int32") return new module.Tensor(type, data as Int32Array, shape);
  if (type === "float64") return new module.Tensor(type, data as Float64Array, shape);
  return new module.Tensor(type, data as Float32Array, shape);
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0];
}
