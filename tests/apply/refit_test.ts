import { assert, assertAlmostEquals, assertEquals, assertLess, assertRejects } from "@std/assert";
import fc from "fast-check";
import { CancelledError, StatisticsError } from "../../core/errors.ts";
import { heldOutMoments, type InputMoments, inputMoments } from "../../core/apply/moments.ts";
import { refitLayer, type RefitTask } from "../../core/apply/refit.ts";
import {
  assertClose,
  naiveEnergy,
  naiveRefitError,
  naiveSolve,
  randomInputs,
  randomMatrix,
} from "../helpers/matrices.ts";
import { domainSums } from "../helpers/random-statistics.ts";

const EXACT = { ridge: 1e-12 };

async function momentsOf(
  channels: number,
  seed: number,
  tokens = 500,
): Promise<InputMoments & { readonly gram: Float64Array }> {
  const moments = await inputMoments([domainSums(channels, tokens, seed)], [1], { gram: true });
  assert(moments.gram !== undefined);
  return { ...moments, gram: moments.gram };
}

function weights(m: number, n: number, seed = 1): Float32Array {
  return Float32Array.from(randomMatrix(m, n, seed));
}

function task(fields: Partial<RefitTask> & Pick<RefitTask, "weight" | "kept" | "moments">) {
  return { layer: 3, structure: "ffn" as const, refit: "lsq" as const, ...fields };
}

Deno.test("refitLayer() by lsq solves the normal equations", async () => {
  const [m, n, kept] = [4, 9, [0, 2, 3, 7]];
  const moments = await momentsOf(n, 5);
  const weight = weights(m, n);
  const result = await refitLayer({ ...task({ weight, kept, moments }), ...EXACT });
  const own = kept.flatMap((i) => kept.map((j) => moments.gram[i * n + j]));
  for (let row = 0; row < m; row++) {
    const target = kept.map((j) =>
      Array.from({ length: n }, (_, i) => weight[row * n + i] * moments.gram[i * n + j])
        .reduce((a, b) => a + b)
    );
    assertClose(result.weight.subarray(4 * row, 4 * row + 4), naiveSolve(own, target), 1e-4);
  }
  assertEquals(result.bias, undefined);
  const energy = naiveEnergy(weight, moments.gram);
  assertAlmostEquals(
    result.row.refittedError,
    naiveRefitError(weight, moments.gram, kept) / energy,
    1e-6,
  );
  const masked = weight.map((value, at) => kept.includes(at % n) ? 0 : value);
  assertAlmostEquals(result.row.plainError, naiveEnergy(masked, moments.gram) / energy, 1e-6);
  assertEquals([result.row.layer, result.row.structure, result.row.refit], [3, "ffn", "lsq"]);
});

Deno.test("refitLayer() by lsq gives the answer worked by hand", async () => {
  // x_1 = 2 x_0 + noise that nothing explains: W′ = w_0 + 2 w_1 for E x_0² = 1.
  const moments: InputMoments = {
    gram: Float64Array.of(1, 2, 2, 5),
    meanSquare: Float64Array.of(1, 5),
    mean: new Float64Array(2),
    mass: 1,
    tokens: 100,
  };
  const result = await refitLayer({
    ...task({ weight: Float32Array.of(3, 10), kept: [0], moments }),
    ridge: 0,
  });
  assertEquals(result.weight, Float32Array.of(23));
  // What is left is w_1² · (5 - 4) of W G Wᵀ = 9 + 120 + 500.
  assertAlmostEquals(result.row.refittedError, 100 / 629, 1e-12);
  assertAlmostEquals(result.row.plainError, 500 / 629, 1e-12);
});

