/**
 * The screen that belongs to what a session does.
 * @module
 */
import { calibrationScreen } from "./calibration_screen.ts";
import { mainScreen, tooSmall } from "./main_screen.ts";
import {
  commandScreen,
  helpScreen,
  promptScreen,
  quitScreen,
  sampleScreen,
  writeScreen,
} from "./overlays.ts";
import type { Line } from "./spans.ts";
import { choiceLine, noticeLine, statusLine, titleLine } from "./status.ts";
import { leastSize, type View } from "./view.ts";

/** Commands for the screen that shows them, made for a width. */
export type CommandsFor = (
  width: number,
) => readonly { readonly title: string; readonly lines: readonly string[] }[];

/**
 * Draws whatever is to be seen now.
 *
 * @param view What is drawn
 * @param commands Gives the commands that do the same
 * @returns Exactly as many lines as the terminal has rows
 */
export function screenOf(view: View, commands: CommandsFor): readonly Line[] {
  const { live, ui, columns, rows } = view;
  if (columns < leastSize.columns || rows < leastSize.rows) return tooSmall(columns, rows);
  if (live.phase !== "ready") return calibrationScreen(view);
  if (ui.overlay === undefined) return mainScreen(view);
  const above = [titleLine(live, columns), choiceLine(live)];
  const below = [noticeLine(live), statusLine(view)];
  return [...above, ...overlay(view, rows - above.length - below.length, commands), ...below];
}

function overlay(view: View, height: number, commands: CommandsFor): readonly Line[] {
  const { ui, columns } = view;
  switch (ui.overlay!.type) {
    case "help":
      return helpScreen(columns, height);
    case "command":
      return commandScreen(commands(columns), ui.overlay!.copied, columns, height);
    case "prompt":
      return promptScreen(ui.overlay!.prompt, height);
    case "sample":
      return sampleScreen(view, columns, height);
    case "write":
      return writeScreen(ui.overlay!.form, height);
    case "quit":
      return quitScreen(view, height);
  }
}
