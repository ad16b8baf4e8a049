import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  ascending,
  correlation,
  rankFractions,
  reliability,
  sensitivities,
} from "../../core/plan/ranks.ts";

Deno.test("rankFractions() runs from 0 for the smallest to 1 for the largest", () => {
  assertEquals([...rankFractions([30, 10, 20])], [1, 0, 0.5]);
});

Deno.test("rankFractions() gives equal scores their mean rank", () => {
  assertEquals([...rankFractions([5, 5, 9])], [0.25, 0.25, 1]);
});

Deno.test("rankFractions() puts a single unit in the middle", () => {
  assertEquals([...rankFractions([7])], [0.5]);
});

Deno.test("rankFractions() has mean 0.5 and does not change under a growing function", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1 }), (scores) => {
      const ranks = rankFractions(scores);
      assertAlmostEquals(ranks.reduce((a, b) => a + b, 0) / ranks.length, 0.5, 1e-9);
      assertEquals([...rankFractions(scores.map((score) => 3 * score + 1))], [...ranks]);
    }),
  );
});

Deno.test("ascending() keeps the order of positions among equal scores", () => {
  assertEquals([...ascending([2, 1, 2, 1])], [1, 3, 0, 2]);
});

Deno.test("correlation() is 1 for the same order, -1 for the reverse, 0 where one side is flat", () => {
  assertAlmostEquals(correlation([1, 2, 3], [2, 4, 6]), 1);
  assertAlmostEquals(correlation([1, 2, 3], [3, 2, 1]), -1);
  assertEquals(correlation([1, 2, 3], [5, 5, 5]), 0);
});

Deno.test("sensitivities() is the standard deviation of rank over domains", () => {
  const ranks = [Float64Array.of(0, 0.5, 1), Float64Array.of(1, 0.5, 0)];
  assertEquals([...sensitivities(ranks)], [0.5, 0, 0.5]);
});

Deno.test("sensitivities() does not depend on the order of domains", () => {
  const domains = fc.array(
    fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 6, maxLength: 6 }),
    { minLength: 2, maxLength: 5 },
  );
  fc.assert(fc.property(domains, (scores) => {
    const ranks = scores.map(rankFractions);
    const forwards = sensitivities(ranks), backwards = sensitivities(ranks.toReversed());
    forwards.forEach((value, unit) => assertAlmostEquals(value, backwards[unit], 1e-12));
  }));
});

Deno.test("reliability() is 1 where domains agree and -1 where they contradict", () => {
  const up = Float64Array.of(1, 2, 3, 4), down = Float64Array.of(4, 3, 2, 1);
  assertAlmostEquals(reliability([up, up], [0, 1, 2, 3]), 1);
  assertAlmostEquals(reliability([up, down], [0, 1, 2, 3]), -1);
});

Deno.test("reliability() looks at the members alone", () => {
  const one = Float64Array.of(1, 2, 9, 0), other = Float64Array.of(1, 2, 0, 9);
  assertAlmostEquals(reliability([one, other], [0, 1]), 1);
  assert(reliability([one, other], [0, 1, 2, 3]) < 0);
});

Deno.test("ascending() is the runtime's own stable sort, whatever the scores", () =>
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true })), {
        maxLength: 70,
      }),
      (scores) => {
        const expected = Array.from(scores.keys()).sort((a, b) =>
          Math.sign(scores[a] - scores[b]) || a - b
        );
        // Infinity - Infinity is no number.
        fc.pre(scores.filter((score) => Math.abs(score) === Infinity).length < 2);
        assertEquals([...ascending(scores)], expected);
      },
    ),
  ));
