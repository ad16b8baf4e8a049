/**
 * What keys do, as a function: from what is on the screen and a key to what is on the screen next, and what the session
 * is asked to do.
 * @module
 */
import type { Change } from "../../core/session/live/choices.ts";
import type { LiveState } from "../../core/session/live/state.ts";
import type { Method } from "../../core/plan/types.ts";
import { changeForm, type WriteForm } from "./write_form.ts";

/** A key as the session knows it: a character, or the name of a key without one. */
export type Key =
  | { readonly type: "text"; readonly text: string }
  | {
    readonly type:
      | "left"
      | "right"
      | "up"
      | "down"
      | "page-up"
      | "page-down"
      | "home"
      | "end"
      | "enter"
      | "escape"
      | "backspace"
      | "tab"
      | "interrupt";
    readonly shift?: boolean;
  };

/** What lies over the main screen. */
export type Overlay =
  | { readonly type: "help" }
  | { readonly type: "command"; readonly copied: boolean }
  | { readonly type: "prompt"; readonly prompt: string }
  | { readonly type: "sample" }
  | { readonly type: "write"; readonly form: WriteForm }
  | { readonly type: "quit" };

/** What keys have brought up. */
export interface UiState {
  /** The layer under the cursor, counted from 0. */
  readonly layer: number;
  /** What lies over the main screen. */
  readonly overlay?: Overlay;
  /** The prompt used last. */
  readonly prompt: string;
}

/** What the session, or the terminal, is asked to do. */
export type Action =
  | { readonly type: "change"; readonly change: Change }
  | { readonly type: "compare"; readonly baseline: Method | undefined }
  | { readonly type: "measuring"; readonly on: boolean }
  | { readonly type: "sample"; readonly prompt: string }
  | { readonly type: "write"; readonly form: WriteForm }
  | {
    readonly type:
      | "undo"
      | "redo"
      | "measure"
      | "cancel"
      | "close-sample"
      | "dismiss"
      | "copy"
      | "pause"
      | "resume"
      | "quit";
  };

/** What a key comes to. */
export interface Outcome {
  readonly ui: UiState;
  readonly actions: readonly Action[];
}

/** What the reducer knows besides cursor and overlay. */
export interface KeyContext {
  readonly live: LiveState;
  /** Methods to compare with, in the order of the key. */
  readonly baselines: readonly Method[];
  /** The form to start writing from. */
  readonly newForm: () => WriteForm;
  /** Layers that a page key goes. */
  readonly page: number;
}

/** The state before any key. */
export const firstUi: UiState = { layer: 0, prompt: "Once upon a time" };

/**
 * Takes in a key.
 *
 * @param ui What is on the screen
 * @param key The key
 * @param context The session
 * @returns What is on the screen next, and what to do
 */
export function press(ui: UiState, key: Key, context: KeyContext): Outcome {
  if (key.type === "interrupt") return { ui, actions: [{ type: "quit" }] };
  if (ui.overlay !== undefined) return pressOver(ui, ui.overlay, key, context);
  const { phase } = context.live;
  if (phase === "ready") return pressMain(ui, key, context);
  if (key.type !== "text") return { ui, actions: [] };
  if (key.text === "q") return { ui, actions: [{ type: "quit" }] };
  if (phase === "calibrating" && key.text === " ") return { ui, actions: [{ type: "pause" }] };
  if (phase === "paused" && key.text === " ") return { ui, actions: [{ type: "resume" }] };
  return { ui, actions: [] };
}

function pressMain(ui: UiState, key: Key, context: KeyContext): Outcome {
  if (key.type === "text") return pressText(ui, key.text, context);
  const change = (by: number): Outcome => ({
    ui,
    actions: [{ type: "change", change: { type: "sparsity", by } }],
  });
  const last = (context.live.model?.layers.length ?? 1) - 1;
  const go = (layer: number): Outcome => ({
    ui: { ...ui, layer: Math.min(last, Math.max(0, layer)) },
    actions: [],
  });
  switch (key.type) {
    case "left":
      return change(key.shift ? -0.05 : -0.01);
    case "right":
      return change(key.shift ? 0.05 : 0.01);
    case "up":
      return go(ui.layer - 1);
    case "down":
      return go(ui.layer + 1);
    case "page-up":
      return go(ui.layer - context.page);
    case "page-down":
      return go(ui.layer + context.page);
    case "home":
      return go(0);
    case "end":
      return go(last);
    case "escape":
      return { ui, actions: escaped(context.live) };
    default:
      return { ui, actions: [] };
  }
}

