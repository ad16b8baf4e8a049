import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { CancelledError, PlanError, StatisticsError } from "../../core/errors.ts";
import { equalUnits, errorsAlongOrder, obsOrder } from "../../core/plan/obs.ts";
import { balancedGram } from "../../core/linear/gram.ts";
import {
  assertClose,
  naiveEnergy,
  naiveRefitError,
  randomGram,
  randomMatrix,
} from "../helpers/matrices.ts";

const NO_RIDGE = { ridge: 1e-12 };

/** What stays after the first `count` units of an order have gone. */
function remaining(order: ArrayLike<number>, count: number, size: number): number[] {
  const kept = Array.from(order).slice(count).sort((a, b) => a - b);
  return kept.flatMap((unit) => Array.from({ length: size }, (_, i) => unit * size + i));
}

Deno.test("obsOrder() is by ‖W_:j‖² G_jj where channels are uncorrelated", async () => {
  // Costs by hand: 1·4, 9·1, 4·0.5.
  const gram = Float64Array.of(4, 0, 0, 0, 1, 0, 0, 0, 0.5);
  const weight = Float64Array.of(1, 3, 2);
  const { order, plainError, refittedError } = await obsOrder(weight, gram, equalUnits(3, 1), {
    ...NO_RIDGE,
  });
  assertEquals(Array.from(order), [2, 0, 1]);
  assertClose(plainError, [0, 2 / 15, 6 / 15, 1], 1e-9);
  assertClose(refittedError, [0, 2 / 15, 6 / 15, 1], 1e-9);
});

Deno.test("obsOrder() lets a channel go for nothing that another one repeats", async () => {
  // Channels 0 and 1 are the same, so either can stand in for the other.
  const gram = Float64Array.of(1, 1, 0, 1, 1, 0, 0, 0, 0.1);
  const { order, plainError, refittedError } = await obsOrder(
    Float64Array.of(1, 1, 1),
    gram,
    equalUnits(3, 1),
    { ridge: 1e-9, atOnce: 1 },
  );
  assert(order[0] < 2);
  assertAlmostEquals(refittedError[1], 0, 1e-6);
  assertAlmostEquals(plainError[1], 1 / 4.1, 1e-6);
  assertEquals(order[1], 2);
});

Deno.test("obsOrder() takes first the unit whose loss costs least by brute force", async () => {
  for (const [units, size] of [[10, 1], [4, 3]]) {
    const n = units * size;
    const gram = randomGram(n, 4 * n, n + size);
    const weight = randomMatrix(5, n, 3);
    const { order, refittedError } = await obsOrder(
      weight,
      gram,
      equalUnits(units, size),
      NO_RIDGE,
    );
    const energy = naiveEnergy(weight, gram);
    const costs = Array.from({ length: units }, (_, gone) => {
      const first = [gone, ...Array.from({ length: units }, (_, i) => i).filter((i) => i !== gone)];
      return naiveRefitError(weight, gram, remaining(first, 1, size)) / energy;
    });
    const cheapest = costs.indexOf(Math.min(...costs));
    assertEquals(order[0], cheapest);
    assertAlmostEquals(refittedError[1], costs[cheapest], 1e-8);
  }
});

Deno.test("obsOrder() gives the errors that brute force finds for every set that has gone", async () => {
  for (const [units, size, atOnce] of [[12, 1, 1], [20, 1, 8], [5, 4, 1], [6, 2, 2]]) {
    const n = units * size;
    const gram = randomGram(n, 4 * n, 7 * n);
    const weight = randomMatrix(4, n, 5);
    const result = await obsOrder(weight, gram, equalUnits(units, size), { ...NO_RIDGE, atOnce });
    const energy = naiveEnergy(weight, gram);
    for (let count = 0; count <= units; count++) {
      const kept = remaining(result.order, count, size);
      const refitted = naiveRefitError(weight, gram, kept) / energy;
      assertAlmostEquals(result.refittedError[count], refitted, 1e-7);
      const masked = weight.map((value, at) => kept.includes(at % n) ? 0 : value);
      assertAlmostEquals(result.plainError[count], naiveEnergy(masked, gram) / energy, 1e-9);
    }
  }
});

