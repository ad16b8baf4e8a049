import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { StatisticsError } from "../../core/errors.ts";
import { mergeSums, SumAccumulator } from "../../core/calibrate/sums.ts";
import type { ChannelSums } from "../../core/engine/types.ts";
import type { MemoryTensor } from "../../core/model/types.ts";

/** Sums of tokens written out, one row a token. */
function sumsOf(rows: readonly (readonly number[])[], channels: number): ChannelSums {
  const gram = new Float32Array(channels * channels);
  for (const row of rows) {
    row.forEach((a, i) => row.forEach((b, j) => gram[i * channels + j] += a * b));
  }
  const over = (of: (value: number) => number) =>
    Float64Array.from(
      { length: channels },
      (_, j) => rows.reduce((sum, row) => sum + of(row[j]), 0),
    );
  return { tokens: rows.length, sum: over((x) => x), sumOfSquares: over((x) => x * x), gram };
}

function accumulated(parts: readonly (readonly (readonly number[])[])[], channels: number) {
  const accumulator = new SumAccumulator(channels, { gram: true });
  for (const rows of parts) accumulator.add(sumsOf(rows, channels));
  return accumulator.result();
}

const tokens = fc.array(
  fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 3, maxLength: 3 }),
  { minLength: 1, maxLength: 12 },
);

Deno.test("SumAccumulator adds up batches to the sums of the whole", () => {
  fc.assert(fc.property(tokens, tokens, (one, other) => {
    assertEquals(accumulated([one, other], 3), accumulated([[...one, ...other]], 3));
  }));
});

Deno.test("mergeSums() of two parts gives the sums of the whole", async () => {
  await fc.assert(fc.asyncProperty(tokens, tokens, async (one, other) => {
    const merged = await mergeSums(accumulated([one], 3), accumulated([other], 3));
    const whole = accumulated([[...one, ...other]], 3);
    assertEquals(merged.tokens, whole.tokens);
    assertEquals(merged.sum, whole.sum);
    assertEquals(merged.sumOfSquares, whole.sumOfSquares);
    assertEquals((merged.gram as MemoryTensor).data, (whole.gram as MemoryTensor).data);
  }));
});

Deno.test("mergeSums() does not depend on the order of the parts", async () => {
  const one = accumulated([[[1, 2, 3]]], 3), other = accumulated([[[4, -5, 6]]], 3);
  assertEquals(await mergeSums(one, other), await mergeSums(other, one));
});

Deno.test("mergeSums() refuses parts of different models", async () => {
  await assertRejects(
    () => mergeSums(accumulated([[[1, 2]]], 2), accumulated([[[1, 2, 3]]], 3)),
    StatisticsError,
    "2 and 3 channels",
  );
});

Deno.test("SumAccumulator keeps float64 where float32 would lose small tokens beside large ones", () => {
  const accumulator = new SumAccumulator(1, { gram: true });
  accumulator.add(sumsOf([[4096]], 1));
  for (let token = 0; token < 1000; token++) accumulator.add(sumsOf([[0.5]], 1));
  const { sumOfSquares, gram } = accumulator.result();
  assertAlmostEquals(sumOfSquares[0], 4096 ** 2 + 250, 1e-6);
  assert(Math.abs((gram as MemoryTensor).data[0] - (4096 ** 2 + 250)) <= 2);
});
