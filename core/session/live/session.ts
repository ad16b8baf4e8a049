/**
 * The live session: everything about cutting a model by hand but the terminal. It owns statistics, choices, plans and
 * measurements, has the model run elsewhere, and tells every change of its state.
 * @module
 */
import type { Statistics } from "../../calibrate/types.ts";
import { loadStatistics } from "../../calibrate/store.ts";
import { CancelledError, OptionError } from "../../errors.ts";
import { openModel } from "../../model/open.ts";
import type { Model } from "../../model/types.ts";
import { type PlanOptions, resolveRequest } from "../../plan/request.ts";
import { savePlan } from "../../plan/store.ts";
import type { Method, PlanRequest } from "../../plan/types.ts";
import type { Progress } from "../../progress.ts";
import { evaluationDomains } from "../../text/texts.ts";
import type { OutputOptions, PruneOptions } from "../types.ts";
import {
  findStatistics,
  prepareCalibration,
  type PreparedCalibration,
  withProgress,
} from "./calibration.ts";
import { type Change, changeRequest, type History, redo, remember, undo } from "./choices.ts";
import { MeasurementStore, rememberModel, sessionsFolder } from "./folder.ts";
import type { TaskRunner } from "./host.ts";
import { Planner } from "./planner.ts";
import type { TaskEvent } from "./protocol.ts";
import { type Activity, firstState, type LiveState } from "./state.ts";
import { Tradeoff } from "./tradeoff.ts";

/** What a session is opened with. */
export interface LiveOptions
  extends
    Pick<PruneOptions, "model" | "revision" | "calibration" | "self" | "seed" | "memory">,
    Pick<PruneOptions, "evaluation" | "evalWindows" | "tasks" | "choiceTasks" | "stats"> {
  /** What runs the model. Default `auto`. */
  readonly engine?: "auto" | "onnx" | "webgpu";
  /** Windows per domain. Default 32, which is enough to choose by and done soon. */
  readonly samples?: number;
  /** Tokens per window. Default min(512, the model's own limit). */
  readonly seqLen?: number;
  /** What is chosen at first. */
  readonly request?: PlanOptions;
  /** The folder of all sessions; that of the user's cache if absent. */
  readonly cacheFolder?: string;
}

/** Windows per domain, and first windows of every text, unless told otherwise. */
export const sessionDefaults = { samples: 32, evalWindows: 16, seqLen: 512 } as const;

/** Where and how to write what was chosen. */
export type WriteOptions = Omit<OutputOptions, "command"> & {
  /** The command that makes the same result, for the model card. */
  readonly command?: string;
};

/** Methods that a choice can be compared with, in the order of the key. */
export const sessionBaselines: readonly Method[] = ["wanda-sp", "flap", "magnitude", "random"];

/** Tokens that a sample adds. */
const sampleTokens = 96;

/** A session on one model. */
export class LiveSession {
  readonly #options: LiveOptions;
  readonly #runner: TaskRunner;
  readonly #listeners = new Set<(state: LiveState) => void>();
  #state: LiveState = firstState;
  #model: Model | undefined;
  #planner: Planner | undefined;
  #history: History | undefined;
  #tradeoff: Tradeoff | undefined;
  #temporary: string | undefined;
  #calibrating: AbortController | undefined;
  #preparing: AbortController | undefined;
  #foreground: AbortController | undefined;

  /**
   * Starts nothing yet.
   *
   * @param options Which model, which texts, what is chosen at first
   * @param runner Runs the model
   */
  constructor(options: LiveOptions, runner: TaskRunner) {
    this.#options = options;
    this.#runner = runner;
  }

  /** What there is to draw. */
  get state(): LiveState {
    return this.#state;
  }

  /** The options of the session, with the defaults of a session filled in. */
  get settings(): LiveOptions & {
    readonly samples: number;
    readonly evalWindows: number;
    readonly seqLen: number;
  } {
    const { samples, evalWindows, seqLen } = sessionDefaults;
    const limit = this.#model?.architecture.maxPositions ?? seqLen;
    return {
      ...this.#options,
      samples: this.#options.samples ?? samples,
      evalWindows: this.#options.evalWindows ?? evalWindows,
      seqLen: this.#options.seqLen ?? Math.min(seqLen, limit),
    };
  }