Deno.test("refitLayer() gives the very same where it uses up the Gram matrix, and errors by the definition", async () => {
  const sizes = fc.record({
    n: fc.integer({ min: 2, max: 300 }),
    m: fc.integer({ min: 1, max: 6 }),
    every: fc.integer({ min: 2, max: 9 }),
    withBias: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(sizes, async ({ n, m, every, withBias }) => {
      const weight = weights(m, n);
      const bias = withBias ? weights(m, 1, 8) : undefined;
      const kept = Array.from({ length: n }, (_, i) => i).filter((i) => i % every > 0);
      const moments = await momentsOf(n, n, 40);
      const heldOut = { ...moments, gram: Float32Array.from(moments.gram) };
      const one = task({ weight, bias, kept, moments: { ...moments, tokens: 1e6 }, heldOut });
      const before = moments.gram.slice();
      const plain = await refitLayer(one);
      assertEquals(moments.gram, before, "nothing is used up unless it may be");
      const lost = weight.map((value, at) => kept.includes(at % n) ? 0 : value);
      const energy = naiveEnergy(weight, heldOut.gram);
      assertAlmostEquals(plain.row.plainError, naiveEnergy(lost, heldOut.gram) / energy, 1e-10);
      const own = { ...moments, gram: before, tokens: 1e6 };
      assertEquals(await refitLayer({ ...one, moments: own, usesUp: true }), plain);
      assertEquals(before.length, 0, "the memory is given back");
    }),
    { numRuns: 12 },
  );
});

Deno.test("refitLayer() does not use up the only Gram matrix that there is to judge on", async () => {
  const moments = await momentsOf(6, 4);
  const one = task({ weight: weights(2, 6), kept: [0, 2, 5], moments });
  assertEquals(await refitLayer({ ...one, usesUp: true }), await refitLayer(one));
});

Deno.test("refitLayer() changes nothing where every channel stays", async () => {
  for (const refit of ["lsq", "bias", "none"] as const) {
    const weight = weights(3, 5);
    const bias = Float32Array.of(1, 2, 3);
    const moments = await momentsOf(5, 2);
    const result = await refitLayer(task({ weight, bias, kept: [0, 1, 2, 3, 4], moments, refit }));
    assertEquals(result.weight, weight);
    assertEquals(result.bias, bias);
    assertEquals([result.row.plainError, result.row.refittedError], [0, 0]);
  }
});

Deno.test("refitLayer() draws to the weights as they were where nothing is known", async () => {
  // Channel 1 was never active and goes with nothing: a ridge to zero would shrink it away.
  const moments: InputMoments = {
    gram: Float64Array.of(1, 0, 1, 0, 0, 0, 1, 0, 2),
    meanSquare: Float64Array.of(1, 0, 2),
    mean: new Float64Array(3),
    mass: 1,
    tokens: 100,
  };
  const weight = Float32Array.of(1, 7, 1);
  const result = await refitLayer(task({ weight, kept: [0, 1], moments }));
  assertEquals(result.weight[1], 7);
});

Deno.test("refitLayer() by lsq with a bias is regression with an intercept", async () => {
  const [m, n, kept, samples] = [3, 6, [1, 2, 5], 500];
  const inputs = randomInputs(n, samples, 8);
  const moments = await momentsOf(n, 8, samples);
  const weight = weights(m, n);
  const bias = Float32Array.of(0.5, -1, 2);
  const result = await refitLayer({ ...task({ weight, bias, kept, moments }), ...EXACT });
  // The intercept is one more input that is always 1.
  const columns = (token: number) => [...kept.map((j) => inputs[token * n + j]), 1];
  const normal = new Float64Array(16);
  for (let token = 0; token < samples; token++) {
    const x = columns(token);
    x.forEach((a, i) => x.forEach((b, j) => normal[4 * i + j] += a * b));
  }
  for (let row = 0; row < m; row++) {
    const target = new Float64Array(4);
    for (let token = 0; token < samples; token++) {
      let output = bias[row];
      for (let j = 0; j < n; j++) output += weight[row * n + j] * inputs[token * n + j];
      columns(token).forEach((a, i) => target[i] += a * output);
    }
    const solution = naiveSolve(normal, target);
    assertClose(result.weight.subarray(3 * row, 3 * row + 3), solution.slice(0, 3), 1e-3);
    assertAlmostEquals(result.bias![row], solution[3], 1e-3);
  }
  const without = await refitLayer({ ...task({ weight, kept, moments }), ...EXACT });
  assert(result.row.refittedError <= without.row.refittedError + 1e-9);
});

Deno.test("refitLayer() by bias adds the mean of what has gone", async () => {
  const moments: InputMoments = {
    gram: Float64Array.of(2, 0.5, 0.5, 3),
    meanSquare: Float64Array.of(2, 3),
    mean: Float64Array.of(0.5, 1),
    mass: 1,
    tokens: 10,
  };
  const weight = Float32Array.of(1, 2, 0, 4);
  const result = await refitLayer(task({ weight, kept: [0], moments, refit: "bias" }));
  assertEquals(result.weight, Float32Array.of(1, 0));
  assertEquals(result.bias, Float32Array.of(2, 4));
  // Mean squares of what has gone: (4 + 16) · 3; less what the means explain: (4 + 16) · 1.
  const energy = naiveEnergy(weight, moments.gram!);
  assertAlmostEquals(result.row.plainError, 60 / energy, 1e-12);
  assertAlmostEquals(result.row.refittedError, 40 / energy, 1e-12);
  const added = await refitLayer(
    task({ weight, kept: [0], moments, refit: "bias", bias: Float32Array.of(10, 20) }),
  );
  assertEquals(added.bias, Float32Array.of(12, 24));
});

Deno.test("refitLayer() by bias needs no Gram matrix", async () => {
  const moments = await inputMoments([domainSums(6, 300, 1, false)], [1], { gram: false });
  const result = await refitLayer(
    task({ weight: weights(4, 6), kept: [0, 4], moments, refit: "bias" }),
  );
  assertEquals(result.row.refit, "bias");
  assertLess(result.row.refittedError, result.row.plainError);
});

Deno.test("refitLayer() is never worse than no refit on what it was fitted on", async () => {
  const cases = fc.record({
    n: fc.integer({ min: 2, max: 10 }),
    seed: fc.integer({ min: 0, max: 500 }),
    ridge: fc.constantFrom(0, 1e-6, 1e-2, 1, 100),
    bias: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ n, seed, ridge, bias }) => {
      const moments = await momentsOf(n, seed, 60);
      const kept = Array.from({ length: n }, (_, j) => j).filter((j) => j === 0 || (seed >> j) & 1);
      const { row } = await refitLayer({
        ...task({ weight: weights(3, n, seed), kept, moments }),
        bias: bias ? Float32Array.of(1, 2, 3) : undefined,
        ridge,
      });
      assert(row.refittedError <= row.plainError + 1e-12);
      assertEquals(row.fallback, undefined);
    }),
    { numRuns: 60 },
  );
});

