/**
 * Between keys, session and screen: it takes keys in, has the session do what they ask for, and says what to draw.
 * @module
 */
import { type LiveOptions, sessionBaselines } from "../../core/session/live/options.ts";
import type { LiveSession } from "../../core/session/live/session.ts";
import type { LiveState } from "../../core/session/live/state.ts";
import type { Stage } from "../../core/progress.ts";
import {
  type Action,
  firstUi,
  type Key,
  type KeyContext,
  press,
  type UiState,
} from "../keys/reducer.ts";
import { firstWizard, pressWizard, type WizardResult, type WizardState } from "../keys/wizard.ts";
import { advance, type ProgressState } from "../progress_line.ts";
import { screenOf } from "../screens/screen.ts";
import type { Line } from "../screens/spans.ts";
import { wizardScreen } from "../screens/wizard_screen.ts";
import type { LiveStart } from "./start.ts";
import { Writing } from "./writing.ts";
import type { Paths } from "../context.ts";

/** What a controller works with. */
export interface ControllerNeeds {
  /** Makes a session, not started. */
  readonly makeSession: (options: LiveOptions) => LiveSession;
  /** Options that were given; with a model, or with `skipWizard`, there are no questions. */
  readonly options: LiveOptions;
  /** Models that were opened before, if the questions are to be asked; undefined opens at once. */
  readonly recent?: readonly string[];
  /** Turns the answers into options. */
  readonly answered: (result: WizardResult) => Promise<LiveOptions>;
  /** Paths as the user means them. */
  readonly paths: Paths;
  /** What is preset in the form for writing. */
  readonly start: LiveStart;
  /** Milliseconds of a clock that only goes forwards. */
  readonly now: () => number;
  /** Resident memory of this process. */
  readonly memoryBytes: () => number | undefined;
  /** Puts a text on the clipboard, where the terminal allows it. */
  readonly copy: (text: string) => void;
}

/** How a session ended. */
export interface Ending {
  /** What to say on the normal screen, line by line. */
  readonly lines: readonly string[];
  /** What broke, if something did. */
  readonly error?: Error;
  /** Whether it was interrupted. */
  readonly interrupted: boolean;
}

/** Runs questions and a session. */
export class Controller {
  readonly #needs: ControllerNeeds;
  readonly #listeners = new Set<() => void>();
  readonly #paces = new Map<Stage, ProgressState>();
  readonly ended: Promise<Ending>;
  #end: (ending: Ending) => void = () => {};
  #wizard: WizardState | undefined;
  #session: LiveSession | undefined;
  #writing: Writing | undefined;
  #ui: UiState = firstUi;
  #version = 0;

