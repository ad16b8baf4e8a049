import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Random } from "../core/random.ts";

Deno.test("Random.of() gives the same stream for the same seed, another for another", () => {
  const stream = (seed: string) => {
    const random = Random.of(seed);
    return Array.from({ length: 5 }, () => random.next());
  };
  assertEquals(stream("a"), stream("a"));
  assert(stream("a").join() !== stream("b").join());
});

Deno.test("Random.next() is spread evenly over [0, 1)", () => {
  const random = Random.of("even");
  const bins = new Array<number>(10).fill(0);
  for (let draw = 0; draw < 100_000; draw++) {
    const value = random.next();
    assert(value >= 0 && value < 1);
    bins[Math.floor(10 * value)]++;
  }
  // Nine standard deviations of a binomial count.
  bins.forEach((count) => assertAlmostEquals(count, 10_000, 900));
});

Deno.test("Random.permutation() has every number once", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 200 }), fc.string(), (count, seed) => {
    const order = Array.from(Random.of(seed).permutation(count)).sort((a, b) => a - b);
    assertEquals(order, Array.from({ length: count }, (_, index) => index));
  }));
});
