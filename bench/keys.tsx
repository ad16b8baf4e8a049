/**
 * What a key in the live session costs on a large model: planning anew, predicting, drawing the screen. The reference is
 * putting all scores of the model in order once, on the same machine in the same run, which is what a key would take if
 * nothing were kept.
 *
 * ```sh
 * deno run -A bench/keys.tsx
 * ```
 * @module
 */
import process from "node:process";
import { renderToString } from "ink";
import { Planner } from "../core/session/live/planner.ts";
import { tradeoffRows } from "../core/session/live/rows.ts";
import { largeModel, largeStatistics } from "../tests/helpers/large-statistics.ts";
import { readyState, viewOf } from "../tests/tui/live_samples.ts";
import { Lines } from "../tui/screens/lines.tsx";
import { screenOf } from "../tui/screens/screen.ts";
import { median } from "./median.ts";

const size = { columns: 120, rows: 40 } as const;
const keysPerShape = 24;

/** Processor time, so that other work on the machine does not count. */
function millisecondsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const model = largeModel();
const statistics = largeStatistics(model);
const planner = new Planner(model, statistics);
const live = readyState({});
const request = { ...live.request!, protectedLayers: undefined, layerBudgets: undefined };
await planner.prepare(request);

function answer(sparsity: number, shape: "uniform" | "adaptive"): void {
  const asked = { ...request, shape, sparsity };
  const plan = planner.plan(asked);
  const rows = tradeoffRows({
    request: asked,
    texts: live.texts,
    domains: planner.domains,
    dense: { parameters: model.parameters, bytes: model.bytes },
    measured: () => undefined,
    outlook: (wanted) => planner.known(wanted),
  });
  const view = viewOf({ ...live, request: asked, plan, rows }, size.columns, size.rows);
  const lines = screenOf(view, () => []);
  renderToString(<Lines lines={lines} {...size} colors />, { columns: size.columns });
}

function orderAll(): void {
  for (const { ffn } of statistics.layers) {
    const scores = ffn!.domains[0].sumOfSquares;
    Uint32Array.from(scores.keys()).sort((a, b) => scores[a] - scores[b]);
  }
}

const reference = median(Array.from({ length: 5 }, () => millisecondsOf(orderAll)));
const { length, 0: { ffnWidth, keyValueHeads } } = model.architecture.layers;
console.log(
  `${length} layers of ${ffnWidth} neurons and ${keyValueHeads} KV groups; ` +
    `all neurons put in order once: ${reference.toFixed(0)} ms`,
);
for (const shape of ["uniform", "adaptive"] as const) {
  const keys = Array.from(
    { length: keysPerShape },
    (_, at) => millisecondsOf(() => answer((31 + at) / 100, shape)),
  ).slice(4);
  const middle = median(keys);
  console.log(
    `${shape}: ${middle.toFixed(1)} ms a key (${Math.min(...keys).toFixed(1)} to ` +
      `${Math.max(...keys).toFixed(1)}), ${(middle / reference).toFixed(2)} of that`,
  );
}
