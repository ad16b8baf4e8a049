import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { fitError, type FitMatrices, fitWeights } from "../../core/linear/fit.ts";
import { randomMatrix } from "../helpers/matrices.ts";

/** Sums over tokens written out: inputs `[tokens, n]`, targets `[tokens, m]`. */
function fitOf(inputs: readonly number[][], targets: readonly number[][]): FitMatrices {
  const [n, m] = [inputs[0].length, targets[0].length];
  const gram = new Float64Array(n * n), cross = new Float64Array(m * n);
  let targetEnergy = 0;
  inputs.forEach((x, token) => {
    x.forEach((a, i) => x.forEach((b, j) => gram[i * n + j] += a * b));
    targets[token].forEach((t, i) => x.forEach((b, j) => cross[i * n + j] += t * b));
    targetEnergy += targets[token].reduce((sum, t) => sum + t * t, 0);
  });
  return { gram, cross, targetEnergy };
}

const rows = (count: number, width: number, seed: number) =>
  Array.from({ length: count }, (_, row) => Array.from(randomMatrix(1, width, seed * 1000 + row)));

Deno.test("fitWeights() finds weights that meet the targets exactly, where there are such", async () => {
  const inputs = rows(20, 3, 1);
  const truth = [[1, -2, 3], [0.5, 0, -1]];
  const targets = inputs.map((x) => truth.map((w) => w.reduce((sum, v, j) => sum + v * x[j], 0)));
  const fit = fitOf(inputs, targets);
  const found = await fitWeights(new Float64Array(6), fit, { ridge: 0 });
  truth.flat().forEach((value, at) => assertAlmostEquals(found[at], value, 1e-9));
  assertAlmostEquals(await fitError(found, fit), 0, 1e-9);
});

Deno.test("fitWeights() stays where it was where nothing is known, and under a huge ridge", async () => {
  const before = Float64Array.of(5, 7);
  // The second channel is always zero.
  const fit = fitOf([[2, 0], [1, 0]], [[4], [2]]);
  const found = await fitWeights(before, fit, { ridge: 1e-9 });
  assertAlmostEquals(found[0], 2, 1e-6);
  assertAlmostEquals(found[1], 7, 1e-6);
  const held = await fitWeights(before, fit, { ridge: 1e9 });
  held.forEach((value, at) => assertAlmostEquals(value, before[at], 1e-6));
});

Deno.test("fitError() is the share of the targets' energy that is missed", async () => {
  const fit = fitOf([[1], [2]], [[3], [4]]);
  assertAlmostEquals(await fitError(Float64Array.of(0), fit), 1);
  assertAlmostEquals(await fitError(Float64Array.of(1), fit), ((3 - 1) ** 2 + (4 - 2) ** 2) / 25);
});

Deno.test("fitWeights() never does worse than the weights before on what it was fitted to", async () => {
  for (let seed = 1; seed < 8; seed++) {
    const fit = fitOf(rows(30, 5, seed), rows(30, 2, seed + 50));
    const before = Float64Array.from(randomMatrix(2, 5, seed + 90));
    const found = await fitWeights(before, fit, { ridge: 0.05 });
    assert(await fitError(found, fit) <= await fitError(before, fit));
  }
});

Deno.test("fitWeights() gives as many weights as there were", async () => {
  const fit = fitOf(rows(9, 4, 3), rows(9, 6, 4));
  assertEquals((await fitWeights(new Float64Array(24), fit, { ridge: 0.1 })).length, 24);
});

Deno.test("fitWeights() gives the very same where it uses up the sums, in the place of the cross sums", async () => {
  for (let seed = 1; seed < 6; seed++) {
    const fit = fitOf(rows(40, 7, seed), rows(40, 3, seed + 20));
    const kept = { ...fit, gram: fit.gram.slice(), cross: fit.cross.slice() };
    const before = Float64Array.from(randomMatrix(3, 7, seed));
    const found = await fitWeights(before, fit, { ridge: 0.1 });
    assertEquals(fit, kept, "nothing is used up unless it may be");
    const own = await fitWeights(before, fit, { ridge: 0.1, usesUp: true });
    assertEquals(own, found);
    assert(own === fit.cross);
    assertEquals(fit.gram.length, 0);
  }
});

Deno.test("fitError() and fitWeights() of more outputs than go into one product are those of each output", async () => {
  // 4 Mi numbers go into one: 3 channels of a little more than a third as many outputs.
  const [n, m] = [3, 1_400_000];
  const gram = Float64Array.of(4, 1, 0, 1, 3, 1, 0, 1, 2);
  const weights = Float64Array.from({ length: m * n }, (_, at) => (at % 7) - 3);
  const cross = Float64Array.from({ length: m * n }, (_, at) => (at % 5) - 2);
  const error = await fitError(weights, { gram, cross, targetEnergy: 1e9 });
  let expected = 1e9;
  for (let at = 0; at < m * n; at += n) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) expected += weights[at + i] * gram[i * n + j] * weights[at + j];
      expected -= 2 * weights[at + i] * cross[at + i];
    }
  }
  assertAlmostEquals(error, expected / 1e9, 1e-10);
  const all = await fitWeights(weights, { gram, cross, targetEnergy: 1 }, { ridge: 0.1 });
  for (const first of [0, n * (m - 1)]) {
    const one = { gram, cross: cross.slice(first, first + n), targetEnergy: 1 };
    const found = await fitWeights(weights.slice(first, first + n), one, { ridge: 0.1 });
    found.forEach((value, at) => assertAlmostEquals(all[first + at], value, 1e-12));
  }
});