/** Esc stops what was asked for, or takes a notice away. */
function escaped({ activity, notice }: LiveState): readonly Action[] {
  if (activity?.kind === "write" || activity?.kind === "sample") return [{ type: "cancel" }];
  return notice === undefined ? [] : [{ type: "dismiss" }];
}

/** Keys that change the choice. */
const changes: Readonly<Record<string, (layer: number) => Change>> = {
  s: () => ({ type: "structures" }),
  m: () => ({ type: "modules" }),
  b: () => ({ type: "metric" }),
  r: () => ({ type: "refit" }),
  u: () => ({ type: "shape" }),
  p: (layer) => ({ type: "protect", layer }),
  "+": (layer) => ({ type: "budget", layer, direction: 1 }),
  "=": (layer) => ({ type: "budget", layer, direction: 1 }),
  "-": (layer) => ({ type: "budget", layer, direction: -1 }),
};

function pressText(ui: UiState, text: string, context: KeyContext): Outcome {
  const { live } = context;
  const act = (...actions: readonly Action[]): Outcome => ({ ui, actions });
  const open = (overlay: Overlay): Outcome => ({ ui: { ...ui, overlay }, actions: [] });
  if (text === "[" || text === "]") {
    const by = text === "[" ? -0.05 : 0.05;
    return act({ type: "change", change: { type: "sparsity", by } });
  }
  if (Object.hasOwn(changes, text)) return act({ type: "change", change: changes[text](ui.layer) });
  switch (text) {
    case "z":
      return act({ type: "undo" });
    case "Z":
      return act({ type: "redo" });
    case "c": {
      const at = live.baseline === undefined ? -1 : context.baselines.indexOf(live.baseline);
      return act({ type: "compare", baseline: context.baselines[at + 1] });
    }
    case "e":
      return act({ type: "measure" });
    case "a":
      return act({ type: "measuring", on: !live.measuresByItself });
    case "g":
      return open({ type: "prompt", prompt: ui.prompt });
    case "w":
      return open({ type: "write", form: context.newForm() });
    case "x":
      return open({ type: "command", copied: false });
    case "?":
    case "h":
      return open({ type: "help" });
    case "q":
      return needsAsking(live) ? open({ type: "quit" }) : act({ type: "quit" });
    default:
      return act();
  }
}

function needsAsking({ unsaved, activity }: LiveState): boolean {
  return unsaved || activity?.kind === "write";
}

function pressOver(ui: UiState, overlay: Overlay, key: Key, context: KeyContext): Outcome {
  const close = (...actions: readonly Action[]): Outcome => ({
    ui: { ...ui, overlay: undefined },
    actions,
  });
  const stay = (next: Overlay, ...actions: readonly Action[]): Outcome => ({
    ui: { ...ui, overlay: next },
    actions,
  });
  const text = key.type === "text" ? key.text : undefined;
  if (key.type === "escape") return close(...(overlay.type === "sample" ? [closeSample] : []));
  switch (overlay.type) {
    case "help":
      return text === "?" || text === "q" || key.type === "enter" ? close() : stay(overlay);
    case "command":
      if (text === "c") return stay({ ...overlay, copied: true }, { type: "copy" });
      return text === "x" || text === "q" || key.type === "enter" ? close() : stay(overlay);
    case "quit":
      if (text === "y" || text === "q" || key.type === "enter") return close({ type: "quit" });
      if (text === "w") return stay({ type: "write", form: context.newForm() });
      return text === "n" ? close() : stay(overlay);
    case "prompt":
      return pressPrompt(ui, overlay.prompt, key);
    case "sample":
      if (text === "g") {
        return stay({ type: "prompt", prompt: ui.prompt }, closeSample);
      }
      return text === "q" || key.type === "enter" ? close(closeSample) : stay(overlay);
    case "write": {
      if (key.type === "enter") return close({ type: "write", form: overlay.form });
      return stay({ type: "write", form: changeForm(overlay.form, key) });
    }
  }
}

const closeSample: Action = { type: "close-sample" };

function pressPrompt(ui: UiState, prompt: string, key: Key): Outcome {
  if (key.type === "enter" && prompt.trim() !== "") {
    return {
      ui: { ...ui, prompt, overlay: { type: "sample" } },
      actions: [{ type: "sample", prompt }],
    };
  }
  const edited = editText(prompt, key);
  return { ui: { ...ui, overlay: { type: "prompt", prompt: edited } }, actions: [] };
}

/**
 * Edits a text at its end.
 *
 * @param text The text
 * @param key A character, or backspace; others change nothing
 * @returns The text after it
 */
export function editText(text: string, key: Key): string {
  if (key.type === "text") return text + key.text;
  if (key.type !== "backspace") return text;
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment).slice(0, -1)
    .join("");
}
