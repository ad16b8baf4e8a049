import { assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import {
  balancedMoments,
  channelScores,
  pooledMoments,
  unitScores,
} from "../../core/plan/metrics.ts";
import type { DomainSums, KindStatistics } from "../../core/calibrate/types.ts";
import type { Metric } from "../../core/plan/types.ts";

/** Two channels; three tokens x = (1, 0), (3, 0), (2, 4). */
const sums: DomainSums = {
  tokens: 3,
  sum: Float64Array.of(6, 4),
  sumOfSquares: Float64Array.of(14, 16),
};
/** W = [[3, 1], [4, 0]]: column norms 5 and 1, mean absolutes 3.5 and 0.5. */
const kind: KindStatistics = {
  domains: [sums],
  weights: {
    columnNorm: Float64Array.of(5, 1),
    columnMeanAbsolute: Float64Array.of(3.5, 0.5),
    rowNorm: Float64Array.of(2, 7),
  },
};
const score = (metric: Metric) => [...channelScores(metric, kind, pooledMoments([sums]), "s")];

Deno.test("channelScores() wanda-sp is mean |W| times the root mean square", () => {
  const [first, second] = score("wanda-sp");
  assertAlmostEquals(first, 3.5 * Math.sqrt(14 / 3), 1e-12);
  assertAlmostEquals(second, 0.5 * Math.sqrt(16 / 3), 1e-12);
});

Deno.test("channelScores() rms is the output energy of a channel", () => {
  const [first, second] = score("rms");
  assertAlmostEquals(first, 25 * 14 / 3, 1e-12);
  assertAlmostEquals(second, 16 / 3, 1e-12);
});

Deno.test("channelScores() wifv uses the variance", () => {
  const [first, second] = score("wifv");
  assertAlmostEquals(first, 25 * (14 / 3 - 4), 1e-12);
  assertAlmostEquals(second, 16 / 3 - 16 / 9, 1e-12);
});

Deno.test("channelScores() magnitude is the product of the norms", () => {
  assertEquals(score("magnitude"), [10, 7]);
});

Deno.test("channelScores() random follows its seed alone", () => {
  const moments = pooledMoments([sums]);
  const draw = (seed: string) => [...channelScores("random", kind, moments, seed)];
  assertEquals(draw("a"), draw("a"));
  assertNotEquals(draw("a"), draw("b"));
});

Deno.test("unitScores() sums neighbouring channels", () => {
  assertEquals([...unitScores(Float64Array.of(1, 2, 3, 4), 2)], [3, 7]);
});

Deno.test("balancedMoments() of one domain are its plain means", () => {
  const balanced = balancedMoments([sums], [1]), pooled = pooledMoments([sums]);
  balanced.meanSquare.forEach((value, j) => assertAlmostEquals(value, pooled.meanSquare[j], 1e-12));
  balanced.mean.forEach((value, j) => assertAlmostEquals(value, pooled.mean[j], 1e-12));
});

Deno.test("balancedMoments() lets a loud domain count no more than a quiet one", () => {
  const loud: DomainSums = {
    tokens: 3,
    sum: Float64Array.of(0, 100),
    sumOfSquares: Float64Array.of(0, 1e6),
  };
  const quiet: DomainSums = {
    tokens: 3,
    sum: Float64Array.of(1, 0),
    sumOfSquares: Float64Array.of(1, 0),
  };
  const { meanSquare } = balancedMoments([loud, quiet], [0.5, 0.5]);
  assertAlmostEquals(meanSquare[0] / meanSquare[1], 1, 1e-9);
});

Deno.test("pooledMoments() are the means over all tokens", () => {
  const more: DomainSums = {
    tokens: 1,
    sum: Float64Array.of(2, 0),
    sumOfSquares: Float64Array.of(4, 0),
  };
  assertEquals([...pooledMoments([sums, more]).mean], [2, 1]);
});
