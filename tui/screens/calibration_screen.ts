/**
 * The screen while a model is opened and calibrated: stages, and a map of domains × layers.
 * @module
 */
import type { CalibrationState, LiveState } from "../../core/session/live/state.ts";
import type { Progress, Stage } from "../../core/progress.ts";
import { bar, formatClock, formatCount, truncate, wrap } from "../format.ts";
import { secondsLeft } from "../progress_line.ts";
import { fitHeight, type Line, line, type Span } from "./spans.ts";
import { keyLine, noticeLine, statusLine, titleLine } from "./status.ts";
import type { View } from "./view.ts";

/** What calibration goes through, and what each stage is for. */
const stages: readonly (readonly [Stage, string])[] = [
  ["sample", "Sampling the model's own words"],
  ["calibrate", "Running texts, layer by layer"],
  ["score", "Ordering the units"],
  ["learn", "Learning what each layer is worth"],
];

/**
 * Draws the screen.
 *
 * @param view What is drawn
 * @returns Exactly as many lines as the terminal has rows
 */
export function calibrationScreen(view: View): readonly Line[] {
  const { live, columns, rows } = view;
  const above = [titleLine(live, columns)];
  const below = [noticeLine(live), statusLine(view), keyLine(keysOf(live), columns)];
  const height = rows - above.length - below.length;
  return [...above, ...fitHeight(body(view, columns), height), ...below];
}

function keysOf({ phase }: LiveState): readonly (readonly [string, string])[] {
  if (phase === "calibrating") {
    return [["space", "pause"], ["q", "quit; it goes on from here next time"]];
  }
  if (phase === "paused") {
    return [["space", "go on"], ["q", "quit; it goes on from here next time"]];
  }
  if (phase === "failed") return [["Enter", "choose again"], ["q", "quit"]];
  return [["q", "quit"]];
}

function body(view: View, width: number): readonly Line[] {
  const { live } = view;
  if (live.phase === "failed") {
    const failure = live.failure ?? "Something went wrong";
    return [
      [],
      line("This did not work", { bold: true }),
      [],
      ...wrap(failure, width - 2).split("\n").map((text) => line(text)),
    ];
  }
  const { calibration } = live;
  if (calibration === undefined) return [[], line("Opening the model …")];
  const { samples, seqLen } = calibration.windows;
  return [
    [],
    [
      { text: live.phase === "paused" ? "Calibration paused" : "Calibrating", bold: true },
      { text: `   ${samples} windows of ${seqLen} tokens from each text; done once per model` },
    ],
    [],
    ...stages.map(([stage, name]) => stageLine(view, calibration, stage, name)),
    [],
    ...domainMap(calibration, live.model?.layers.length ?? 0, width),
  ];
}

function stageLine(
  view: View,
  calibration: CalibrationState,
  stage: Stage,
  name: string,
): Line {
  const progress = calibration.stages.find((each) => each.stage === stage);
  const label: Span = { text: `  ${name.padEnd(36)}`, dim: progress === undefined };
  if (progress === undefined) return [label, { text: bar(0, 20), dim: true }];
  const share = progress.total > 0 ? progress.done / progress.total : 0;
  const pace = view.paces.get(stage);
  const running = share < 1;
  const left = running && pace !== undefined ? secondsLeft(pace, view.now) : undefined;
  const rate = running && pace?.rate !== undefined
    ? `  ${formatCount(pace.rate)} ${progress.unit}/s`
    : "";
  return [
    label,
    { text: bar(share, 20) },
    { text: ` ${String(Math.floor(100 * share)).padStart(3)} %` },
    { text: left === undefined ? "" : `  ${formatClock(left)} left` },
    { text: rate, dim: true },
  ];
}

/** One row per domain, one cell per layer: which of them were run. */
function domainMap(
  calibration: CalibrationState,
  layers: number,
  width: number,
): readonly Line[] {
  const label = Math.min(16, Math.max(6, ...calibration.domains.map((name) => name.length)) + 2);
  const now = calibration.stages.find(({ stage }) => stage === "calibrate");
  const room = width - label - 4;
  const each = Math.max(1, Math.ceil(layers / room));
  const head = `  ${"Layers".padEnd(label)}0 to ${layers - 1}`;
  return [
    line(head, { dim: true }),
    ...calibration.domains.map((name, domain): Line => [
      { text: `  ${truncate(name, label - 1).padEnd(label)}`, dim: true },
      {
        text: Array.from(
          { length: Math.ceil(layers / each) },
          (_, cell) => layerCell(calibration, now, domain, cell * each),
        ).join(""),
      },
    ]),
  ];
}

function layerCell(
  { domains }: CalibrationState,
  now: Progress | undefined,
  domain: number,
  layer: number,
): string {
  if (now?.layer === undefined || now.domain === undefined) return "·";
  if (layer < now.layer || now.done >= now.total) return "█";
  if (layer > now.layer) return "·";
  const current = domains.indexOf(now.domain);
  return domain < current ? "█" : domain === current ? "▒" : "·";
}
