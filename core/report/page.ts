/**
 * The page around a report: one file, without a script and without anything from elsewhere.
 * @module
 */
import { html, Markup, type Piece } from "./markup.ts";

/**
 * A whole page.
 *
 * @param title Its title and first heading
 * @param content What stands below
 * @returns The text of an HTML file
 */
export function page(title: string, content: Piece): string {
  // The policy holds even against what a mistake of ours let through: nothing is loaded and nothing is run.
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>${title}</title>
        <style>${new Markup(STYLE)}</style>
      </head>
      <body>
        <main>
    <h1>${title}</h1>
    ${content}</main>
        <footer>Written by gprune, which implements GPrune-LLM (arXiv 2603.13418) and goes past it. This page loads nothing from elsewhere.</footer>
      </body>
    </html>
  `.text;
}

/**
 * A part of the page with its heading.
 *
 * @param title The heading
 * @param content What stands below; nothing is drawn where it is empty
 * @returns HTML
 */
export function section(title: string, ...content: readonly Piece[]): Markup {
  const inside = html`${content}`;
  if (inside.text.trim() === "") return html``;
  return html`
    <section>
    <h2>${title}</h2>
    ${inside}</section>
  `;
}

/** A figure at the top of the page. */
export interface Tile {
  readonly label: string;
  readonly value: string;
  /** What it was before, or under which conditions. */
  readonly note?: string;
}

/**
 * Figures at a glance.
 *
 * @param all The figures
 * @returns HTML
 */
export function tiles(all: readonly Tile[]): Markup {
  return html`
    <dl class="tiles">
    ${all.map(({ label, value, note }) =>
      html`
        <div>
          <dt>${label}</dt>
          <dd>${value}${note === undefined ? undefined : html`
            <small>${note}</small>
          `}</dd>
        </div>
      `
    )}</dl>
  `;
}

/** Colours of lines, told apart in light and dark and by who sees fewer colours. */
export const lineColors: readonly string[] = [1, 2, 3, 4, 5, 6].map((at) => `var(--line-${at})`);

const DARK =
  `--ground: #14171a; --text: #e8eaed; --quiet: #a9b0b7; --rule: #353b42; --card: #1d2126;
--low: #232a31; --high: #79b4f2; --on-low: #ffffff; --on-high: #000000;
--line-1: #6fb3ff; --line-2: #ffb454; --line-3: #5fd3a4; --line-4: #f28fb1; --line-5: #c9a6ff; --line-6: #d6d06a;`;

const STYLE = `
:root { color-scheme: light dark;
--ground: #ffffff; --text: #1b1f23; --quiet: #57606a; --rule: #d5dae0; --card: #f4f6f8;
--low: #eef2f6; --high: #04305c; --on-low: #000000; --on-high: #ffffff;
--line-1: #0b62b5; --line-2: #b45f06; --line-3: #0a7d58; --line-4: #b0305f; --line-5: #6b46c1; --line-6: #6b6500; }
@media (prefers-color-scheme: dark) { :root { ${DARK} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main, footer { max-width: 60rem; margin: 0 auto; padding: 1rem 1.25rem; }
footer { color: var(--quiet); font-size: 0.875rem; border-top: 1px solid var(--rule); margin-top: 2rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 0.25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0.25rem; }
p, li { max-width: 44rem; }
p.quiet, figcaption, caption { color: var(--quiet); }
code { font-size: 0.9em; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.75rem; margin: 1rem 0; }
.tiles > div { background: var(--card); border-radius: 0.5rem; padding: 0.6rem 0.9rem; }
dt { color: var(--quiet); font-size: 0.875rem; }
dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dd small { display: block; color: var(--quiet); font-size: 0.8125rem; }
.wide { overflow-x: auto; margin: 0.75rem 0; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.35rem; }
th, td { padding: 0.25rem 0.75rem 0.25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; }
tbody th { font-weight: 400; max-width: 18rem; overflow-wrap: break-word; }
td { max-width: 26rem; overflow-wrap: break-word; }
td code { white-space: nowrap; }
th.number, td.number { text-align: right; white-space: nowrap; }
tr.sum th, tr.sum td { font-weight: 600; }
figure { margin: 0.75rem 0 1.25rem; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--text); }
svg .tick, svg .axis { fill: var(--quiet); }
svg .axis, svg .middle, .cell text { text-anchor: middle; }
svg .end { text-anchor: end; }
svg .panel { font-weight: 600; }
.grid { stroke: var(--rule); }
.line polyline { fill: none; stroke: var(--color); stroke-width: 2; stroke-linejoin: round; }
.line circle { fill: var(--color); }
.line circle.chosen { stroke: var(--ground); stroke-width: 2; }
.line.faint polyline { stroke-width: 1; opacity: 0.65; }
.cell rect { fill: color-mix(in oklab, var(--low), var(--high) var(--share)); }
.cell text { fill: var(--on-low); }
.cell text.dark { fill: var(--on-high); }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; list-style: none; margin: 0.25rem 0; padding: 0; font-size: 0.875rem; }
.key { display: inline-block; width: 1.5rem; height: 3px; margin-right: 0.4rem; vertical-align: middle; background: var(--color); }
.key.faint { height: 1px; }
.scale { display: flex; align-items: center; gap: 0.5rem; font-size: 0.875rem; }
.ramp { width: 8rem; height: 0.75rem; background: linear-gradient(to right in oklab, var(--low), var(--high)); }
summary { cursor: pointer; color: var(--quiet); }
.cell rect, .ramp, .key { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
@media print {
:root { color-scheme: light;
--ground: #ffffff; --text: #000000; --quiet: #444444; --rule: #bbbbbb; --card: #ffffff; --low: #eef2f6; --high: #04305c; --on-low: #000000; --on-high: #ffffff;
--line-1: #0b62b5; --line-2: #b45f06; --line-3: #0a7d58; --line-4: #b0305f; --line-5: #6b46c1; --line-6: #6b6500; }
body { font-size: 11pt; }
.wide { overflow: visible; }
section, figure, tr { break-inside: avoid-page; }
section { break-inside: auto; }
h2 { break-after: avoid-page; }
details::details-content { content-visibility: visible; display: block; }
summary { display: none; }
}
`;
