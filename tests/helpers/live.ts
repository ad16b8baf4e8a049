/**
 * Live sessions for tests: on a small model, in this thread.
 * @module
 */
import { openModel } from "../../core/model/open.ts";
import type { Model } from "../../core/model/types.ts";
import type { TaskRunner, TaskWatch } from "../../core/session/live/host.ts";
import type { TaskName, WorkerTasks } from "../../core/session/live/protocol.ts";
import type { LiveOptions } from "../../core/session/live/options.ts";
import { LiveSession } from "../../core/session/live/session.ts";
import { createTasks, type Tasks } from "../../core/session/live/tasks.ts";
import type { LiveState } from "../../core/session/live/state.ts";
import { smallModel, wordyDomain } from "./pipeline.ts";
import { withRandomModel } from "./random-model.ts";

/** Runs tasks in this thread, and remembers which. */
export class LocalRunner implements TaskRunner {
  /** The tasks that were started. */
  readonly started: TaskName[] = [];
  /** Other functions in place of tasks. */
  readonly instead: Partial<Tasks>;
  readonly #tasks = createTasks();

  constructor(instead: Partial<Tasks> = {}) {
    this.instead = instead;
  }

  async run<Name extends TaskName>(
    task: Name,
    options: WorkerTasks[Name]["options"],
    watch: TaskWatch = {},
  ): Promise<WorkerTasks[Name]["result"]> {
    this.started.push(task);
    const work = (this.instead[task] ?? this.#tasks[task]) as (
      options: unknown,
      context: Parameters<Tasks[Name]>[1],
    ) => Promise<WorkerTasks[Name]["result"]>;
    return await work(options, {
      signal: watch.signal ?? new AbortController().signal,
      onProgress: watch.onProgress ?? (() => {}),
      onEvent: watch.onEvent ?? (() => {}),
    });
  }

  async close(): Promise<void> {
    await this.#tasks.close(null, {
      signal: new AbortController().signal,
      onProgress: () => {},
      onEvent: () => {},
    });
  }
}

/** What a test of a session has at hand. */
export interface LiveTest {
  readonly session: LiveSession;
  readonly runner: LocalRunner;
  readonly model: Model;
  /** A folder for the test. */
  readonly folder: string;
  /** The options of the session, to open another one. */
  readonly options: LiveOptions;
}

/**
 * Makes a session on a small random model, not started, and closes it after the test.
 *
 * @param use The test
 * @param given Other options, and functions in place of tasks
 */
export async function withLiveSession(
  use: (test: LiveTest) => Promise<void>,
  given: { readonly options?: LiveOptions; readonly instead?: Partial<Tasks> } = {},
): Promise<void> {
  await withRandomModel(smallModel, async (modelFolder) => {
    const folder = await Deno.makeTempDir({ prefix: "gprune-test-" });
    const write = async (name: string) => {
      const path = `${folder}/${name}.txt`;
      await Deno.writeTextFile(path, wordyDomain(name).text);
      return { name, path };
    };
    const options: LiveOptions = {
      model: modelFolder,
      samples: 6,
      seqLen: 32,
      evalWindows: 2,
      calibration: [await write("alpha"), await write("beta")],
      evaluation: [await write("gamma")],
      cacheFolder: `${folder}/cache`,
      ...given.options,
    };
    const runner = new LocalRunner(given.instead);
    const session = new LiveSession(options, runner);
    try {
      await use({ session, runner, model: await openModel(modelFolder), folder, options });
    } finally {
      await session.close();
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/**
 * Waits until a session's state is as wanted.
 *
 * @param session The session
 * @param isWanted Whether a state is
 * @param seconds How long to wait at most
 * @returns The state
 */
export async function until(
  session: LiveSession,
  isWanted: (state: LiveState) => boolean,
  seconds = 120,
): Promise<LiveState> {
  if (isWanted(session.state)) return session.state;
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      stop();
      reject(new Error(`Waited ${seconds} s in vain: ${JSON.stringify(session.state.phase)}`));
    }, seconds * 1000);
    const stop = session.subscribe((state) => {
      if (!isWanted(state)) return;
      clearTimeout(timer);
      stop();
      resolve(state);
    });
  });
}
