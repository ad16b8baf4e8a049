import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type FitPlace, RunningFit } from "../../core/apply/fit_sums.ts";
import { ParkingFile } from "../../core/apply/parking_file.ts";
import { mirrorLower } from "../../core/linear/product.ts";
import { assertClose, randomMatrix } from "../helpers/matrices.ts";

interface Part {
  readonly place: FitPlace;
  readonly gram: Float64Array;
  readonly cross: Float64Array;
  readonly targetEnergy: number;
}

function part(place: FitPlace, n: number, m: number, seed: number): Part {
  const gram = randomMatrix(n, n, seed);
  for (let j = 0; j < n; j++) gram[j * (n + 1)] = 1 + Math.abs(gram[j * (n + 1)]);
  mirrorLower(gram, n);
  return { place, gram, cross: randomMatrix(m, n, seed + 1), targetEnergy: seed };
}

function resultOf(parts: readonly Part[], weights: readonly number[], waitsInFile: boolean) {
  const running = new RunningFit(weights, { waitsInFile });
  for (const { place, gram, cross, targetEnergy } of parts) {
    running.add(place, {
      gram: Float32Array.from(gram),
      cross: Float32Array.from(cross),
      targetEnergy,
    });
  }
  const pair = running.result();
  const sums = { fit: pair.takeFit(), judge: pair.takeJudge() };
  pair.close();
  return sums;
}

Deno.test("RunningFit scales domains to one energy, and judges on what was kept back where there is such, by hand", () => {
  const of = (domain: number, heldOut: boolean, gram: number, cross: number, energy: number) => ({
    place: { domain, heldOut },
    gram: Float64Array.of(gram),
    cross: Float64Array.of(cross),
    targetEnergy: energy,
  });
  // Of the first domain 1 + 3 = 4 are summed, 2 kept back; of the second 10, none kept back.
  const parts = [
    of(0, false, 1, 2, 3),
    of(0, false, 3, 6, 5),
    of(0, true, 2, 8, 6),
    of(1, false, 10, 5, 20),
  ];
  for (const waitsInFile of [false, true]) {
    const { fit, judge } = resultOf(parts, [0.25, 0.5], waitsInFile);
    assertClose([fit.gram[0], fit.cross[0], fit.targetEnergy], [0.75, 0.75, 1.5], 1e-12);
    assertClose([judge.gram[0], judge.cross[0], judge.targetEnergy], [2, 4.5, 5], 1e-12);
  }
});

Deno.test("RunningFit gives the very same whether its sums wait in memory or in a file", () => {
  const sizes = fc.record({
    n: fc.integer({ min: 1, max: 12 }),
    m: fc.integer({ min: 1, max: 5 }),
    domains: fc.array(
      fc.record({
        parts: fc.integer({ min: 1, max: 3 }),
        heldOut: fc.integer({ min: 0, max: 2 }),
        weight: fc.constantFrom(0, 0.5, 2),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  });
  fc.assert(
    fc.property(sizes, ({ n, m, domains }) => {
      const parts = domains.flatMap(({ parts, heldOut }, domain) =>
        Array.from(
          { length: parts + heldOut },
          (_, index) => part({ domain, heldOut: index >= parts }, n, m, 10 * domain + index + 1),
        )
      );
      const weights = domains.map(({ weight }) => weight);
      assertEquals(resultOf(parts, weights, true), resultOf(parts, weights, false));
    }),
    { numRuns: 40 },
  );
});

Deno.test("ParkingFile gives back what was last written under a name, and is gone once it is closed", () => {
  const file = new ParkingFile();
  file.write("a", Float64Array.of(1, 2));
  file.write("b", Float64Array.of(3));
  file.write("a", Float64Array.of(4, 5));
  const [a, b] = [new Float64Array(2), new Float64Array(1)];
  file.read("a", a);
  file.read("b", b);
  assertEquals([Array.from(a), Array.from(b)], [[4, 5], [3]]);
  file.close();
  file.close();
});
