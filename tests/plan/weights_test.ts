import { assertAlmostEquals, assertEquals } from "@std/assert";
import { domainWeights, scoreWeights } from "../../core/plan/weights.ts";

Deno.test("domainWeights() gives `self` a half, or what is asked for, and the others the rest", () => {
  assertEquals(domainWeights(["code", "self", "wiki"]), [0.25, 0.5, 0.25]);
  assertEquals(domainWeights(["code", "self", "wiki"], 0.2), [0.4, 0.2, 0.4]);
  assertEquals(domainWeights(["code", "wiki"], 0.2), [0.5, 0.5]);
  assertEquals(domainWeights(["self"], 0.2), [1]);
});

Deno.test("scoreWeights() leaves out what was not chosen, and keeps the part of `self`", () => {
  const names = ["code", "self", "wiki"];
  assertEquals(scoreWeights(names, undefined, 0.2), [0.4, 0.2, 0.4]);
  assertEquals(scoreWeights(names, ["wiki"], 0.2), [0, 0, 1]);
  const chosen = scoreWeights(names, ["self", "wiki"], 0.25);
  assertEquals(chosen[0], 0);
  assertAlmostEquals(chosen[1], 0.25);
  assertAlmostEquals(chosen[2], 0.75);
});
