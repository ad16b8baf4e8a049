import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { DamageCurve } from "../../core/calibrate/types.ts";
import { predictDamage } from "../../core/plan/damage.ts";
import type { UnitOrder } from "../../core/plan/order.ts";

const order = (errors: readonly number[]): UnitOrder => ({
  layer: 0,
  structure: "ffn",
  order: Int32Array.from({ length: errors.length - 1 }, (_, unit) => unit),
  relativeError: Float64Array.from(errors),
  modules: [],
  scores: new Float64Array(errors.length - 1),
});
const curve = (errors: readonly number[], damage: readonly number[]): DamageCurve => ({
  layer: 0,
  structure: "ffn",
  fractions: errors.map(() => 0),
  relativeErrors: errors,
  damage,
  damagePerDomain: damage.map((loss) => [loss]),
});

Deno.test("predictDamage() meets the measured points", () => {
  const predicted = predictDamage(order([0, 0.1, 0.2, 0.4]), curve([0.1, 0.4], [1, 4]));
  assertAlmostEquals(predicted[1], 1);
  assertAlmostEquals(predicted[3], 4);
});

Deno.test("predictDamage() follows a power of the error between and past measured points", () => {
  const errors = [0, 0.05, 0.1, 0.2, 0.4, 0.8];
  const law = (error: number) => 3 * error ** 1.5;
  const predicted = predictDamage(order(errors), curve([0.05, 0.4], [law(0.05), law(0.4)]));
  errors.forEach((error, k) => assertAlmostEquals(predicted[k], law(error), 1e-9));
});

Deno.test("predictDamage() takes the error itself where nothing was learned", () => {
  assertEquals([...predictDamage(order([0, 0.5, 1]), undefined)], [0, 0.5, 1]);
});

Deno.test("predictDamage() starts at zero and never falls, whatever noise was measured", () => {
  const noise = fc.array(fc.double({ min: -0.1, max: 2, noNaN: true }), {
    minLength: 4,
    maxLength: 4,
  });
  fc.assert(fc.property(noise, (damage) => {
    const errors = Array.from({ length: 30 }, (_, k) => (k / 29) ** 2);
    const predicted = predictDamage(order(errors), curve([0.05, 0.2, 0.5, 0.9], damage));
    assertEquals(predicted[0], 0);
    for (let k = 1; k < predicted.length; k++) assert(predicted[k] >= predicted[k - 1]);
    assert(predicted.every(Number.isFinite));
  }));
});
