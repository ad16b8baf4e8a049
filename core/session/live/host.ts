/**
 * The near side of a live session's worker: tasks as promises, and a new worker where one dies.
 * @module
 */
import * as errors from "../../errors.ts";
import type { Progress, WorkOptions } from "../../progress.ts";
import type {
  FromWorker,
  OpenTask,
  TaskEvent,
  TaskName,
  ToWorker,
  WorkerTasks,
} from "./protocol.ts";

/** How a task is cancelled and watched. */
export interface TaskWatch extends WorkOptions {
  /** Called at every event. */
  readonly onEvent?: (event: TaskEvent) => void;
}

/** Does tasks somewhere else. */
export interface TaskRunner {
  /**
   * Does a task.
   *
   * @param task Its name
   * @param options What it is given
   * @param watch Cancelling, progress, events
   * @returns What it gives
   * @throws {GpruneError} what the task threw
   * @throws {CancelledError} if cancelled
   * @throws {EngineError} if the worker died
   */
  run<Name extends TaskName>(
    task: Name,
    options: WorkerTasks[Name]["options"],
    watch?: TaskWatch,
  ): Promise<WorkerTasks[Name]["result"]>;
  /** Ends what runs. */
  close(): Promise<void>;
}

/** What the host needs of a worker. */
export type WorkerLike = Pick<Worker, "postMessage" | "terminate" | "addEventListener">;

/** How long a worker may take to end by itself: the block in hand is finished first. */
const graceMilliseconds = 2000;

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress?: (progress: Progress) => void;
  readonly onEvent?: (event: TaskEvent) => void;
}

/** Runs tasks in a worker. One that dies fails its tasks and is replaced by another that opens the same model. */
export class WorkerHost implements TaskRunner {
  readonly #start: () => WorkerLike;
  readonly #graceMilliseconds: number;
  readonly #pending = new Map<number, Pending>();
  #worker: WorkerLike | undefined;
  #opened: OpenTask | undefined;
  #nextId = 0;
  #closed = false;

  /**
   * Starts no worker yet.
   *
   * @param start Starts one; by default that of this module's folder
   * @param grace How long one may take to end by itself, in milliseconds
   */
  constructor(start: () => WorkerLike = startWorker, grace: number = graceMilliseconds) {
    this.#start = start;
    this.#graceMilliseconds = grace;
  }

  /** See {@linkcode TaskRunner.run}. */
  async run<Name extends TaskName>(
    task: Name,
    options: WorkerTasks[Name]["options"],
    watch: TaskWatch = {},
  ): Promise<WorkerTasks[Name]["result"]> {
    if (this.#worker === undefined) {
      this.#worker = this.#listen(this.#start());
      // A new worker in place of a dead one knows no model yet.
      if (task !== "open" && this.#opened !== undefined) await this.#send("open", this.#opened);
    }
    const result = await this.#send(task, options, watch);
    if (task === "open") this.#opened = options as OpenTask;
    return result;
  }

  /**
   * Cancels what runs and ends the worker, once it has given back what its engine holds: a thread that is taken away
   * while ONNX Runtime works in it has crashed the process. One that does not answer is ended all the same.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const worker = this.#worker;
    for (const id of this.#pending.keys()) worker?.postMessage({ type: "cancel", id });
    this.#failAll(new errors.CancelledError("The session was closed"));
    if (worker === undefined) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#graceMilliseconds);
    });
    await Promise.race([this.#send("close", null).catch(() => undefined), grace]);
    clearTimeout(timer);
    worker.terminate();
    this.#worker = undefined;
  }

  #send<Name extends TaskName>(
    task: Name,
    options: WorkerTasks[Name]["options"],
    { signal, onProgress, onEvent }: TaskWatch = {},
  ): Promise<WorkerTasks[Name]["result"]> {
    const worker = this.#worker;
    if (worker === undefined) throw new errors.EngineError("Cannot work: the session is closed");
    const id = this.#nextId++;
    const post = (message: ToWorker) => worker.postMessage(message);
    return new Promise<WorkerTasks[Name]["result"]>((resolve, reject) => {
      const cancel = () => post({ type: "cancel", id });
      const settled = () => signal?.removeEventListener("abort", cancel);
      this.#pending.set(id, {
        resolve: (result: never) => (settled(), resolve(result)),
        reject: (error: Error) => (settled(), reject(error)),
        onProgress,
        onEvent,
      });
      signal?.addEventListener("abort", cancel);
      post({ type: "start", id, task, options });
      if (signal?.aborted) cancel();
    });
  }

  #listen(worker: WorkerLike): WorkerLike {
    worker.addEventListener("message", (event) => {
      const message = (event as MessageEvent<FromWorker>).data;
      if (message.type === "broken") this.#died(worker, message.message);
      else this.#receive(message);
    });
    const died = (event: Event) => {
      // Otherwise the error would end this thread too.
      event.preventDefault();
      this.#died(worker, (event as ErrorEvent).message);
    };
    worker.addEventListener("error", died);
    worker.addEventListener("messageerror", died);
    return worker;
  }

  #died(worker: WorkerLike, message: string | undefined): void {
    if (worker !== this.#worker || this.#closed) return;
    worker.terminate();
    this.#worker = undefined;
    const reason = message ? `: ${message.replace(/^Uncaught (\(in promise\) )?/, "")}` : "";
    this.#failAll(
      new errors.EngineError(`The thread that ran the model died${reason}; it was replaced`),
    );
  }

  #receive(message: Exclude<FromWorker, { type: "broken" }>): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if (message.type === "progress") return pending.onProgress?.(message.progress);
    if (message.type === "event") return pending.onEvent?.(message.event);
    this.#pending.delete(message.id);
    if (message.type === "done") pending.resolve(message.result as never);
    else pending.reject(errorOf(message));
  }

  #failAll(error: Error): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of all) reject(error);
  }
}

function startWorker(): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "model" });
}

/** The error as it was thrown on the other side; errors of other classes are of the engine. */
function errorOf(message: Extract<FromWorker, { type: "failed" }>): Error {
  const classes: Readonly<Record<string, new (message: string, options?: ErrorOptions) => Error>> =
    errors;
  const Class = Object.hasOwn(classes, message.name) ? classes[message.name] : errors.EngineError;
  const cause = new Error(message.message);
  cause.stack = message.stack;
  return new Class(message.message, { cause });
}
