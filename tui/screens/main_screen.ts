/**
 * The main screen: modules, map and trade-off, laid out for the terminal's size.
 * @module
 */
import { layerLine, layerMap, layerTable, moduleTable } from "./modules.ts";
import { beside, fitHeight, type Line, line } from "./spans.ts";
import { choiceLine, keyLine, noticeLine, statusLine, titleLine } from "./status.ts";
import { tradeoffPlot, tradeoffTable } from "./tradeoff.ts";
import type { View } from "./view.ts";

/** Keys of the main screen, the most important first. */
const mainKeys: readonly (readonly [string, string])[] = [
  ["←→", "cut"],
  ["↑↓", "layer"],
  ["u", "shape"],
  ["g", "sample"],
  ["w", "write"],
  ["x", "command"],
  ["?", "help"],
  ["q", "quit"],
  ["e", "measure"],
  ["s", "kinds"],
  ["c", "compare"],
  ["b", "metric"],
  ["m", "modules"],
  ["r", "refit"],
  ["p", "protect"],
  ["+-", "budget"],
  ["z Z", "undo, redo"],
];

/** Columns from which modules and trade-off stand side by side. */
const wideFrom = 150;

/**
 * Draws the main screen.
 *
 * @param view What is drawn
 * @returns Exactly as many lines as the terminal has rows
 */
export function mainScreen(view: View): readonly Line[] {
  const { live, columns, rows } = view;
  const above = [titleLine(live, columns), choiceLine(live)];
  const below = [noticeLine(live), statusLine(view), keyLine(mainKeys, columns)];
  const height = rows - above.length - below.length;
  const body = columns >= wideFrom ? wideBody(view, height) : narrowBody(view, height);
  return [...above, ...fitHeight(body, height), ...below];
}

function narrowBody(view: View, height: number): readonly Line[] {
  const { live, ui, columns } = view;
  const table = tradeoffTable(live, columns, live.rows.length + 2);
  const left = height - table.length - 2;
  const modules = partHeight(view, left);
  const spare = left - modules;
  const plot = spare >= 9 ? tradeoffPlot(live, columns, Math.min(spare - 2, 24)) : [];
  return [
    [],
    layerLine(live, ui.layer),
    ...partition(view, columns, modules),
    ...(spare > 0 ? [[]] : []),
    ...table,
    ...(plot.length > 0 ? [[], ...plot] : []),
  ];
}

function wideBody(view: View, height: number): readonly Line[] {
  const { live, ui, columns } = view;
  const leftWidth = 72;
  const rightWidth = columns - leftWidth - 3;
  const table = tradeoffTable(live, rightWidth, live.rows.length + 2);
  const plotHeight = Math.min(32, height - table.length - 2);
  const modules = moduleTable(live, ui.layer, leftWidth, Math.max(4, height - mapRows(view) - 6));
  const map = layerMap(live, ui.layer, leftWidth, mapRows(view) + 2);
  const spare = height - modules.length - map.length - 4;
  const left = [
    [],
    layerLine(live, ui.layer),
    ...modules,
    [],
    ...map,
    ...(spare >= 5 ? [[], ...layerTable(live, ui.layer, leftWidth, spare)] : []),
  ];
  const right = [
    [],
    ...table,
    [],
    ...(plotHeight >= 8 ? tradeoffPlot(live, rightWidth, plotHeight) : []),
  ];
  return beside([{ lines: left, width: leftWidth }, { lines: right, width: rightWidth }], 3);
}

/** Rows of the map: modules of all kinds. */
function mapRows({ live }: View): number {
  const own = live.plan?.modules.filter(({ layer }) => layer === 0).length ?? 0;
  return own;
}

/** Rows that table and map want, heading and signs among them, as far as there is room. */
function partHeight(view: View, room: number): number {
  return Math.max(3, Math.min(room, mapRows(view) + 2));
}

/** Table and map of the modules, side by side. */
function partition(view: View, columns: number, height: number): readonly Line[] {
  const { live, ui } = view;
  const layers = live.model?.layers.length ?? 0;
  // The map takes what it needs, up to half; the table can do with 50 columns.
  const mapWidth = Math.min(layers + 9, columns - 53);
  const tableWidth = Math.min(76, columns - mapWidth - 3);
  return beside([
    { lines: moduleTable(live, ui.layer, tableWidth, height), width: tableWidth },
    { lines: layerMap(live, ui.layer, mapWidth, height), width: mapWidth },
  ], 3);
}

/**
 * What is drawn where the terminal is too small.
 *
 * @param columns Its columns
 * @param rows Its rows
 * @returns Lines
 */
export function tooSmall(columns: number, rows: number): readonly Line[] {
  return fitHeight([
    line(`gprune needs 80 × 24; this is ${columns} × ${rows}`),
    line("Enlarge the terminal, or press q"),
  ], rows);
}
