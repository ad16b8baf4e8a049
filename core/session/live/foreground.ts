/**
 * Work that a person asks for in a live session and waits for: samples, a pruned model, a file of the plan. One at a
 * time, before any measuring.
 * @module
 */
import { CancelledError, OptionError } from "../../errors.ts";
import { savePlan } from "../../plan/store.ts";
import type { PlanRequest } from "../../plan/types.ts";
import type { Progress } from "../../progress.ts";
import type { Board } from "./board.ts";
import type { TaskRunner } from "./host.ts";
import type { LiveSettings, WriteOptions } from "./options.ts";
import type { TaskEvent } from "./protocol.ts";
import type { Activity } from "./state.ts";

/** Tokens that a sample adds. */
const sampleTokens = 96;

/** What the work needs. */
export interface ForegroundNeeds {
  readonly board: Board;
  readonly runner: TaskRunner;
  /** The options of the session. */
  readonly settings: () => LiveSettings;
  /** Called before work begins: nothing else is to run. */
  readonly onBegin: () => void;
  /** Called when it has ended, well or not. */
  readonly onEnd: () => void;
  /** Called when something was written. */
  readonly onWritten: () => void;
}

/** Does one thing at a time that a person has asked for. */
export class Foreground {
  readonly #needs: ForegroundNeeds;
  #running: AbortController | undefined;

  /**
   * Starts nothing yet.
   *
   * @param needs What it works with
   */
  constructor(needs: ForegroundNeeds) {
    this.#needs = needs;
  }

  /** Whether something is being done. */
  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** Stops it. */
  cancel(): void {
    this.#running?.abort(new CancelledError("Stopped"));
  }

  /**
   * Continues a prompt from the dense and the pruned model.
   *
   * @param prompt The prompt
   */
  async sample(prompt: string): Promise<void> {
    const { board, runner } = this.#needs;
    const { plan, statistics, request } = board.state;
    if (plan === undefined || statistics === undefined || request === undefined) return;
    const { sparsity } = request;
    const texts = { dense: "", pruned: "" };
    const show = (running: boolean) =>
      board.set({ sample: { prompt, ...texts, sparsity, running } });
    show(true);
    const options = { plan, stats: statistics, prompt, tokens: sampleTokens, seed: 0 };
    await this.#do(
      { kind: "sample", label: "sampling" },
      (signal, onProgress) =>
        runner.run("sample", options, {
          signal,
          onProgress,
          onEvent: (event) => {
            if (event.type !== "text") return;
            texts[event.which] = event.text;
            show(true);
          },
        }),
    );
    show(false);
  }

  /**
   * Writes what was chosen, as `gprune prune` does.
   *
   * @param options Where to, which formats
   * @returns Whether it was written; the state says why not
   */
  async write(options: WriteOptions): Promise<boolean> {
    const { board, runner, settings } = this.#needs;
    const { request, statistics } = board.state;
    if (request === undefined || statistics === undefined) return false;
    const { model, revision, engine, memory, evaluation, evalWindows } = settings();
    const { tasks, choiceTasks = false } = settings();
    const task = {
      ...request,
      ...options,
      ...{ model, revision, engine, memory, evaluation, evalWindows, tasks, choiceTasks },
      seqLen: board.state.evaluation?.seqLen,
      stats: statistics,
      refine: false,
    };
    const label = `writing ${options.out}`;
    return await this.#do({ kind: "write", label }, async (signal, onProgress) => {
      const onEvent = (event: TaskEvent) => event.type === "note" && board.note(event.message);
      const result = await runner.run("write", task, { signal, onProgress, onEvent });
      this.#written(result.folder, request);
    });
  }

  /**
   * Writes the plan that was chosen to a file, as `gprune plan` does.
   *
   * @param path The file
   * @param force Whether to replace it if it is there
   * @returns Whether it was written; the state says why not
   */
  async writePlan(path: string, force: boolean): Promise<boolean> {
    const { board } = this.#needs;
    const { plan, request, statistics } = board.state;
    if (plan === undefined || request === undefined) return false;
    try {
      const exists = await Deno.stat(path).then(() => true, () => false);
      if (exists && !force) {
        throw new OptionError(`Cannot write '${path}': it exists; choose another name`);
      }
      await savePlan(plan, path, { statistics });
      this.#written(path, request);
      return true;
    } catch (error) {
      board.note((error as Error).message, true);
      return false;
    }
  }

  async #do(
    about: Activity,
    work: (signal: AbortSignal, onProgress: (progress: Progress) => void) => Promise<unknown>,
  ): Promise<boolean> {
    const { board, onBegin, onEnd } = this.#needs;
    if (this.isBusy) {
      board.note("Something else is being done; wait for it, or stop it with Esc", true);
      return false;
    }
    const controller = new AbortController();
    this.#running = controller;
    onBegin();
    board.set({ activity: about, notice: undefined });
    try {
      await work(controller.signal, (progress) => board.set({ activity: { ...about, progress } }));
      return true;
    } catch (error) {
      const stopped = error instanceof CancelledError;
      board.note(stopped ? "Stopped" : (error as Error).message, !stopped);
      return false;
    } finally {
      this.#running = undefined;
      board.set({ activity: undefined });
      onEnd();
    }
  }

  #written(path: string, request: PlanRequest): void {
    const { board, onWritten } = this.#needs;
    board.set({ written: [...board.state.written, { path, request }] });
    onWritten();
    board.note(`Written to ${path}`);
  }
}
