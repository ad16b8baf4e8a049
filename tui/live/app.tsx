/**
 * The session on a terminal, with Ink: keys in, lines out, and the terminal left as it was whatever happens.
 * @module
 */
import { type Key as InkKey, render, type RenderOptions, useInput, useWindowSize } from "ink";
import { type ReactElement, useEffect, useSyncExternalStore } from "react";
import type { Key } from "../keys/reducer.ts";
import { Lines } from "../screens/lines.tsx";
import { line } from "../screens/spans.ts";
import type { Controller, Ending } from "./controller.ts";

/** Milliseconds between drawings of time that passes. */
const tickMilliseconds = 500;

/** What the app draws. */
interface AppProps {
  readonly controller: Controller;
  readonly colors: boolean;
}

function App({ controller, colors }: AppProps): ReactElement {
  const { columns, rows } = useWindowSize();
  useSyncExternalStore(controller.subscribe, () => controller.version);
  useInput((input, key) => {
    for (const each of keysOf(input, key)) controller.press(each);
  });
  const { isTicking } = controller;
  useEffect(() => {
    if (!isTicking) return;
    const timer = setInterval(controller.tick, tickMilliseconds);
    return () => clearInterval(timer);
  }, [isTicking]);
  return (
    <Lines
      lines={linesOf(controller, columns, rows)}
      columns={columns}
      rows={rows}
      colors={colors}
    />
  );
}

/** A screen that cannot be drawn ends the session; the terminal is given back first. */
function linesOf(
  controller: Controller,
  columns: number,
  rows: number,
): ReturnType<Controller["lines"]> {
  try {
    return controller.lines(columns, rows);
  } catch (error) {
    queueMicrotask(() => void controller.close({ error: error as Error }));
    return [line("The screen cannot be drawn")];
  }
}

/**
 * Keys as the session knows them.
 *
 * @param input What was typed
 * @param key What Ink knows of it
 * @returns Keys; none for what means nothing
 */
export function keysOf(input: string, key: InkKey): readonly Key[] {
  const { shift } = key;
  if (key.ctrl && input === "c") return [{ type: "interrupt" }];
  if (key.leftArrow) return [{ type: "left", shift }];
  if (key.rightArrow) return [{ type: "right", shift }];
  if (key.upArrow) return [{ type: "up" }];
  if (key.downArrow) return [{ type: "down" }];
  if (key.pageUp) return [{ type: "page-up" }];
  if (key.pageDown) return [{ type: "page-down" }];
  if (key.home) return [{ type: "home" }];
  if (key.end) return [{ type: "end" }];
  if (key.return) return [{ type: "enter" }];
  if (key.escape) return [{ type: "escape" }];
  // Terminals send either for the key above Enter.
  if (key.backspace || key.delete) return [{ type: "backspace" }];
  if (key.tab) return [{ type: "tab" }];
  if (key.ctrl || key.meta || input === "") return [];
  return [{ type: "text", text: input }];
}

/** What a session is run on. */
export interface RunOptions {
  /** Whether colour is allowed. */
  readonly colors: boolean;
  /** Ends the session from outside. */
  readonly signal: AbortSignal;
  /** Streams of the terminal, where they are not those of the process. */
  readonly streams?: Pick<RenderOptions, "stdin" | "stdout" | "stderr">;
}

/**
 * Runs a session until it ends.
 *
 * @param controller The session
 * @param options Colours, interruption, streams
 * @returns How it ended; the terminal is then as it was
 */
export async function runApp(controller: Controller, options: RunOptions): Promise<Ending> {
  const { signal, colors, streams } = options;
  const app = render(<App controller={controller} colors={colors} />, {
    ...streams,
    alternateScreen: true,
    exitOnCtrlC: false,
    incrementalRendering: true,
    interactive: true,
    maxFps: 30,
  });
  const interrupt = () => void controller.close({ interrupted: true });
  const broke = (event: ErrorEvent | PromiseRejectionEvent) => {
    event.preventDefault();
    const reason: unknown = "reason" in event ? event.reason : event.error;
    void controller.close({ error: reason instanceof Error ? reason : new Error(String(reason)) });
  };
  signal.addEventListener("abort", interrupt);
  globalThis.addEventListener("error", broke);
  globalThis.addEventListener("unhandledrejection", broke);
  try {
    // A failure of Ink itself unmounts it, which ends the session too.
    const unmounted = app.waitUntilExit().then(
      (): Ending => ({ lines: [], interrupted: false }),
      (error: Error): Ending => ({ lines: [], error, interrupted: false }),
    );
    const ending = await Promise.race([controller.ended, unmounted]);
    app.unmount();
    await unmounted;
    return ending;
  } finally {
    signal.removeEventListener("abort", interrupt);
    globalThis.removeEventListener("error", broke);
    globalThis.removeEventListener("unhandledrejection", broke);
  }
}
