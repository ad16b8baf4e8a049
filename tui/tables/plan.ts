/**
 * Statistics and plans as a person reads them.
 * @module
 */
import type { Statistics } from "../../core/calibrate/types.ts";
import type { Plan } from "../../core/plan/types.ts";
import type { PartWords } from "../../core/session/parts/part_store.ts";
import { formatCount, formatFixed, formatPercent } from "../format.ts";
import { joinBlocks, renderEntries, renderTable } from "../layout.ts";
import { modulesTable } from "./modules.ts";

/**
 * Draws a plan: its modules and what they come to.
 *
 * @param plan The plan
 * @param file Where it was written, as the reader would write it
 * @param width Columns of the terminal
 * @returns Text that ends with a line break
 */
export function planText(plan: Plan, file: string, width: number): string {
  const { request, result } = plan;
  const layers = (of: (at: number) => readonly [number, number]) => {
    const pairs = plan.layers.map((_, at) => of(at));
    const range = (values: readonly number[]) => {
      const [least, most] = [Math.min(...values), Math.max(...values)];
      return least === most ? formatCount(least) : `${formatCount(least)}–${formatCount(most)}`;
    };
    return `${range(pairs.map(([before]) => before))} → ${range(pairs.map(([, after]) => after))}`;
  };
  const ffn = layers((at) => [plan.model.layers[at].ffnWidth, plan.layers[at].ffnKept.length]);
  const heads = layers((at) => [
    plan.model.layers[at].keyValueHeads,
    plan.layers[at].keyValueHeadsKept.length,
  ]);
  return joinBlocks([
    modulesTable(plan.modules, width),
    renderEntries([
      ["Model", plan.model.source],
      [
        "Method",
        `${request.method} on ${request.metric}, ${request.shape} shape, refit ${request.refit}`,
      ],
      ["Layers", `FFN width ${ffn}, KV heads ${heads}`],
      [
        "Sparsity",
        `${formatPercent(result.sparsity)} (${formatFixed(request.sparsity, 2)} asked for): ${
          formatCount(result.prunableBefore)
        } → ${formatCount(result.prunableAfter)} prunable parameters`,
      ],
      ["Written to", file],
    ], width),
  ]);
}

/**
 * Draws what statistics were taken on.
 *
 * @param statistics The statistics
 * @param file Where they were written, as the reader would write it
 * @param width Columns of the terminal
 * @returns Text that ends with a line break
 */
export function statisticsText(statistics: Statistics, file: string, width: number): string {
  const rows = statistics.domains.map((domain) => [
    domain.name,
    domain.sha256.slice(0, 8),
    formatCount(domain.windows),
    formatCount(domain.heldOutWindows),
    formatCount(domain.seqLen),
    formatCount(domain.tokens),
  ]);
  return joinBlocks([
    renderTable(
      [
        { heading: "Domain", align: "left", shrinks: true },
        { heading: "SHA-256", align: "left" },
        { heading: "Windows", align: "right" },
        { heading: "Kept back", align: "right" },
        { heading: "Window", align: "right" },
        { heading: "Tokens", align: "right" },
      ],
      rows,
      width,
    ),
    renderEntries([
      ["Model", `${statistics.model.source} (${statistics.model.layers.length} layers)`],
      [
        "Learned",
        statistics.learned === undefined
          ? undefined
          : `${statistics.learned.curves.length} damage curves on ${statistics.learned.domains.length} domains`,
      ],
      ["Written to", file],
    ], width),
  ]);
}

/**
 * The facts about statistics that `--json` prints: all but the sums, which are in the file.
 *
 * @param statistics The statistics
 * @param file The file that they were written to
 * @returns A value for `JSON.stringify`
 */
export function statisticsSummary(
  statistics: Statistics,
  file: string,
): Readonly<Record<string, unknown>> {
  const { schema, model, seed, domains, learned } = statistics;
  return { schema, model, seed, domains, learned, file };
}

/**
 * Draws what a part of statistics holds.
 *
 * @param part The part
 * @param file Where it was written, as the reader would write it
 * @param width Columns of the terminal
 * @returns Text that ends with a line break
 */
export function partText(part: PartWords, file: string, width: number): string {
  const { shard, model, units, own, seqLen } = part;
  const rows = own.map((unit) => {
    const { domain, heldOut, count } = units[unit];
    return [
      domain,
      heldOut ? "kept back" : "summed",
      formatCount(count),
      formatCount(count * seqLen),
    ];
  });
  return joinBlocks([
    renderTable(
      [
        { heading: "Domain", align: "left", shrinks: true },
        { heading: "For", align: "left" },
        { heading: "Windows", align: "right" },
        { heading: "Tokens", align: "right" },
      ],
      rows,
      width,
    ),
    renderEntries([
      ["Model", `${model.source} (${model.layers.length} layers)`],
      ["Part", `${shard.index} of ${shard.count}: ${own.length} of ${units.length} units`],
      ["Written to", file],
      ["Next", `gprune merge, with the files of all ${shard.count} parts`],
    ], width),
  ]);
}

/**
 * The facts about a part of statistics that `--json` prints.
 *
 * @param part The part
 * @param file The file that it was written to
 * @returns A value for `JSON.stringify`
 */
export function partSummary(
  { schema, shard, model, seed, units, own }: PartWords,
  file: string,
): Readonly<Record<string, unknown>> {
  const { source, fingerprint } = model;
  return {
    schema,
    shard,
    model: { source, fingerprint },
    seed,
    units: own.map((unit) => units[unit]),
    unitsInAll: units.length,
    file,
  };
}
