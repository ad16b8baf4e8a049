/**
 * The thread that runs the model in a live session, so that keys never wait for it. It takes one task at a time.
 * @module
 */
import type { Progress } from "../../progress.ts";
import type { FromWorker, TaskEvent, TaskName, ToWorker } from "./protocol.ts";
import { createTasks, type Tasks } from "./tasks.ts";

/** What a worker's thread has as its global scope. */
interface WorkerScope {
  onmessage: ((message: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}

/** Progress that comes faster than this is not told. */
const tellAfterMilliseconds = 100;

const scope = globalThis as unknown as WorkerScope;
const tasks = createTasks();
const running = new Map<number, AbortController>();
let last: Promise<void> = Promise.resolve();

// Deno would write such an error across the screen; the session tells it in its own place.
globalThis.addEventListener("error", (event) => broken(event, event.error));
globalThis.addEventListener("unhandledrejection", (event) => broken(event, event.reason));

function broken(event: Event, reason: unknown): void {
  event.preventDefault();
  const message = reason instanceof Error ? reason.message : String(reason);
  scope.postMessage({ type: "broken", id: -1, message });
}

scope.onmessage = ({ data }) => {
  if (data.type === "cancel") return void running.get(data.id)?.abort(new Error("Cancelled"));
  const controller = new AbortController();
  running.set(data.id, controller);
  // One after the other: two tasks at once would share the processor and slow each other down.
  last = last.then(() => run(data.id, data.task, data.options, controller.signal));
};

async function run(
  id: number,
  task: TaskName,
  options: unknown,
  signal: AbortSignal,
): Promise<void> {
  try {
    signal.throwIfAborted();
    const work = tasks[task] as Tasks[TaskName] as (
      options: unknown,
      about: Parameters<Tasks[TaskName]>[1],
    ) => Promise<unknown>;
    const result = await work(options, {
      signal,
      onProgress: sparingly((progress) => scope.postMessage({ type: "progress", id, progress })),
      onEvent: (event: TaskEvent) => scope.postMessage({ type: "event", id, event }),
    });
    scope.postMessage({ type: "done", id, result });
  } catch (error) {
    const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
    const cancelled = signal.aborted ? "CancelledError" : name;
    scope.postMessage({ type: "failed", id, name: cancelled, message, stack });
  } finally {
    running.delete(id);
  }
}

/** Screens are drawn some times a second; the work reports thousands of times. */
function sparingly(tell: (progress: Progress) => void): (progress: Progress) => void {
  let toldAt = -Infinity;
  let told: Progress | undefined;
  return (progress) => {
    const now = performance.now();
    const turns = progress.stage !== told?.stage || progress.layer !== told.layer ||
      progress.domain !== told.domain;
    if (!turns && progress.done < progress.total && now - toldAt < tellAfterMilliseconds) return;
    toldAt = now;
    told = progress;
    tell(progress);
  };
}