Deno.test("obsOrder() orders every unit once, from no error to the whole, never better for going on", async () => {
  const sizes = fc.record({
    units: fc.integer({ min: 1, max: 24 }),
    size: fc.integer({ min: 1, max: 3 }),
    atOnce: fc.integer({ min: 1, max: 9 }),
    seed: fc.integer({ min: 0, max: 1000 }),
  });
  await fc.assert(
    fc.asyncProperty(sizes, async ({ units, size, atOnce, seed }) => {
      const n = units * size;
      // Fewer samples than channels: the Gram matrix has no full rank, as in short calibrations.
      const gram = randomGram(n, Math.max(1, n - 3), seed);
      const weight = randomMatrix(3, n, seed + 1);
      const { order, refittedError, plainError } = await obsOrder(
        weight,
        gram,
        equalUnits(units, size),
        { atOnce },
      );
      assertEquals(
        Array.from(order).sort((a, b) => a - b),
        Array.from({ length: units }, (_, i) => i),
      );
      assertEquals([refittedError[0], plainError[0]], [0, 0]);
      assertAlmostEquals(plainError[units], 1, 1e-9);
      assert(refittedError[units] >= 1 - 1e-9);
      for (let i = 1; i <= units; i++) assert(refittedError[i] >= refittedError[i - 1]);
    }),
    { numRuns: 40 },
  );
});

Deno.test("obsOrder() is the same whether one or the other precision holds the weights", async () => {
  const gram = randomGram(16, 60, 4);
  const weight = Float32Array.from(randomMatrix(6, 16, 2));
  const units = equalUnits(16, 1);
  const single = await obsOrder(weight, gram, units);
  assertEquals(single, await obsOrder(Float64Array.from(weight), gram, units));
});

Deno.test("errorsAlongOrder() agrees with obsOrder() along its order", async () => {
  for (const [units, size] of [[30, 1], [4, 6]]) {
    const n = units * size;
    const gram = randomGram(n, 3 * n, 11);
    const weight = randomMatrix(7, n, 12);
    const partition = equalUnits(units, size);
    const { order, plainError, refittedError } = await obsOrder(weight, gram, partition);
    const again = await errorsAlongOrder(weight, gram, partition, order);
    assertClose(again.refittedError, refittedError, 1e-10);
    assertClose(again.plainError, plainError, 1e-10);
  }
});

Deno.test("errorsAlongOrder() gives what brute force finds for any order", async () => {
  const gram = randomGram(9, 40, 2);
  const weight = randomMatrix(3, 9, 1);
  const order = [4, 0, 8, 2, 7, 1, 3, 6, 5];
  const { refittedError } = await errorsAlongOrder(weight, gram, equalUnits(9, 1), order, NO_RIDGE);
  const energy = naiveEnergy(weight, gram);
  order.forEach((_, count) => {
    const error = naiveRefitError(weight, gram, remaining(order, count, 1)) / energy;
    assertAlmostEquals(refittedError[count], error, 1e-8);
  });
});

Deno.test("balancedGram() gives every domain the same energy, whatever its length and loudness", () => {
  const quiet = { gram: Float32Array.of(1, 0, 0, 3), tokens: 1 };
  const loud = { gram: Float32Array.of(600, 200, 200, 200), tokens: 100 };
  // Each scaled to trace 2: [0.5, 0; 0, 1.5] and [1.5, 0.5; 0.5, 0.5].
  assertEquals(balancedGram([quiet, loud], [0.5, 0.5], 2), Float64Array.of(1, 0.25, 0.25, 1));
  assertEquals(balancedGram([quiet, loud], [3, 0], 2), Float64Array.of(0.5, 0, 0, 1.5));
  const silent = { gram: new Float32Array(4), tokens: 5 };
  assertEquals(balancedGram([quiet, silent], [0.5, 0.5], 2), Float64Array.of(0.5, 0, 0, 1.5));
});

Deno.test("balancedGram() does not depend on the order of domains", () => {
  const domains = [1, 2, 3].map((seed) => ({ gram: randomGram(6, 20, seed), tokens: 20 * seed }));
  const there = balancedGram(domains, [0.5, 0.3, 0.2], 6);
  assertClose(balancedGram(domains.toReversed(), [0.2, 0.3, 0.5], 6), there, 1e-14);
});