  /**
   * Starts the questions, or the session where there are none.
   *
   * @param needs What it works with
   */
  constructor(needs: ControllerNeeds) {
    this.#needs = needs;
    this.ended = new Promise((resolve) => this.#end = resolve);
    if (needs.recent !== undefined) this.#wizard = this.#firstWizard();
    else this.#open(needs.options);
  }

  /** Changes with everything that is drawn. */
  get version(): number {
    return this.#version;
  }

  /** Whether time that passes is to be seen. */
  get isTicking(): boolean {
    return this.#session?.state.activity !== undefined;
  }

  /**
   * Watches for changes.
   *
   * @param listener Called at every change
   * @returns Stops watching
   */
  readonly subscribe = (listener: () => void): () => void => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Draws again, for the time that has passed. */
  readonly tick = (): void => this.#changed();

  /**
   * Takes in a key.
   *
   * @param key The key
   */
  press(key: Key): void {
    // Keys pressed fast can come as one text; only where text is typed does it stay together.
    if (key.type === "text" && key.text.length > 1 && !this.#isTyping()) {
      for (const text of key.text) this.press({ type: "text", text });
      return;
    }
    if (this.#wizard !== undefined) return this.#pressWizard(this.#wizard, key);
    const session = this.#session;
    if (session === undefined) return;
    if (session.state.phase === "failed" && key.type === "enter") return this.#again(session);
    const { ui, actions } = press(this.#ui, key, this.#context(session.state));
    this.#ui = ui;
    for (const action of actions) this.#act(session, action, key);
    this.#changed();
  }

  /**
   * What is to be seen.
   *
   * @param columns Columns of the terminal
   * @param rows Rows of the terminal
   * @returns Lines
   */
  lines(columns: number, rows: number): readonly Line[] {
    if (this.#wizard !== undefined) return wizardScreen(this.#wizard, columns, rows);
    if (this.#session === undefined) return [];
    const { now, memoryBytes } = this.#needs;
    const view = {
      live: this.#session.state,
      ui: this.#ui,
      columns,
      rows,
      paces: this.#paces,
      now: now(),
      memoryBytes: memoryBytes(),
    };
    return screenOf(view, (width) => this.#writing!.commands(width));
  }

  /**
   * Ends everything.
   *
   * @param why An error, or an interruption
   */
  async close(why: { readonly error?: Error; readonly interrupted?: boolean } = {}): Promise<void> {
    const lines = why.error === undefined ? this.#writing?.farewell() ?? [] : [];
    await this.#session?.close();
    this.#end({ lines, error: why.error, interrupted: why.interrupted ?? false });
  }

  #isTyping(): boolean {
    if (this.#wizard !== undefined) return this.#wizard.typing !== undefined;
    return this.#ui.overlay?.type === "prompt" || this.#ui.overlay?.type === "write";
  }

  /** The command line may have answered some questions. */
  #firstWizard(problem?: string): WizardState {
    const { calibration, request } = this.#needs.options;
    return firstWizard(this.#needs.recent ?? ["embedded"], problem, [
      ...(calibration === undefined ? [] : ["texts" as const]),
      ...(request?.structures === undefined ? [] : ["structures" as const]),
    ]);
  }

  #pressWizard(wizard: WizardState, key: Key): void {
    const { state, result, quits } = pressWizard(wizard, key);
    this.#wizard = state;
    if (quits) void this.close({ interrupted: key.type === "interrupt" });
    if (result !== undefined) void this.#take(result);
    this.#changed();
  }

  async #take(result: WizardResult): Promise<void> {
    try {
      const options = await this.#needs.answered(result);
      this.#wizard = undefined;
      this.#open(options);
    } catch (error) {
      this.#wizard = this.#firstWizard((error as Error).message);
    }
    this.#changed();
  }

  #open(options: LiveOptions): void {
    const session = this.#needs.makeSession(options);
    this.#session = session;
    this.#ui = firstUi;
    this.#paces.clear();
    this.#writing = new Writing(session, this.#needs.paths, this.#needs.start);
    session.subscribe((state) => this.#took(state));
    void session.start();
  }

  /** After a failure the questions come again, with what went wrong. */
  #again(session: LiveSession): void {
    this.#wizard = this.#firstWizard(session.state.failure);
    this.#session = undefined;
    void session.close();
    this.#changed();
  }

  #took({ activity }: LiveState): void {
    const { progress } = activity ?? {};
    if (progress !== undefined) {
      const before = this.#paces.get(progress.stage);
      if (before?.progress !== progress) {
        this.#paces.set(progress.stage, advance(before, progress, this.#needs.now()));
      }
    }
    this.#changed();
  }

  #context(live: LiveState): KeyContext {
    return {
      live,
      baselines: sessionBaselines,
      newForm: () => this.#writing!.newForm(),
      page: 8,
    };
  }

  #act(session: LiveSession, action: Action, key: Key): void {
    switch (action.type) {
      case "change":
        return session.change(action.change);
      case "compare":
        return session.compareWith(action.baseline);
      case "measuring":
        return session.setMeasuring(action.on);
      case "sample":
        return void session.sample(action.prompt);
      case "write":
        return void this.#writing!.write(action.form);
      case "undo":
        return session.undo();
      case "redo":
        return session.redo();
      case "measure":
        return session.measureNow();
      case "cancel":
        return session.cancel();
      case "close-sample":
        return session.closeSample();
      case "dismiss":
        return session.dismiss();
      case "copy":
        return this.#needs.copy(this.#writing!.command());
      case "pause":
        return session.pause();
      case "resume":
        return void session.resume();
      case "quit":
        return void this.close({ interrupted: key.type === "interrupt" });
    }
  }

  #changed(): void {
    this.#version++;
    for (const listener of this.#listeners) listener();
  }
}
