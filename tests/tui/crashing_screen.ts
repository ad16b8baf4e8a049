/** A session whose screen cannot be drawn after a key, or that breaks in between, for the test that drives it. */
import { runApp } from "../../tui/live/app.tsx";
import type { Controller, Ending } from "../../tui/live/controller.ts";
import { line } from "../../tui/screens/spans.ts";

let version = 0;
let broken = false;
let end: (ending: Ending) => void = () => {};
const listeners = new Set<() => void>();
const controller: Pick<
  Controller,
  "version" | "isTicking" | "subscribe" | "tick" | "press" | "lines" | "close" | "ended"
> = {
  get version() {
    return version;
  },
  isTicking: false,
  subscribe: (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  tick: () => {},
  press: (key) => {
    if (key.type === "text" && key.text === "t") {
      setTimeout(() => {
        throw new Error("Something broke in between");
      }, 0);
    }
    broken = key.type === "text" && key.text === "d";
    version++;
    for (const listener of listeners) listener();
  },
  lines: () => {
    if (broken) throw new Error("The screen broke");
    return [line("All is well")];
  },
  close: (why = {}) => {
    end({ lines: [], error: why.error, interrupted: why.interrupted ?? false });
    return Promise.resolve();
  },
  ended: new Promise((resolve) => end = resolve),
};

const ending = await runApp(controller as Controller, {
  colors: false,
  signal: new AbortController().signal,
});
console.log(`ended with ${ending.error?.message}`);
Deno.exit(ending.error === undefined ? 0 : 1);