Deno.test("obsOrder() and balancedGram() refuse what does not fit together", async () => {
  const gram = randomGram(3, 9, 1);
  const cases: [Float64Array, Float64Array, number[][]][] = [
    [new Float64Array(7), gram, [[0], [1], [2]]],
    [new Float64Array(6), gram, [[0], [1]]],
    [new Float64Array(6), gram, [[0], [1], [1]]],
    [new Float64Array(6), gram, [[0], [1], [3]]],
    [new Float64Array(0), gram, [[0], [1], [2]]],
  ];
  for (const [weight, matrix, units] of cases) {
    await assertRejects(() => obsOrder(weight, matrix, units), PlanError, "do not fit together");
  }
  const weight = new Float64Array(6).fill(1);
  for (const order of [[0, 1], [0, 1, 1], [0, 1, 3]]) {
    await assertRejects(() => errorsAlongOrder(weight, gram, equalUnits(3, 1), order), PlanError);
  }
  const broken = gram.map((value, at) => at === 4 ? NaN : value);
  await assertRejects(() => obsOrder(weight, broken, equalUnits(3, 1)), StatisticsError);
  await assertRejects(
    () => Promise.resolve().then(() => balancedGram([{ gram, tokens: 0 }], [1], 3)),
    StatisticsError,
    "no domain has any activation",
  );
});

Deno.test("obsOrder() stops soon after it is cancelled", async () => {
  const n = 400;
  const gram = Float64Array.from({ length: n * n }, (_, at) => at % (n + 1) === 0 ? 1 + at : 0);
  const started = performance.now();
  await assertRejects(
    () =>
      obsOrder(randomMatrix(400, n, 1), gram, equalUnits(n, 1), {
        atOnce: 1,
        signal: AbortSignal.timeout(10),
      }),
    CancelledError,
  );
  assert(performance.now() - started < 2000);
});

Deno.test("obsOrder() goes on from units that go first, at their cost", async () => {
  // By hand, uncorrelated: unit 1 costs 9, then 2 costs 2 and 0 costs 4.
  const gram = Float64Array.of(4, 0, 0, 0, 1, 0, 0, 0, 0.5);
  const weight = Float64Array.of(1, 3, 2);
  const units = equalUnits(3, 1);
  const { order, refittedError } = await obsOrder(weight, gram, units, { ...NO_RIDGE, first: [1] });
  assertEquals(Array.from(order), [1, 2, 0]);
  assertClose(refittedError, [0, 9 / 15, 11 / 15, 1], 1e-9);
});

Deno.test("obsOrder() with units that go first, and with a count, agrees with what it leaves out", () =>
  fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 24 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (units, size, seed, share) => {
        const n = units * size;
        const gram = randomGram(n, 3 * n, seed);
        const weight = randomMatrix(4, n, seed + 1);
        const channels = equalUnits(units, size);
        const count = Math.max(1, Math.floor(share * units));
        const all = await obsOrder(weight, gram, channels);
        const begun = await obsOrder(weight, gram, channels, { count });
        assertEquals(begun.order, all.order.slice(0, count));
        assertClose(begun.refittedError, all.refittedError.slice(0, count + 1), 1e-9);
        assertClose(begun.plainError, all.plainError.slice(0, count + 1), 1e-9);
        const own = gram.slice();
        assertEquals(await obsOrder(weight, own, channels, { usesUp: true }), all);
        assertEquals(own.length, 0, "the memory is given back");
        const first = all.order.slice(0, count).reverse();
        const given = await obsOrder(weight, gram, channels, { first });
        assertEquals(given.order.slice(0, count), first);
        assertEquals(given.order.toSorted(), Int32Array.from(channels.keys()));
        const { refittedError } = await errorsAlongOrder(weight, gram, channels, given.order);
        assertClose(given.refittedError, refittedError, 1e-6);
      },
    ),
    { numRuns: 40 },
  ));

Deno.test("obsOrder() refuses units that go first if they are not different ones", async () => {
  const [gram, weight] = [Float64Array.of(1, 0, 0, 1), Float64Array.of(1, 1)];
  for (const first of [[0, 0], [2], [-1], [0, 1, 0]]) {
    await assertRejects(
      () => obsOrder(weight, gram, equalUnits(2, 1), { first }),
      PlanError,
      "go first",
    );
  }
});
