/**
 * The modules of a plan as a table: one row for each layer and kind, every module a cell in it.
 * @module
 */
import type { Structure } from "../../core/model/types.ts";
import type { ModuleReport } from "../../core/plan/types.ts";
import { bar, formatCount, formatFixed, formatPercent, shareCell } from "../format.ts";
import { type Column, renderTable, type Row } from "../layout.ts";

/** Beyond this many layers, neighbours share a row. */
const mostRowsPerKind = 16;

/** What a row is about: one kind of unit in one layer or a few neighbours. */
interface Band {
  readonly first: number;
  readonly last: number;
  readonly structure: Structure;
  readonly modules: readonly ModuleReport[];
}

/**
 * Draws the modules in short form. The whole list is in `report.json`.
 *
 * @param modules The modules of a plan
 * @param width Columns of the terminal
 * @returns A heading and a table, or an empty text without modules
 */
export function modulesTable(modules: readonly ModuleReport[], width: number): string {
  if (modules.length === 0) return "";
  const wide = width >= 110;
  const columns: readonly Column[] = [
    { heading: "Layer", align: "right" },
    { heading: "Kind", align: "left" },
    { heading: "Units", align: "right" },
    { heading: "Kept", align: "right" },
    { heading: "Modules", align: "left" },
    { heading: wide ? "Sensitivity" : "Sens.", align: "right" },
    { heading: wide ? "Reliability" : "Reli.", align: "right" },
    { heading: wide ? "Judged by" : "Judge", align: "left" },
    { heading: "Sparsity", align: "left" },
  ];
  const bands = bandsOf(modules);
  const rows = bands.flatMap((band, at): Row[] => {
    const row = bandRow(band, wide ? 20 : 6);
    const newKind = at > 0 && bands[at - 1].structure !== band.structure;
    return newKind ? ["rule", row] : [row];
  });
  return `${legend(bands, wide)}\n\n${renderTable(columns, rows, width)}`;
}

function legend(bands: readonly Band[], wide: boolean): string {
  const banded = bands.some((band) => band.first !== band.last);
  const scope = banded ? "neighbouring layers are added up" : "one row per layer and kind";
  const cells = "each cell under Modules is the share of one module that stays,";
  const order = "from the most robust module to the most sensitive (· none, █ all)";
  return wide
    ? `Modules: ${scope}; ${cells}\n${order}`
    : `Modules: ${scope}; each cell under Modules is the share\n` +
      `of one module that stays, most robust module first (· none, █ all)`;
}

function bandsOf(modules: readonly ModuleReport[]): readonly Band[] {
  const layers = 1 + Math.max(...modules.map((module) => module.layer));
  const size = Math.ceil(layers / mostRowsPerKind);
  const bands = new Map<string, ModuleReport[]>();
  for (const module of modules) {
    const key = `${module.structure} ${Math.floor(module.layer / size)}`;
    const band = bands.get(key);
    if (band === undefined) bands.set(key, [module]);
    else band.push(module);
  }
  return [...bands.values()]
    .map((band): Band => ({
      first: Math.min(...band.map((module) => module.layer)),
      last: Math.max(...band.map((module) => module.layer)),
      structure: band[0].structure,
      modules: band,
    }))
    .sort((a, b) =>
      a.structure === b.structure ? a.first - b.first : a.structure === "ffn" ? -1 : 1
    );
}

function bandRow(band: Band, barWidth: number): readonly string[] {
  const units = total(band.modules, (module) => module.units);
  const kept = total(band.modules, (module) => module.kept);
  const removed = units === 0 ? NaN : 1 - kept / units;
  const mean = (of: (module: ModuleReport) => number) =>
    total(band.modules, (module) => module.units * of(module)) / units;
  return [
    band.first === band.last ? String(band.first) : `${band.first}–${band.last}`,
    band.structure,
    formatCount(units),
    formatCount(kept),
    moduleCells(band.modules),
    formatFixed(mean((module) => module.sensitivity), 3),
    formatFixed(mean((module) => module.reliability), 2),
    judge(band.modules),
    `${bar(removed, barWidth)} ${formatPercent(removed).padStart(7)}`,
  ];
}

function moduleCells(modules: readonly ModuleReport[]): string {
  const numbers = [...new Set(modules.map((module) => module.module))].sort((a, b) => a - b);
  return numbers.map((number) => {
    const same = modules.filter((module) => module.module === number);
    return shareCell(total(same, (each) => each.kept) / total(same, (each) => each.units));
  }).join("");
}

function judge(modules: readonly ModuleReport[]): string {
  const sources = new Set(modules.map((module) => module.source));
  return sources.size === 1 ? modules[0].source : "mixed";
}

function total(
  modules: readonly ModuleReport[],
  of: (module: ModuleReport) => number,
): number {
  return modules.reduce((sum, module) => sum + of(module), 0);
}
