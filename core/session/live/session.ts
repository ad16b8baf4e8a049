/**
 * The live session: everything about cutting a model by hand but the terminal. It opens the model, has statistics taken,
 * and brings together what is chosen, measured and written; the model runs elsewhere, and every change is told.
 * @module
 */
import { loadStatistics } from "../../calibrate/store.ts";
import type { Statistics } from "../../calibrate/types.ts";
import { CancelledError } from "../../errors.ts";
import { openModel } from "../../model/open.ts";
import type { Model } from "../../model/types.ts";
import { resolveRequest } from "../../plan/request.ts";
import type { Method, PlanRequest } from "../../plan/types.ts";
import { evaluationDomains } from "../../text/texts.ts";
import { Board } from "./board.ts";
import {
  findStatistics,
  prepareCalibration,
  type PreparedCalibration,
  withProgress,
} from "./calibration.ts";
import type { Change } from "./choices.ts";
import { Choosing } from "./choosing.ts";
import { MeasurementStore, rememberModel, sessionsFolder } from "./folder.ts";
import { Foreground } from "./foreground.ts";
import type { TaskRunner } from "./host.ts";
import {
  type LiveOptions,
  type LiveSettings,
  sessionDefaults,
  type WriteOptions,
} from "./options.ts";
import { Planner } from "./planner.ts";
import type { Activity, LiveState } from "./state.ts";
import { Tradeoff } from "./tradeoff.ts";

/** A session on one model. */
export class LiveSession {
  readonly #options: LiveOptions;
  readonly #runner: TaskRunner;
  readonly #board = new Board();
  readonly #foreground: Foreground;
  #model: Model | undefined;
  #choosing: Choosing | undefined;
  #tradeoff: Tradeoff | undefined;
  #temporary: string | undefined;
  #calibrating: AbortController | undefined;