  /**
   * Watches the session.
   *
   * @param listener Called with every new state
   * @returns Stops watching
   */
  subscribe(listener: (state: LiveState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Opens the model and brings the session to where plans are made; failures are in the state. */
  async start(): Promise<void> {
    try {
      await this.#open();
      await this.#calibrate();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Stops a calibration; what is finished is kept. */
  pause(): void {
    this.#calibrating?.abort(new CancelledError("Calibration was paused"));
  }

  /** Goes on with a calibration that was stopped. */
  async resume(): Promise<void> {
    if (this.#state.phase !== "paused") return;
    try {
      await this.#calibrate();
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Changes what is chosen.
   *
   * @param change What to change
   */
  change(change: Change): void {
    if (this.#history === undefined || this.#model === undefined) return;
    const { layers } = this.#model.architecture;
    const changed = changeRequest(this.#history.present, change, layers);
    if ("refused" in changed) return this.#note(changed.refused, true);
    this.#choose(remember(this.#history, changed.request, change.type));
  }

  /** Takes the last change back. */
  undo(): void {
    if (this.#history !== undefined) this.#choose(undo(this.#history));
  }

  /** Makes a change again that was taken back. */
  redo(): void {
    if (this.#history !== undefined) this.#choose(redo(this.#history));
  }

  /**
   * Compares the choice with a baseline.
   *
   * @param baseline The baseline; none if absent
   */
  compareWith(baseline: Method | undefined): void {
    this.#set({ baseline });
    this.#tradeoff?.refresh();
    this.#tradeoff?.measuring.schedule();
  }

  /** Measures the choice now. */
  measureNow(): void {
    this.#tradeoff?.measuring.now();
  }

  /**
   * Turns measuring without being asked on or off.
   *
   * @param measuresByItself Whether it is on
   */
  setMeasuring(measuresByItself: boolean): void {
    this.#set({ measuresByItself });
    this.#tradeoff?.measuring.schedule();
  }

  /**
   * Continues a prompt from the dense and the pruned model.
   *
   * @param prompt The prompt
   */
  async sample(prompt: string): Promise<void> {
    const { plan, statistics, request } = this.#state;
    if (plan === undefined || statistics === undefined || request === undefined) return;
    const { sparsity } = request;
    const texts = { dense: "", pruned: "" };
    const show = (running: boolean) =>
      this.#set({ sample: { prompt, ...texts, sparsity, running } });
    show(true);
    const options = { plan, stats: statistics, prompt, tokens: sampleTokens, seed: 0 };
    await this.#inForeground(
      { kind: "sample", label: "sampling" },
      (signal, onProgress) =>
        this.#runner.run("sample", options, {
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
    const { request, statistics } = this.#state;
    if (request === undefined || statistics === undefined) return false;
    const { model, revision, engine, memory, evaluation, evalWindows } = this.settings;
    const { tasks, choiceTasks = false } = this.settings;
    const task = {
      ...request,
      ...options,
      ...{ model, revision, engine, memory, evaluation, evalWindows, tasks, choiceTasks },
      seqLen: this.#state.evaluation?.seqLen,
      stats: statistics,
      refine: false,
    };
    const label = `writing ${options.out}`;
    return await this.#inForeground({ kind: "write", label }, async (signal, onProgress) => {
      const onEvent = (event: TaskEvent) => event.type === "note" && this.#note(event.message);
      const result = await this.#runner.run("write", task, { signal, onProgress, onEvent });
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
  async writePlan(path: string, force = false): Promise<boolean> {
    const { plan, request, statistics } = this.#state;
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
      this.#note((error as Error).message, true);
      return false;
    }
  }

  /** Stops writing or sampling. */
  cancel(): void {
    this.#foreground?.abort(new CancelledError("Stopped"));
  }

  /** Takes a notice away. */
  dismiss(): void {
    this.#set({ notice: undefined });
  }

  /** Takes continuations away. */
  closeSample(): void {
    if (this.#state.sample?.running) this.cancel();
    this.#set({ sample: undefined });
  }

  /** Ends the session and frees what it holds. */
  async close(): Promise<void> {
    this.#listeners.clear();
    this.#tradeoff?.close();
    this.#preparing?.abort();
    await this.#runner.close();
    if (this.#temporary !== undefined) {
      await Deno.remove(this.#temporary, { recursive: true }).catch(() => undefined);
    }
  }

  async #open(): Promise<void> {
    const { model: source, revision, engine = "auto", request } = this.#options;
    const onProgress = (progress: Activity["progress"]) =>
      this.#set({ activity: { kind: "open", label: "opening the model", progress } });
    onProgress(undefined);
    const model = await openModel(source, { revision, onProgress });
    this.#model = model;
    const chosen = resolveRequest(
      { seed: this.#options.seed, ...request },
      model.architecture.layers,
    );
    this.#history = { past: [], present: chosen, future: [] };
    const { name, parameters, bytes } = model;
    const { family, layers } = model.architecture;
    this.#set({
      model: { name, source: model.source, family, layers, parameters, bytes },
      request: chosen,
    });
    this.#temporary = await Deno.makeTempDir({ prefix: "gprune-live-" });
    const { memory, calibration, self, seqLen = sessionDefaults.seqLen } = this.#options;
    const promise = memory === undefined ? undefined : {
      memory,
      seqLen: Math.min(seqLen, model.architecture.maxPositions),
      request: chosen,
      calibration: { calibration, self },
    };
    const opened = { model: source, revision, engine, promise, temporary: this.#temporary };
    const { engine: engineName, device } = await this.#runner.run("open", opened, { onProgress });
    this.#set({ engine: { name: engineName, device } });
    await rememberModel(this.#root, source ?? "embedded", Date.now()).catch(() => undefined);
  }

  get #root(): string {
    return this.#options.cacheFolder ?? sessionsFolder();
  }

  /** Takes statistics, or finds those of an earlier session. */
  async #calibrate(): Promise<void> {
    const model = this.#model!;
    const prepared = await prepareCalibration(model, this.settings, this.#root);
    let statistics = await findStatistics(prepared, this.#options.stats !== undefined);
    if (statistics === undefined) {
      if (!await this.#takeStatistics(prepared)) return;
      statistics = await loadStatistics(prepared.path);
    }
    await this.#ready(model, statistics, prepared);
  }

  /** Whether it came to its end. */
  async #takeStatistics({ folder, task, domains }: PreparedCalibration): Promise<boolean> {
    const { samples = 0, seqLen = 0 } = task;
    await Deno.mkdir(folder.path, { recursive: true });
    this.#set({
      phase: "calibrating",
      calibration: { stages: [], domains, windows: { samples, seqLen } },
    });
    this.#calibrating = new AbortController();
    try {
      await this.#runner.run("calibrate", task, {
        signal: this.#calibrating.signal,
        onProgress: (progress) =>
          this.#set({
            activity: { kind: "calibrate", label: "calibrating", progress },
            calibration: withProgress(this.#state.calibration!, progress),
          }),
        onEvent: (event) => event.type === "note" && this.#note(event.message),
      });
      return true;
    } catch (error) {
      if (!(error instanceof CancelledError)) throw error;
      this.#set({ phase: "paused", activity: undefined });
      return false;
    } finally {
      this.#calibrating = undefined;
    }
  }

  async #ready(model: Model, statistics: Statistics, prepared: PreparedCalibration): Promise<void> {
    const { evaluation, evalWindows: windows } = this.settings;
    const seqLen = statistics.domains[0].seqLen;
    const domains = await evaluationDomains(evaluation);
    const calibrated = new Set(statistics.domains.map(({ name }) => name));
    const conditions = {
      texts: domains.map(({ name, sha256 }) => `${name} ${sha256}`),
      windows,
      seqLen,
      statistics: prepared.path,
    };
    const store = new MeasurementStore(prepared.folder, conditions);
    await store.load();
    const planner = new Planner(model, statistics);
    this.#planner = planner;
    await planner.prepare(this.#history!.present, {
      onOrder: (done, total) => this.#set({ activity: ordering(done, total) }),
    });
    const dense = store.get("dense");
    this.#set({
      phase: "ready",
      calibration: undefined,
      activity: undefined,
      evaluation: { windows, seqLen },
      statistics: prepared.path,
      denseTokensPerSecond: dense?.tokensPerSecond,
      texts: domains.map(({ name }, index) => ({
        name,
        calibrated: calibrated.has(name),
        dense: dense?.perplexity[index],
      })),
    });
    this.#tradeoff = new Tradeoff({
      model,
      planner,
      store,
      runner: this.#runner,
      statistics: prepared.path,
      evaluation: { evaluation, evalWindows: windows, seqLen },
      chosen: () => this.#history!.present,
      // Where orders are being made, what is best cannot be known yet.
      isBusy: () => this.#foreground !== undefined || this.#preparing !== undefined,
      state: () => this.#state,
      set: (part) => this.#set(part),
      onActivity: (activity) => {
        if (this.#foreground === undefined) this.#set({ activity });
      },
      note: (message, isError) => this.#note(message, isError),
    });
    this.#choose(this.#history!);
  }

  /** Makes a choice the present one: its plan and rows follow, at once where orders are there. */
  #choose(history: History): void {
    this.#history = history;
    const { present, past, future } = history;
    this.#preparing?.abort();
    this.#preparing = undefined;
    this.#set({
      request: present,
      undoable: past.length,
      redoable: future.length,
      unsaved: this.#isUnsaved(),
      notice: undefined,
    });
    if (this.#planner!.missing(present) === 0) this.#planned();
    else void this.#prepare(present);
  }

  async #prepare(request: PlanRequest): Promise<void> {
    const controller = new AbortController();
    this.#preparing = controller;
    this.#tradeoff?.measuring.stop();
    try {
      await this.#planner!.prepare(request, {
        signal: controller.signal,
        onOrder: (done, total) => this.#set({ activity: ordering(done, total) }),
      });
    } catch (error) {
      if (error instanceof CancelledError) return;
      this.#set({ problem: (error as Error).message });
    }
    if (this.#preparing !== controller) return;
    this.#preparing = undefined;
    this.#set({ activity: undefined });
    this.#planned();
  }

  #planned(): void {
    const request = this.#history!.present;
    try {
      this.#set({ plan: this.#planner!.plan(request), problem: undefined });
    } catch (error) {
      this.#set({ problem: (error as Error).message });
    }
    this.#tradeoff?.follow(request);
  }

  /** Work that was asked for goes before measuring. */
  async #inForeground(
    about: Activity,
    work: (
      signal: AbortSignal,
      onProgress: (progress: Progress) => void,
    ) => Promise<unknown>,
  ): Promise<boolean> {
    if (this.#foreground !== undefined) {
      this.#note("Something else is being done; wait for it, or stop it with Esc", true);
      return false;
    }
    const controller = new AbortController();
    this.#foreground = controller;
    this.#tradeoff?.measuring.stop();
    this.#set({ activity: about, notice: undefined });
    try {
      await work(controller.signal, (progress) => this.#set({ activity: { ...about, progress } }));
      return true;
    } catch (error) {
      const stopped = error instanceof CancelledError;
      this.#note(stopped ? "Stopped" : (error as Error).message, !stopped);
      return false;
    } finally {
      this.#foreground = undefined;
      this.#set({ activity: undefined });
      this.#tradeoff?.measuring.schedule();
    }
  }

  #written(path: string, request: PlanRequest): void {
    this.#set({ written: [...this.#state.written, { path, request }] });
    this.#set({ unsaved: this.#isUnsaved() });
    this.#note(`Written to ${path}`);
  }

  /** What was never changed, or is written, is no loss. */
  #isUnsaved(): boolean {
    const { past, future, present } = this.#history!;
    const key = JSON.stringify(present);
    if (past.length + future.length === 0) return false;
    return this.#state.written.every(({ request }) => JSON.stringify(request) !== key);
  }

  #note(message: string, isError = false): void {
    this.#set({ notice: { message, isError } });
  }

  #fail(error: unknown): void {
    this.#set({ phase: "failed", failure: (error as Error).message, activity: undefined });
  }

  #set(part: Partial<LiveState>): void {
    this.#state = { ...this.#state, ...part };
    for (const listener of this.#listeners) listener(this.#state);
  }
}

function ordering(done: number, total: number): Activity {
  const progress = { stage: "plan", done, total, unit: "orders" } as const;
  return { kind: "orders", label: "ordering units", progress };
}
