/**
 * Merging: statistics taken in parts become statistics of the whole.
 * @module
 */
import { StatisticsError } from "../errors.ts";
import type { Tensor } from "../model/types.ts";
import { balancedGram } from "../linear/gram.ts";
import { readGram } from "./gram_halves.ts";
import { mergeSums } from "./sums.ts";
import type {
  DomainRecord,
  DomainSums,
  DomainWindows,
  KindStatistics,
  Statistics,
} from "./types.ts";

/**
 * Merges statistics of one model that were taken on different windows: of other domains, or other windows of the same
 * domains. What was ranked or learned from either part alone (`obs`, damage) is left out and must be made again.
 *
 * @param a One part
 * @param b The other
 * @returns Statistics of both
 * @throws {StatisticsError} if they belong to different models
 */
export async function mergeStatistics(a: Statistics, b: Statistics): Promise<Statistics> {
  if (a.model.fingerprint !== b.model.fingerprint) {
    throw new StatisticsError(
      `Cannot merge statistics of '${a.model.source}' and '${b.model.source}': they belong to different models`,
    );
  }
  const names = [...new Set([...a.domains, ...b.domains].map(({ name }) => name))].sort();
  const layers = [];
  for (const index of a.layers.keys()) {
    const one = a.layers[index], other = b.layers[index];
    layers.push({
      ffn: await mergeKinds(names, [a, one.ffn], [b, other.ffn]),
      heads: await mergeKinds(names, [a, one.heads], [b, other.heads]),
    });
  }
  return {
    schema: a.schema,
    model: a.model,
    seed: a.seed,
    domains: names.map((name) => mergeRecords(recordOf(a, name), recordOf(b, name))),
    windows: a.windows && b.windows && names.map((name) => ({
      name,
      calibration: [a, b].flatMap((part) => windowsOf(part, name)?.calibration ?? []),
      heldOut: [a, b].flatMap((part) => windowsOf(part, name)?.heldOut ?? []),
    })),
    layers,
  };
}

function windowsOf(statistics: Statistics, name: string): DomainWindows | undefined {
  return statistics.windows?.find((windows) => windows.name === name);
}

function recordOf(statistics: Statistics, name: string): DomainRecord | undefined {
  return statistics.domains.find((domain) => domain.name === name);
}

function mergeRecords(a: DomainRecord | undefined, b: DomainRecord | undefined): DomainRecord {
  if (a === undefined || b === undefined) return (a ?? b)!;
  return {
    ...a,
    tokens: a.tokens + b.tokens,
    windows: a.windows + b.windows,
    heldOutWindows: a.heldOutWindows + b.heldOutWindows,
    sha256: a.sha256 === b.sha256 ? a.sha256 : `${a.sha256}+${b.sha256}`,
  };
}

type Part = readonly [Statistics, KindStatistics];

async function mergeKinds(names: readonly string[], a: Part, b: Part): Promise<KindStatistics> {
  const domains: DomainSums[] = [];
  for (const name of names) {
    const [one, other] = [a, b].map(([statistics, kind]) =>
      kind.domains[statistics.domains.findIndex((domain) => domain.name === name)]
    );
    domains.push(one && other ? await mergeSums(one, other) : one ?? other);
  }
  return {
    domains,
    weights: a[1].weights,
    heldOutGram: await mergeHeldOut(a, b),
  };
}

/** Held-out matrices are means over domains already: parts count by the windows that they stand for. */
async function mergeHeldOut(a: Part, b: Part): Promise<Tensor | undefined> {
  const grams = [a[1].heldOutGram, b[1].heldOutGram];
  if (grams[0] === undefined || grams[1] === undefined) return grams[0] ?? grams[1];
  const weights = [a, b].map(([{ domains }]) =>
    domains.reduce((sum, domain) => sum + Math.max(1, domain.heldOutWindows), 0)
  );
  const both = [await readGram(grams[0]), await readGram(grams[1])]
    .map((gram) => ({ gram, tokens: 1 }));
  const channels = a[1].weights.columnNorm.length;
  const balanced = balancedGram(both, weights, channels);
  return { shape: [channels, channels], data: Float32Array.from(balanced) };
}
