/**
 * Line plots as SVG, without a script: axes, lines with points, and a legend.
 * @module
 */
// @ts-types="@types/d3-scale"
import { scaleLinear, scaleLog } from "d3-scale";
import { html, Markup, type Piece } from "./markup.ts";

/** A point of a line. */
export interface PlotPoint {
  readonly x: number;
  readonly y: number;
  /** What is shown when the pointer rests on it; without one there is no dot. */
  readonly title?: string;
  /** Drawn larger, and ringed. Default false. */
  readonly chosen?: boolean;
}

/** A line of a plot. */
export interface PlotLine {
  /** What the legend calls it; absent where the line has no place there. */
  readonly name?: string;
  /** Its points, in the order in which they are joined; those that are no numbers are left out. */
  readonly points: readonly PlotPoint[];
  /** A colour in the words of CSS. */
  readonly color: string;
  /** Drawn thin, behind the others. Default false. */
  readonly faint?: boolean;
}

/** An axis. */
export interface PlotAxis {
  /** What it shows, with its unit. */
  readonly label: string;
  /** How a tick is written. */
  readonly format: (value: number) => string;
  /** Equal ratios are equal lengths. Default false. */
  readonly logarithmic?: boolean;
  /** Values that must be on it. */
  readonly includes?: readonly number[];
}

/** A plot. */
export interface Plot {
  /** What it shows, one sentence, for who cannot see it. */
  readonly title: string;
  readonly x: PlotAxis;
  readonly y: PlotAxis;
  readonly lines: readonly PlotLine[];
  /** Width of the drawing in its own units. Default 720. */
  readonly width?: number;
  /** Height, likewise. Default 300. */
  readonly height?: number;
}

const WIDTH = 720;
const HEIGHT = 300;
const MARGIN = { left: 66, right: 14, top: 10, bottom: 44 };

/**
 * Draws a plot.
 *
 * @param plot What to draw
 * @returns A figure with its legend; nothing where there is no point to draw
 */
export function linePlot(plot: Plot): Markup {
  const { width = WIDTH, height = HEIGHT } = plot;
  const lines = plot.lines.map((line) => ({
    ...line,
    points: line.points.filter(isDrawable(plot)),
  }))
    .filter(({ points }) => points.length > 0);
  const points = lines.flatMap((line) => line.points);
  if (points.length === 0) return html``;
  const x = scaleOf(plot.x, points.map((point) => point.x), [
    MARGIN.left,
    width - MARGIN.right,
  ]);
  const y = scaleOf(plot.y, points.map((point) => point.y), [
    height - MARGIN.bottom,
    MARGIN.top,
  ]);
  const ordered = [...lines.filter(({ faint }) => faint), ...lines.filter(({ faint }) => !faint)];
  return html`
    <figure class="plot">
    <svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${plot.title}">
    <title>${plot.title}</title>
    ${verticalAxis(plot.y, y, plot)}${horizontalAxis(plot.x, x, plot)}${ordered.map((line) =>
      drawnLine(line, x.at, y.at)
    )}</svg>
    ${legend(lines)}</figure>
  `;
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

function isDrawable({ x, y }: Plot): (point: PlotPoint) => boolean {
  const fits = (value: number, axis: PlotAxis) =>
    Number.isFinite(value) && (!axis.logarithmic || value > 0);
  return (point) => fits(point.x, x) && fits(point.y, y);
}

function scaleOf(axis: PlotAxis, values: readonly number[], range: readonly number[]): Scale {
  const all = [...values, ...axis.includes ?? []];
  let low = all.reduce((least, value) => Math.min(least, value), Infinity);
  let high = all.reduce((most, value) => Math.max(most, value), -Infinity);
  const wanted = Math.max(3, Math.round(Math.abs(range[1] - range[0]) / 70));
  if (!axis.logarithmic) {
    if (low === high) [low, high] = [low - 1, high + 1];
    const scale = scaleLinear([low, high], [...range]).nice(wanted);
    return { at: (value) => scale(value), ticks: scale.ticks(wanted) };
  }
  // A little room, and a range even where all values are one.
  [low, high] = [low / 1.03, high * 1.03];
  const scale = scaleLog([low, high], [...range]);
  return { at: (value) => scale(value), ticks: logarithmicTicks(low, high, wanted) };
}

/** Few enough to be read: powers of ten, with 2 and 5 between where there is room, or a plain row within a decade. */
function logarithmicTicks(low: number, high: number, wanted: number): readonly number[] {
  const decades = Math.log10(high / low);
  if (decades < 0.8) return scaleLinear().domain([low, high]).ticks(wanted);
  const all = scaleLog().domain([low, high]).ticks();
  const leading = decades < 2.2 ? /^[125]/ : /^1/;
  const shown = all.filter((tick) => leading.test(tick.toExponential()));
  return shown.length > 0 ? shown : all;
}

function verticalAxis(
  axis: PlotAxis,
  { at, ticks }: Scale,
  { width = WIDTH }: Plot,
): Markup {
  const drawn = ticks.map((tick) => {
    const y = round(at(tick));
    return html`
      <line class="grid" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${y}" y2="${y}" />
      <text class="tick end" x="${MARGIN.left - 8}" y="${y + 4}">${axis.format(tick)}</text>
    `;
  });
  return html`
    ${drawn}<text class="axis" transform="translate(10 ${round(
      (at(ticks[0]) + at(ticks.at(-1)!)) / 2,
    )}) rotate(-90)">${axis.label}</text>
  `;
}

function horizontalAxis(
  axis: PlotAxis,
  { at, ticks }: Scale,
  { width = WIDTH, height = HEIGHT }: Plot,
): Markup {
  const base = height - MARGIN.bottom;
  const drawn = ticks.map((tick) => {
    const x = round(at(tick));
    return html`
      <line class="grid" x1="${x}" x2="${x}" y1="${MARGIN.top}" y2="${base}" />
      <text class="tick middle" x="${x}" y="${base + 17}">${axis.format(tick)}</text>
    `;
  });
  return html`
    ${drawn}<text class="axis" x="${(MARGIN.left + width - MARGIN.right) / 2}" y="${height -
      6}">${axis.label}</text>
  `;
}

function drawnLine(
  { points, color, faint }: PlotLine,
  x: Scale["at"],
  y: Scale["at"],
): Markup {
  const path = points.map((point) => `${round(x(point.x))},${round(y(point.y))}`).join(" ");
  const dots = points.map((point): Piece => {
    if (point.title === undefined) return undefined;
    const radius = point.chosen ? 5 : faint ? 2.5 : 3.5;
    return html`
      <circle${new Markup(point.chosen ? ' class="chosen"' : "")} cx="${round(
        x(point.x),
      )}" cy="${round(y(point.y))}" r="${radius}">
        <title>${point.title}</title>
        </circle>
    `;
  });
  return html`
    <g class="${faint
      ? "line faint"
      : "line"}" style="--color: ${color}"><polyline points="${path}"/>
    ${dots}</g>
  `;
}

function legend(lines: readonly PlotLine[]): Markup {
  const named = lines.filter(({ name }) => name !== undefined);
  if (named.length < 2) return html``;
  return html`
    <ul class="legend">${named.map(({ name, color, faint }) =>
      html`<li><span class="${
        faint ? "key faint" : "key"
      }" style="--color: ${color}"></span>${name}</li>`
    )}</ul>
  `;
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}
