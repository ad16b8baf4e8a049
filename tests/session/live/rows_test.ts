import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { resolveRequest } from "../../../core/plan/request.ts";
import type { PlanRequest } from "../../../core/plan/types.ts";
import type { Measured } from "../../../core/session/live/folder.ts";
import { Planner } from "../../../core/session/live/planner.ts";
import { correction, lossOnText } from "../../../core/session/live/predict.ts";
import { candidates, type RowSource, tradeoffRows } from "../../../core/session/live/rows.ts";
import { largeModel, largeStatistics } from "../../helpers/large-statistics.ts";

const model = largeModel({ layers: 3, ffnWidth: 960, heads: 4 });
const statistics = largeStatistics(model, ["code", "self", "wiki"]);
const planner = new Planner(model, statistics);
const request = resolveRequest(
  { shape: "adaptive", sparsity: 0.33 },
  model.architecture.layers,
);
const texts = [
  { name: "code", calibrated: true, dense: 4 },
  { name: "talk", calibrated: false, dense: 8 },
];

function sourceOf(known: readonly (readonly [PlanRequest, Measured])[] = []): RowSource {
  return {
    request,
    texts,
    domains: planner.domains,
    dense: { parameters: model.parameters, bytes: model.bytes, tokensPerSecond: 100 },
    measured: (wanted) =>
      known.find(([each]) => JSON.stringify(each) === JSON.stringify(wanted))?.[1],
    outlook: (wanted) => planner.outlook(wanted),
  };
}
const measuredAt = (sparsity: number, perplexity: readonly number[]) =>
  [
    { ...request, sparsity },
    { perplexity, tokensPerSecond: 150, parameters: 5, bytes: 10 },
  ] as const;

Deno.test("tradeoffRows() has a row per tenth and one for the choice, all predicted at first", () => {
  const rows = tradeoffRows(sourceOf());
  assertEquals(rows.map(({ sparsity }) => sparsity), [0.1, 0.2, 0.3, 0.33, 0.4, 0.5, 0.6, 0.7]);
  assert(rows.every(({ measured }) => !measured));
  const ratios = rows.map(({ ratio }) => ratio!);
  assert(ratios.every((ratio, at) => at === 0 || ratio >= ratios[at - 1]), ratios.join(" "));
  assert(rows.every(({ parameters }) => parameters! < model.parameters));
});

Deno.test("tradeoffRows() shows what was measured as it was measured", () => {
  const row = tradeoffRows(sourceOf([measuredAt(0.4, [5, 10])])).find((r) => r.sparsity === 0.4)!;
  assertEquals([row.measured, row.perplexity, row.parameters, row.bytes], [true, [5, 10], 5, 10]);
  assertAlmostEquals(row.ratio!, 1.25, 1e-12);
});

Deno.test("tradeoffRows() puts predictions right by what was measured, text by text", () => {
  const before = tradeoffRows(sourceOf()).find(({ sparsity }) => sparsity === 0.3)!;
  const [code] = before.perplexity;
  const twice = 4 * Math.exp(2 * Math.log(code! / 4));
  const rows = tradeoffRows(sourceOf([measuredAt(0.3, [twice, before.perplexity[1]!])]));
  const near = rows.find(({ sparsity }) => sparsity === 0.4)!;
  const plain = tradeoffRows(sourceOf()).find(({ sparsity }) => sparsity === 0.4)!;
  assertAlmostEquals(
    Math.log(near.perplexity[0]! / 4),
    2 * Math.log(plain.perplexity[0]! / 4),
    1e-9,
  );
  assertAlmostEquals(near.perplexity[1]!, plain.perplexity[1]!, 1e-9);
});

Deno.test("tradeoffRows() says nothing of perplexity before the dense model was measured", () => {
  const rows = tradeoffRows({
    ...sourceOf(),
    texts: [{ name: "code", calibrated: true }],
  });
  assert(rows.every(({ perplexity, ratio }) => perplexity[0] === undefined && ratio === undefined));
});

Deno.test("candidates() goes from the choice outwards and leaves out what was measured", () => {
  const order = candidates(sourceOf([measuredAt(0.33, [5, 9])]))
    .map(({ request }) => request.sparsity);
  assertEquals(order.slice(0, 4), [0.3, 0.4, 0.2, 0.5]);
  assert(!order.includes(0.33));
  const baseline = (sparsity: number) =>
    resolveRequest({ method: "flap", sparsity }, model.architecture.layers);
  const both = candidates({ ...sourceOf(), baseline });
  assertEquals(both[0], { request: { ...request }, isBaseline: false });
  assert(both.some(({ isBaseline }) => isBaseline));
});

Deno.test("lossOnText() takes the text's own domain, or the mean with self at a half", () => {
  assertEquals(lossOnText([1, 2, 3], ["code", "self", "wiki"], "wiki"), 3);
  assertEquals(lossOnText([1, 2, 3], ["code", "self", "wiki"], "talk"), 0.25 + 1 + 0.75);
});

Deno.test("correction() meets what was measured and goes between", () => {
  const points = [
    { sparsity: 0.2, predicted: 0.1, measured: 0.1 },
    { sparsity: 0.4, predicted: 0.2, measured: 0.8 },
  ];
  assertAlmostEquals(correction(points, 0.2), 1);
  assertAlmostEquals(correction(points, 0.3), 2);
  assertAlmostEquals(correction(points, 0.4), 4);
  assertAlmostEquals(correction(points, 0.7), 4);
  assertAlmostEquals(correction(points, 0.1), 1);
  assertEquals(correction([], 0.5), 1);
});
