/**
 * Opens the session on this terminal.
 * @module
 */
import { recentModels, sessionsFolder } from "../../core/session/live/folder.ts";
import { WorkerHost } from "../../core/session/live/host.ts";
import type { LiveOptions } from "../../core/session/live/options.ts";
import { LiveSession } from "../../core/session/live/session.ts";
import { textsIn } from "../../core/session/live/texts.ts";
import { type CommandContext, pathsOf } from "../context.ts";
import { runApp } from "./app.tsx";
import type { LiveStart } from "./start.ts";
import { Controller, type Ending } from "./controller.ts";

/**
 * Runs a session until it ends.
 *
 * @param context The command's context
 * @param options Which model, which texts, what is chosen at first
 * @param start Whether the questions come first, and what is preset
 * @returns How it ended; the terminal is then as it was
 */
export async function openLive(
  context: CommandContext,
  options: LiveOptions,
  start: LiveStart,
): Promise<Ending> {
  const { terminal, colors, signal } = context;
  const paths = pathsOf(context);
  const recent = start.asks
    ? (await recentModels(sessionsFolder())).map(({ source }) => source)
    : undefined;
  const controller = new Controller({
    makeSession: (given) => new LiveSession(given, new WorkerHost()),
    options,
    recent,
    answered: async ({ model, textFolder, structures }) => ({
      ...options,
      model: paths.model(model),
      calibration: textFolder === undefined
        ? options.calibration
        : await textsIn(paths.file(textFolder)),
      request: { ...options.request, structures: structures ?? options.request?.structures },
    }),
    paths,
    start,
    now: terminal.now,
    memoryBytes: () => Deno.memoryUsage().rss,
    // OSC 52: terminals that allow it put the text on the clipboard.
    copy: (text) => terminal.write(`\x1b]52;c;${btoa(text)}\x07`),
  });
  return await runApp(controller, { colors, signal });
}
