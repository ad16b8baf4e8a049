/**
 * The lines that are always there: the model and the choice above, what runs and the keys below.
 * @module
 */
import type { Activity, LiveState } from "../../core/session/live/state.ts";
import {
  bar,
  formatBytes,
  formatClock,
  formatCount,
  formatFixed,
  formatPercent,
} from "../format.ts";
import { secondsLeft } from "../progress_line.ts";
import { fitLine, type Line, type Span } from "./spans.ts";
import { formatMany } from "./tradeoff.ts";
import type { View } from "./view.ts";

/**
 * The model.
 *
 * @param live The session
 * @param width Columns
 * @returns The line, in reverse
 */
export function titleLine({ model }: LiveState, width: number): Line {
  const text = model === undefined
    ? " gprune"
    : ` gprune   ${model.name} (${model.family}, ${model.layers.length} layers)   ${
      formatCount(model.parameters)
    } parameters, ${formatBytes(model.bytes)}`;
  return fitLine([{ text, bold: true }], width).map((span) => ({ ...span, inverse: true }));
}

/**
 * What is chosen, and what it comes to.
 *
 * @param live The session
 * @returns The line
 */
export function choiceLine({ request, plan, unsaved, rows }: LiveState): Line {
  if (request === undefined) return [];
  const row = rows.find(({ sparsity }) => sparsity === request.sparsity);
  const reached =
    plan === undefined || plan.request !== request && plan.request.sparsity !== request.sparsity
      ? undefined
      : plan.result.sparsity;
  const parts: Span[] = [
    {
      text: `Cut ${
        formatPercent(
          request.sparsity,
          Number.isInteger(Math.round(1e4 * request.sparsity) / 100) ? 0 : 1,
        )
      }`,
      bold: true,
    },
    { text: reached === undefined ? "" : ` (${formatFixed(100 * reached, 1)})` },
    { text: ` → ${formatMany(row?.parameters)}` },
    ...setting(request.structures.join("+")),
    ...setting(request.shape),
    ...setting(request.method === "gprune" ? request.metric : request.method),
    ...setting(`${request.modules} ${request.modules === 1 ? "module" : "modules"}`),
    ...setting(`refit ${request.refit}`),
    ...(unsaved ? [{ text: " *", bold: true }] : []),
  ];
  return parts;
}

function setting(text: string): readonly Span[] {
  return [{ text: " · ", dim: true }, { text }];
}

/**
 * What runs, and on what.
 *
 * @param view What is drawn
 * @returns The line
 */
export function statusLine(view: View): Line {
  const { live, memoryBytes } = view;
  const { engine, activity } = live;
  const where = engine === undefined ? "" : `${engine.name} on ${engine.device}`;
  const memory = memoryBytes === undefined ? "" : `  ${formatBytes(memoryBytes)}`;
  const idle = live.measuresByItself ? "idle" : "idle, measuring is off";
  return [
    { text: `${where}${memory}  `, dim: true },
    ...(activity === undefined ? [{ text: idle, dim: true }] : activitySpans(view, activity)),
  ];
}

function activitySpans(view: View, { label, progress }: Activity): readonly Span[] {
  if (progress === undefined || progress.total <= 0) return [{ text: `${label} …` }];
  const share = Math.min(1, progress.done / progress.total);
  const pace = view.paces.get(progress.stage);
  const left = pace === undefined ? undefined : secondsLeft(pace, view.now);
  const stage = { apply: ", cutting", evaluate: ", evaluating" } as Readonly<
    Record<string, string>
  >;
  return [
    { text: `${label}${stage[progress.stage] ?? ""} ` },
    { text: bar(share, 12) },
    { text: ` ${Math.floor(100 * share)} %` },
    { text: left === undefined ? "" : `  about ${formatClock(left)} left` },
  ];
}

/**
 * The latest thing that a person should know.
 *
 * @param live The session
 * @returns The line; empty where there is nothing
 */
export function noticeLine({ notice, problem }: LiveState): Line {
  if (problem !== undefined) return [{ text: `! ${problem}`, color: "red" }];
  if (notice === undefined) return [];
  return notice.isError
    ? [{ text: `! ${notice.message}`, color: "red" }]
    : [{ text: notice.message, color: "green" }];
}

/**
 * Keys, as many as there is room for.
 *
 * @param keys Keys and what they do, the most important first
 * @param width Columns
 * @returns The line
 */
export function keyLine(
  keys: readonly (readonly [key: string, does: string])[],
  width: number,
): Line {
  const spans: Span[] = [];
  let left = width;
  for (const [key, does] of keys) {
    const columns = key.length + does.length + 3;
    if (columns > left + 2) break;
    spans.push({ text: key, bold: true }, { text: ` ${does}  `, dim: true });
    left -= columns;
  }
  return spans;
}
