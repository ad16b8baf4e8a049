/**
 * Fewer domains: the statistics that a calibration on some of the texts alone would have given.
 * @module
 */
import { StatisticsError } from "../errors.ts";
import type { KindStatistics, LayerStatistics, Statistics } from "./types.ts";

/**
 * Leaves out domains. What was worked out from all domains together goes too: removal orders and damage curves. The
 * Gram matrix over the windows kept back stays that of all domains: it judges refits and makes none.
 *
 * @param statistics Statistics
 * @param names The domains that stay
 * @returns Statistics of those domains; domains keep their order
 * @throws {StatisticsError} if a name is unknown, or none is given
 */
export function selectDomains(statistics: Statistics, names: readonly string[]): Statistics {
  const known = statistics.domains.map(({ name }) => name);
  const stranger = names.find((name) => !known.includes(name));
  if (stranger !== undefined || names.length === 0) {
    throw new StatisticsError(
      `Cannot select domain '${stranger ?? ""}': the statistics have ${known.join(", ")}`,
    );
  }
  const stays = (_: unknown, index: number) => names.includes(known[index]);
  const kind = ({ domains, heldOutGram, weights }: KindStatistics): KindStatistics => ({
    domains: domains.filter(stays),
    heldOutGram,
    weights,
  });
  const layer = ({ ffn, heads }: LayerStatistics): LayerStatistics => ({
    ffn: kind(ffn),
    heads: kind(heads),
  });
  const { learned: _, orderDomains: __, ...rest } = statistics;
  return {
    ...rest,
    domains: statistics.domains.filter(stays),
    windows: statistics.windows?.filter(({ name }) => names.includes(name)),
    layers: statistics.layers.map(layer),
  };
}
