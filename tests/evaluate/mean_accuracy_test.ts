import { assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { meanAccuracy } from "../../core/evaluate/mean_accuracy.ts";
import { accuracy } from "../../core/evaluate/tasks.ts";

Deno.test("meanAccuracy() is undefined without tasks and the task itself with one", () => {
  assertEquals(meanAccuracy([]), undefined);
  const task = { acc: 0.3, accNorm: 0.4, stderr: 0.05 };
  assertEquals(meanAccuracy([task]), task);
});

Deno.test("meanAccuracy() of tasks of one size is the accuracy of all their questions, and so nearly is its error", () => {
  const hits = fc.array(fc.boolean(), { minLength: 200, maxLength: 200 });
  fc.assert(fc.property(hits, hits, (first, second) => {
    const of = (rights: readonly boolean[]) =>
      accuracy(rights.map((right) => ({
        logLikelihoods: [-1, -2],
        bytes: [1, 1],
        answer: right ? 0 : 1,
      })));
    const mean = meanAccuracy([of(first), of(second)])!;
    const pooled = of([...first, ...second]);
    assertAlmostEquals(mean.acc, pooled.acc, 1e-12);
    assertEquals(mean.stderr <= pooled.stderr * 1.01, true);
  }));
});
