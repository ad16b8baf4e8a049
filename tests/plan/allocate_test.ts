import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { PlanError } from "../../core/errors.ts";
import { allocate, type Prospect, removalSteps } from "../../core/plan/allocate.ts";
import { allocateUniformly } from "../../core/plan/allocate_uniformly.ts";

const prospect = (damage: readonly number[], extra: Partial<Prospect> = {}): Prospect => ({
  units: damage.length - 1,
  unitParameters: 1,
  multiple: 1,
  minimumKept: 1,
  damage,
  ...extra,
});

Deno.test("removalSteps() leaves multiples, or everything", () => {
  const steps = removalSteps(prospect(new Array(71).fill(0), { multiple: 32, minimumKept: 32 }));
  assertEquals(steps, [0, 6, 38]);
});

Deno.test("allocate() spends where the next parameter costs least", () => {
  assertEquals(allocate([prospect([0, 5, 20, 60]), prospect([0, 1, 3, 60])], 3), [1, 2]);
});

Deno.test("allocate() counts cost per parameter, not per unit", () => {
  const cheap = prospect([0, 4, 8, 12], { unitParameters: 10 });
  assertEquals(allocate([cheap, prospect([0, 1, 2, 3])], 10), [1, 0]);
});

Deno.test("allocate() sees past a dear first step to a cheap second one", () => {
  // On the hull the first curve costs 2 a unit; step by step it would look like 4.
  assertEquals(allocate([prospect([0, 4, 4, 60]), prospect([0, 3, 6, 60])], 2), [2, 0]);
});

Deno.test("allocate() is as good as trying everything, for convex curves", () => {
  const convex = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 5, maxLength: 5 })
    .map((steps) => {
      const sorted = steps.toSorted((a, b) => a - b);
      return prospect(sorted.reduce<number[]>((sums, step) => [...sums, sums.at(-1)! + step], [0]));
    });
  fc.assert(
    fc.property(
      fc.tuple(convex, convex, convex),
      fc.integer({ min: 0, max: 12 }),
      (all, budget) => {
        const removed = allocate(all, budget);
        assertEquals(removed.reduce((a, b) => a + b, 0), budget);
        const loss = removed.reduce((sum, k, i) => sum + all[i].damage[k], 0);
        let best = Infinity;
        for (let a = 0; a < 5; a++) {
          for (let b = 0; b < 5; b++) {
            const c = budget - a - b;
            if (c < 0 || c > 4) continue;
            best = Math.min(best, all[0].damage[a] + all[1].damage[b] + all[2].damage[c]);
          }
        }
        assertAlmostEquals(loss, best, 1e-9);
      },
    ),
  );
});

Deno.test("allocate() reaches the budget to within half of the smallest step", () => {
  const any = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 40, maxLength: 40 })
    .map((steps) => prospect(steps.reduce<number[]>((s, step) => [...s, s.at(-1)! + step], [0])));
  fc.assert(
    fc.property(fc.tuple(any, any), fc.double({ min: 0, max: 0.95, noNaN: true }), (all, s) => {
      const prospects = [all[0], { ...all[1], unitParameters: 7 }];
      const budget = s * 40 * 8;
      const removed = allocate(prospects, budget);
      const spent = removed[0] + 7 * removed[1];
      assert(Math.abs(spent - budget) <= 3.5 + 1e-9, `${spent} of ${budget}`);
    }),
  );
});

Deno.test("allocate() leaves a unit in every layer and refuses more", () => {
  assertEquals(allocate([prospect([0, 1, 2]), prospect([0, 1, 2])], 2), [1, 1]);
  assertThrows(() => allocate([prospect([0, 1, 2])], 4), PlanError, "at least one unit must stay");
});

Deno.test("allocateUniformly() removes the same from every layer, choosing the cheaper pair", () => {
  // Two layers; the budget of 8 can be 4 neurons a layer, or a group of 3 and 1 neuron.
  const neurons = [0, 1, 2, 3, 4, 5].map((k) => k * k);
  const ffn = [prospect(neurons), prospect(neurons)];
  const group = (loss: number) => [1, 2].map(() => prospect([0, loss, 99], { unitParameters: 3 }));
  assertEquals(allocateUniformly([ffn, group(50)], 8), [4, 0]);
  assertEquals(allocateUniformly([ffn, group(2)], 8), [1, 1]);
});

Deno.test("allocateUniformly() keeps to a share where one is given", () => {
  const neurons = Array.from({ length: 101 }, (_, k) => k);
  const ffn = [prospect(neurons)];
  const groups = [prospect([0, 500, 500, 500, 999], { unitParameters: 25 })];
  assertEquals(allocateUniformly([ffn, groups], 100, 0.5), [50, 2]);
});

Deno.test("allocateUniformly() says what is the most", () => {
  assertThrows(
    () => allocateUniformly([[prospect([0, 1, 2])]], 2.9),
    PlanError,
    "the nearest whole step",
  );
});