  /**
   * Starts nothing yet.
   *
   * @param options Which model, which texts, what is chosen at first
   * @param runner Runs the model
   */
  constructor(options: LiveOptions, runner: TaskRunner) {
    this.#options = options;
    this.#runner = runner;
    this.#foreground = new Foreground({
      board: this.#board,
      runner,
      settings: () => this.settings,
      onBegin: () => this.#tradeoff?.measuring.stop(),
      onEnd: () => this.#tradeoff?.measuring.schedule(),
      onWritten: () => this.#choosing?.tellUnsaved(),
    });
  }

  /** What there is to draw. */
  get state(): LiveState {
    return this.#board.state;
  }

  /** The options of the session, with the defaults of a session filled in. */
  get settings(): LiveSettings {
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
    return this.#board.subscribe(listener);
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
    if (this.state.phase !== "paused") return;
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
    this.#choosing?.change(change);
  }

  /** Takes the last change back. */
  undo(): void {
    this.#choosing?.undo();
  }

  /** Makes a change again that was taken back. */
  redo(): void {
    this.#choosing?.redo();
  }

  /**
   * Compares the choice with a baseline.
   *
   * @param baseline The baseline; none if absent
   */
  compareWith(baseline: Method | undefined): void {
    this.#board.set({ baseline });
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
    this.#board.set({ measuresByItself });
    this.#tradeoff?.measuring.schedule();
  }

  /**
   * Continues a prompt from the dense and the pruned model.
   *
   * @param prompt The prompt
   */
  async sample(prompt: string): Promise<void> {
    await this.#foreground.sample(prompt);
  }

  /**
   * Writes what was chosen, as `gprune prune` does.
   *
   * @param options Where to, which formats
   * @returns Whether it was written; the state says why not
   */
  async write(options: WriteOptions): Promise<boolean> {
    return await this.#foreground.write(options);
  }

  /**
   * Writes the plan that was chosen to a file, as `gprune plan` does.
   *
   * @param path The file
   * @param force Whether to replace it if it is there
   * @returns Whether it was written; the state says why not
   */
  async writePlan(path: string, force = false): Promise<boolean> {
    return await this.#foreground.writePlan(path, force);
  }

  /** Stops writing or sampling. */
  cancel(): void {
    this.#foreground.cancel();
  }

  /** Takes a notice away. */
  dismiss(): void {
    this.#board.set({ notice: undefined });
  }

  /** Takes continuations away. */
  closeSample(): void {
    if (this.state.sample?.running) this.cancel();
    this.#board.set({ sample: undefined });
  }

  /** Ends the session and frees what it holds. */
  async close(): Promise<void> {
    this.#board.close();
    this.#tradeoff?.close();
    this.#choosing?.close();
    await this.#runner.close();
    if (this.#temporary !== undefined) {
      await Deno.remove(this.#temporary, { recursive: true }).catch(() => undefined);
    }
  }

  get #root(): string {
    return this.#options.cacheFolder ?? sessionsFolder();
  }

  async #open(): Promise<void> {
    const { model: source, revision, seed, request } = this.#options;
    const onProgress = (progress: Activity["progress"]) =>
      this.#board.set({ activity: { kind: "open", label: "opening the model", progress } });
    onProgress(undefined);
    const model = await openModel(source, { revision, onProgress });
    this.#model = model;
    const { name, parameters, bytes } = model;
    const { family, layers } = model.architecture;
    const first = resolveRequest({ seed, ...request }, layers);
    this.#choosing = new Choosing({
      board: this.#board,
      layers,
      first,
      onPreparing: () => this.#tradeoff?.measuring.stop(),
      onPlanned: (chosen) => this.#tradeoff?.follow(chosen),
    });
    this.#board.set({
      model: { name, source: model.source, family, layers, parameters, bytes },
      request: first,
    });
    await this.#openWorker(model, first, onProgress);
    await rememberModel(this.#root, source ?? "embedded", Date.now()).catch(() => undefined);
  }

  async #openWorker(
    model: Model,
    request: PlanRequest,
    onProgress: (progress: Activity["progress"]) => void,
  ): Promise<void> {
    const { model: source, revision, engine = "auto", memory, calibration, self } = this.#options;
    const { seqLen = sessionDefaults.seqLen } = this.#options;
    const temporary = await Deno.makeTempDir({ prefix: "gprune-live-" });
    this.#temporary = temporary;
    const promise = memory === undefined ? undefined : {
      memory,
      seqLen: Math.min(seqLen, model.architecture.maxPositions),
      request,
      calibration: { calibration, self },
    };
    const options = { model: source, revision, engine, promise, temporary };
    const opened = await this.#runner.run("open", options, { onProgress });
    this.#board.set({ engine: { name: opened.engine, device: opened.device } });
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
    this.#board.set({
      phase: "calibrating",
      calibration: { stages: [], domains, windows: { samples, seqLen } },
    });
    this.#calibrating = new AbortController();
    try {
      await this.#runner.run("calibrate", task, {
        signal: this.#calibrating.signal,
        onProgress: (progress) =>
          this.#board.set({
            activity: { kind: "calibrate", label: "calibrating", progress },
            calibration: withProgress(this.state.calibration!, progress),
          }),
        onEvent: (event) => event.type === "note" && this.#board.note(event.message),
      });
      return true;
    } catch (error) {
      if (!(error instanceof CancelledError)) throw error;
      this.#board.set({ phase: "paused", activity: undefined });
      return false;
    } finally {
      this.#calibrating = undefined;
    }
  }

  async #ready(model: Model, statistics: Statistics, prepared: PreparedCalibration): Promise<void> {
    const { evaluation, evalWindows } = this.settings;
    const choosing = this.#choosing!;
    const seqLen = statistics.domains[0].seqLen;
    const domains = await evaluationDomains(evaluation);
    const calibrated = new Set(statistics.domains.map(({ name }) => name));
    const store = new MeasurementStore(prepared.folder, {
      texts: domains.map(({ name, sha256 }) => `${name} ${sha256}`),
      windows: evalWindows,
      seqLen,
      statistics: prepared.path,
    });
    await store.load();
    const planner = new Planner(model, statistics);
    await choosing.begin(planner);
    const dense = store.get("dense");
    this.#board.set({
      phase: "ready",
      calibration: undefined,
      activity: undefined,
      evaluation: { windows: evalWindows, seqLen },
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
      evaluation: { evaluation, evalWindows, seqLen },
      chosen: () => choosing.request,
      isBusy: () => this.#foreground.isBusy || choosing.isPreparing,
      board: this.#board,
      onActivity: (activity) => {
        if (!this.#foreground.isBusy) this.#board.set({ activity });
      },
    });
    choosing.plan();
  }

  #fail(error: unknown): void {
    const failure = (error as Error).message;
    this.#board.set({ phase: "failed", failure, activity: undefined });
  }
}