Deno.test("refitLayer() falls back where the windows kept back say that the refit is worse", async () => {
  // On what was fitted, x_1 = x_0; on what was kept back, x_1 = -x_0.
  const moments: InputMoments = {
    gram: Float64Array.of(1, 1, 1, 1),
    meanSquare: Float64Array.of(1, 1),
    mean: new Float64Array(2),
    mass: 1,
    tokens: 100,
  };
  const heldOut = { ...moments, gram: Float64Array.of(1, -1, -1, 1) };
  const weight = Float32Array.of(1, 3);
  const { weight: fallen, row } = await refitLayer(task({ weight, kept: [0], moments, heldOut }));
  assertEquals(fallen, Float32Array.of(1));
  assertEquals(row.refit, "none");
  assertEquals(row.refittedError, row.plainError);
  assert(row.fallback?.includes("worse"));
});

Deno.test("refitLayer() falls back with fewer than four tokens a channel", async () => {
  const moments = { ...await momentsOf(6, 1), tokens: 11 };
  const { row, weight } = await refitLayer(
    task({ weight: weights(2, 6), kept: [0, 1, 2], moments }),
  );
  assertEquals(row.refit, "none");
  assertEquals(row.fallback, "11 tokens are too few for 3 channels");
  assertEquals(weight.length, 6);
  const enough = await refitLayer(
    task({ weight: weights(2, 6), kept: [0, 1, 2], moments: { ...moments, tokens: 12 } }),
  );
  assertEquals(enough.row.refit, "lsq");
});

Deno.test("refitLayer() refuses what it cannot work with", async () => {
  const moments = await momentsOf(4, 1);
  const weight = weights(2, 4);
  for (const kept of [[], [0, 4], [1, 1], [2, 0], [0.5]]) {
    await assertRejects(() => refitLayer(task({ weight, kept, moments })), StatisticsError);
  }
  await assertRejects(
    () => refitLayer(task({ weight: weights(1, 7), kept: [0], moments })),
    StatisticsError,
    "do not fit together",
  );
  await assertRejects(
    () => refitLayer(task({ weight, kept: [0], moments: { ...moments, gram: undefined } })),
    StatisticsError,
    "--refit none",
  );
});

Deno.test("refitLayer() can be cancelled", async () => {
  const n = 300;
  const gram = Float64Array.from({ length: n * n }, (_, at) => at % (n + 1) === 0 ? 2 : 0.5);
  const ones = new Float64Array(n).fill(1);
  const moments = { gram, mean: ones, meanSquare: ones, mass: 1, tokens: 1e6 };
  const kept = Array.from({ length: n - 1 }, (_, j) => j);
  await assertRejects(
    () =>
      refitLayer(task({
        weight: weights(3000, n),
        kept,
        moments,
        signal: AbortSignal.timeout(1),
      })),
    CancelledError,
  );
});

Deno.test("inputMoments() balances domains, and neither their order nor their length matters", async () => {
  const [a, b] = [domainSums(5, 100, 1), domainSums(5, 300, 2)];
  const there = await inputMoments([a, b], [0.3, 0.7], { gram: true });
  const back = await inputMoments([b, a], [0.7, 0.3], { gram: true });
  assertClose(there.gram!, back.gram!, 1e-12);
  assertClose(there.mean, back.mean, 1e-12);
  assertAlmostEquals(there.mass, back.mass, 1e-12);
  const trace = there.meanSquare.reduce((sum, value) => sum + value, 0);
  assertAlmostEquals(trace, 5, 1e-9);
  assertClose(there.meanSquare, Array.from({ length: 5 }, (_, j) => there.gram![6 * j]), 1e-5);
});

Deno.test("heldOutMoments() takes second moments of the windows kept back", async () => {
  const weights = {
    columnNorm: new Float64Array(2),
    columnMeanAbsolute: new Float64Array(2),
    rowNorm: new Float64Array(2),
  };
  const heldOutGram = { shape: [2, 2], data: Float32Array.of(1.5, 0, 0, 0.5) };
  const domains = [domainSums(2, 50, 3)];
  const moments = await heldOutMoments({ domains, heldOutGram, weights });
  // As it is stored, since it is only looked at.
  assertEquals(moments.gram, heldOutGram.data);
  assertEquals(moments.meanSquare, Float64Array.of(1.5, 0.5));
  const none = await heldOutMoments({ domains: [domainSums(2, 50, 3, false)], weights });
  assertEquals(none.gram, undefined);
});
