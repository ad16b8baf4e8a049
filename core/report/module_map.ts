/**
 * The module map: layers × modules, coloured by the share removed.
 * @module
 */
import type { Structure } from "../model/types.ts";
import type { ModuleReport } from "../plan/types.ts";
import { html, Markup } from "./markup.ts";
import { formatFixed, formatPercent } from "./numbers.ts";

/** What a kind of unit is called. */
export const structureNames: Readonly<Record<Structure, string>> = {
  ffn: "FFN neurons",
  heads: "KV groups",
};

const SIZES = { width: 720, row: 22, label: 58, head: 40, gap: 18, most: 96 };

/**
 * Draws the map: one row for each layer, one panel for each kind, robust modules on the left.
 *
 * @param modules The modules of a plan
 * @returns A figure; nothing where there are no modules
 */
export function moduleMap(modules: readonly ModuleReport[]): Markup {
  if (modules.length === 0) return html``;
  const layers = [...new Set(modules.map(({ layer }) => layer))].sort((a, b) => a - b);
  const kinds = (Object.keys(structureNames) as Structure[]).map((structure) => ({
    structure,
    count: 1 + Math.max(
      -1,
      ...modules.filter((each) => each.structure === structure)
        .map(({ module }) => module),
    ),
  })).filter(({ count }) => count > 0);
  const columns = kinds.reduce((sum, { count }) => sum + count, 0);
  const room = SIZES.width - SIZES.label - SIZES.gap * (kinds.length - 1);
  const cell = Math.min(SIZES.most, room / columns);
  const width = SIZES.label + cell * columns + SIZES.gap * (kinds.length - 1);
  const height = SIZES.head + layers.length * SIZES.row + 2;
  let left = SIZES.label;
  const starts = new Map(kinds.map(({ structure, count }) => {
    const start = left;
    left += count * cell + SIZES.gap;
    return [structure, start];
  }));
  const title = "Share of each module that was removed, by layer and kind of unit";
  return html`
    <figure class="map">
      <svg viewBox="0 0 ${round(width)} ${height}" style="max-width: ${Math.round(
        width,
      )}px" role="img"
        aria-label="${title}">
    <title>${title}</title>
    ${kinds.map(({ structure, count }) =>
      panelHead(structure, count, starts.get(structure)!, cell)
    )}${layers.map((layer, row) =>
      html`
        <text class="tick end" x="${SIZES.label - 8}" y="${SIZES.head + row * SIZES.row +
          15}">${layer}</text>
      `
    )}${modules.map((module) =>
      drawnCell(
        module,
        starts.get(module.structure)! + module.module * cell,
        SIZES.head + layers.indexOf(module.layer) * SIZES.row,
        cell,
      )
    )}</svg>
      <figcaption
        class="scale"><span>0 %</span><span class="ramp"></span><span>100 % removed</span></figcaption>
    </figure>
  `;
}

function panelHead(structure: Structure, count: number, left: number, cell: number): Markup {
  const numbers = Array.from(
    { length: count },
    (_, module) =>
      html`<text class="tick middle" x="${round(left + (module + 0.5) * cell)}" y="${
        SIZES.head - 6
      }">${module}</text>`,
  );
  return html`
    <text class="panel" x="${round(left)}" y="14">${structureNames[structure]}</text>${numbers}
  `;
}

function drawnCell(module: ModuleReport, left: number, top: number, cell: number): Markup {
  const removed = Math.min(1, Math.max(0, module.sparsity));
  const share = Math.round(100 * removed);
  // Where black and white can be read equally well on either scale of the page: 4.5 to 1.
  const dark = new Markup(share > 60 ? ' class="dark"' : "");
  const number = cell < 30
    ? undefined
    : html`<text${dark} x="${round(left + cell / 2)}" y="${top + 15}">${share}</text>`;
  return html`
    <g
      class="cell"><rect x="${round(left)}" y="${top}" width="${round(
        cell - 2,
      )}" height="${SIZES.row - 2}" style="--share: ${share}%"><title>${titleOf(
        module,
      )}</title></rect>${number}</g>
  `;
}

function titleOf(module: ModuleReport): string {
  const { layer, structure, units, kept, sparsity, sensitivity, reliability, source } = module;
  return `Layer ${layer}, ${structureNames[structure]}, module ${module.module}: ${
    units - kept
  } of ${units} units removed (${formatPercent(sparsity)}), sensitivity ${
    formatFixed(sensitivity, 3)
  }, reliability ${formatFixed(reliability, 2)}, judged by ${source}`;
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}
