import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { leastOnLine } from "../../core/linear/least.ts";

Deno.test("leastOnLine() comes as near to the bottom of a valley as its evaluations allow", async () => {
  const numbers = fc.double({ min: -1, max: 1, noNaN: true });
  await fc.assert(fc.asyncProperty(numbers, fc.integer({ min: 2, max: 20 }), async (bottom, n) => {
    let evaluations = 0;
    const found = await leastOnLine((at) => {
      evaluations++;
      return Promise.resolve(3 + Math.abs(at - bottom));
    }, { lowest: -1, highest: 1, evaluations: n });
    assertEquals(evaluations, n);
    assertAlmostEquals(found.value, 3 + Math.abs(found.at - bottom), 1e-12);
    assert(Math.abs(found.at - bottom) <= 2 * 0.6181 ** (n - 1), `${found.at} for ${bottom}`);
  }));
});
