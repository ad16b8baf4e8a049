import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { DEFAULT_ROTARY, rotaryEmbedding } from "../../core/model/rotary.ts";

function assertNear(found: readonly number[], wanted: readonly number[]): void {
  assertEquals(found.length, wanted.length);
  found.forEach((value, i) => assertAlmostEquals(value, wanted[i], Math.abs(wanted[i]) * 1e-12));
}

Deno.test("rotaryEmbedding() has frequencies that fall from 1 to almost 1 / theta", () => {
  const { inverseFrequencies, attentionFactor } = rotaryEmbedding({
    ...DEFAULT_ROTARY,
    headSize: 8,
  });
  assertNear(inverseFrequencies, [1, 0.1, 0.01, 0.001]);
  assertEquals(attentionFactor, 1);
});

Deno.test("rotaryEmbedding() divides by the factor for linear scaling and leaves dynamic as it is", () => {
  const settings = { ...DEFAULT_ROTARY, headSize: 4, theta: 100, factor: 4 };
  assertNear(rotaryEmbedding({ ...settings, scaling: "linear" }).inverseFrequencies, [0.25, 0.025]);
  assertNear(rotaryEmbedding({ ...settings, scaling: "dynamic" }).inverseFrequencies, [1, 0.1]);
});

// The numbers of the two tests below come from NumPy, by the formulas of transformers.

Deno.test("rotaryEmbedding() follows the llama3 scaling of Llama 3.2", () => {
  const { inverseFrequencies } = rotaryEmbedding({
    ...DEFAULT_ROTARY,
    scaling: "llama3",
    theta: 500_000,
    factor: 32,
    originalPositions: 8192,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
  });
  assertNear([0, 10, 14, 15, 16, 17, 18, 20, 31].map((i) => inverseFrequencies[i]), [
    1.0,
    0.016560440080994446,
    0.0032114459947525913,
    0.001290547928209264,
    0.00042955679655936815,
    9.70828780262767e-05,
    1.9461638184831125e-05,
    8.570255489881478e-06,
    9.418306725434909e-08,
  ]);
});

Deno.test("rotaryEmbedding() follows yarn", () => {
  const settings = { ...DEFAULT_ROTARY, scaling: "yarn", headSize: 32, factor: 4 };
  const { inverseFrequencies, attentionFactor } = rotaryEmbedding(settings);
  assertNear(inverseFrequencies, [
    1.0,
    0.5623413251903491,
    0.31622776601683794,
    0.17782794100389226,
    0.1,
    0.05020904689199546,
    0.024846467329894407,
    0.012066895996692691,
    0.005714285714285714,
    0.0026108704383837637,
    0.001129384878631564,
    0.00044456985250973074,
    0.00025,
    0.00014058533129758727,
    7.905694150420948e-05,
    4.445698525097307e-05,
  ]);
  assertAlmostEquals(attentionFactor, 1.138629436111989, 1e-12);
  assertEquals(rotaryEmbedding({ ...settings, attentionFactor: 1 }).attentionFactor, 1);
  assertEquals(rotaryEmbedding({ ...settings, mscale: 2, mscaleAllDim: 2 }).attentionFactor, 1);
  assert(
    rotaryEmbedding({ ...settings, truncate: false }).inverseFrequencies.every(Number.isFinite),
  );
});
