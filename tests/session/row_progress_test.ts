import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Progress, Stage } from "../../core/progress.ts";
import { rowCost, rowProgress } from "../../core/session/row_progress.ts";

const cost = (plan: number, apply: number, evaluate: number) => ({ plan, apply, evaluate });
const step = (stage: Stage, done: number, total: number): Progress => ({
  stage,
  done,
  total,
  unit: "steps",
});

Deno.test("rowProgress() counts rows by what they cost", () => {
  const seen: Progress[] = [];
  const rows = [{ name: "a", cost: cost(0, 1, 1) }, { name: "b", cost: cost(2, 2, 2) }];
  const progressOf = rowProgress(rows, (progress) => seen.push(progress));
  const first = progressOf(0);
  first.report(step("apply", 1, 2));
  first.report(step("evaluate", 1, 2));
  first.end();
  const second = progressOf(1);
  second.report(step("evaluate", 0, 9));
  second.end();
  assertEquals(seen.map(({ done }) => done * 4), [0, 0.5, 1.5, 2, 2, 6, 8]);
  assertEquals(seen[0].detail, "row 1 of 2: a");
  assert(seen.every(({ stage, total }) => stage === "compare" && total === 2));
});

Deno.test("rowProgress() never falls and ends with all rows, whatever is reported", () => {
  const amount = fc.integer({ min: 0, max: 9 });
  const stage = fc.constantFrom<Stage>("plan", "apply", "evaluate", "learn");
  const report = fc.tuple(stage, amount, amount).map(([name, done, total]) =>
    step(name, done, total)
  );
  const row = fc.record({
    name: fc.string(),
    cost: fc.tuple(amount, amount, amount).map(([a, b, c]) => cost(a, b, c)),
  });
  fc.assert(fc.property(
    fc.array(row, { minLength: 1, maxLength: 6 }),
    fc.array(fc.array(report), { minLength: 6, maxLength: 6 }),
    (rows, reports) => {
      const done: number[] = [];
      const progressOf = rowProgress(rows, (progress) => done.push(progress.done));
      rows.forEach((_, index) => {
        const progress = progressOf(index);
        reports[index].forEach(progress.report);
        progress.end();
      });
      assert(done.every((value, at) => at === 0 || value >= done[at - 1] - 1e-9));
      const free = rows.every((each) => Object.values(each.cost).every((part) => part === 0));
      assert(free || Math.abs(done.at(-1)! - rows.length) < 1e-9);
    },
  ));
});

Deno.test("rowCost() knows that baselines are not learned and that a refit costs more than none", () => {
  const tokens = { evaluation: 100, calibration: 10 };
  const flap = rowCost({ method: "flap", refit: "bias" }, tokens);
  assertEquals([flap.plan, flap.evaluate], [0, 100]);
  const own = rowCost({ method: "gprune", refit: "lsq" }, tokens);
  const baseline = rowCost({ method: "wanda-sp", refit: "lsq" }, tokens);
  assert(own.apply > baseline.apply && baseline.apply > flap.apply);
});
