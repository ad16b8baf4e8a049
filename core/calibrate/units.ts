/**
 * Units of summing: fixed groups of windows whose sums are made by themselves and added up in a fixed order. Sums of
 * floating-point numbers depend on their grouping; with groups that depend on nothing but the windows, any machine can
 * make any unit, and the whole comes out the same to the last bit.
 * @module
 */
import { inBatches } from "../engine/batches.ts";
import type { DomainSums, DomainWindows } from "./types.ts";
import type { Structure } from "../model/types.ts";

/** Groups that the windows of a domain are summed in, at most: as many machines can share a domain. */
export const unitsPerDomain = 8;

/** Windows of one domain that are summed by themselves. */
export interface SumUnit {
  /** Its number among all units, from 0: sums are added in this order. */
  readonly index: number;
  /** The domain's name. */
  readonly domain: string;
  /** Whether its windows are those kept back. */
  readonly heldOut: boolean;
  /** Its first window among the domain's windows of this kind. */
  readonly first: number;
  /** The windows. */
  readonly windows: readonly Int32Array[];
}

/** The sums of one layer over one unit. */
export type UnitSums = Readonly<Record<Structure, DomainSums>>;

/**
 * Cuts domains into units: the batches of each domain's windows in at most {@linkcode unitsPerDomain} groups of about
 * one size, and the windows kept back in one.
 *
 * @param domains The domains, in their order
 * @returns The units, in theirs
 * @example
 * ```ts
 * import { sumUnits } from "./units.ts";
 * const windows = Array.from({ length: 40 }, () => new Int32Array(512));
 * const units = sumUnits([{ name: "wiki", calibration: windows, heldOut: windows.slice(0, 4) }]);
 * console.log(units.map((unit) => unit.windows.length)); // [8, 8, 8, 8, 8, 4]
 * ```
 */
export function sumUnits(domains: readonly DomainWindows[]): readonly SumUnit[] {
  const units: SumUnit[] = [];
  const add = (domain: string, heldOut: boolean, first: number, windows: readonly Int32Array[]) =>
    units.push({ index: units.length, domain, heldOut, first, windows });
  for (const { name, calibration, heldOut } of domains) {
    let first = 0;
    for (const group of inGroups(inBatches(calibration))) {
      add(name, false, first, group.flat());
      first += group.flat().length;
    }
    if (heldOut.length > 0) add(name, true, 0, heldOut);
  }
  return units;
}

function inGroups<T>(batches: readonly T[]): readonly (readonly T[])[] {
  const count = Math.min(unitsPerDomain, batches.length);
  const start = (group: number) => Math.floor(group * batches.length / count);
  return Array.from({ length: count }, (_, group) => batches.slice(start(group), start(group + 1)));
}

/** One of several parts that a calibration is done in. */
export interface Shard {
  /** Which part, counted from 1. */
  readonly index: number;
  /** How many parts there are. */
  readonly count: number;
}

/**
 * The units of one part: neighbours, so that a part needs few texts.
 *
 * @param units All units
 * @param shard Which part; there may not be more parts than units
 * @returns Its units; every unit is in one part
 */
export function unitsOf(units: readonly SumUnit[], { index, count }: Shard): readonly SumUnit[] {
  const start = (part: number) => Math.floor(part * units.length / count);
  return units.slice(start(index - 1), start(index));
}
