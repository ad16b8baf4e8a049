/**
 * Live states for tests of screens and keys, made from statistics that were made up.
 * @module
 */
import { resolveRequest } from "../../core/plan/request.ts";
import type { PlanOptions } from "../../core/plan/request.ts";
import { Planner } from "../../core/session/live/planner.ts";
import { tradeoffRows } from "../../core/session/live/rows.ts";
import { firstState, type LiveState } from "../../core/session/live/state.ts";
import { firstUi, type UiState } from "../../tui/keys/reducer.ts";
import type { View } from "../../tui/screens/view.ts";
import { largeModel, type LargeSizes, largeStatistics } from "../helpers/large-statistics.ts";

/** A session that is ready, on a model of these sizes. */
export function readyState(
  sizes: LargeSizes = { layers: 12, ffnWidth: 960, heads: 4 },
  options: PlanOptions = {},
  part: Partial<LiveState> = {},
): LiveState {
  const model = largeModel(sizes);
  const planner = new Planner(model, largeStatistics(model));
  const { layers, family } = model.architecture;
  const request = resolveRequest({ shape: "adaptive", sparsity: 0.35, ...options }, layers);
  const texts = [
    { name: "code", calibrated: true, dense: 3.214 },
    { name: "talk", calibrated: true, dense: 9.871 },
    { name: "wiki", calibrated: true, dense: 12.34 },
    { name: "drama", calibrated: false, dense: 21.09 },
  ];
  const measured = (sparsity: number) => {
    if (![0.3, 0.4].includes(sparsity)) return undefined;
    const perplexity = texts.map(({ dense }, at) => dense * Math.exp(sparsity ** 2 * (1 + at / 9)));
    return { perplexity, tokensPerSecond: 1234 / (1 - sparsity), parameters: 4.5e9, bytes: 9e9 };
  };
  const baseline = (sparsity: number) => ({ ...request, method: "flap" as const, sparsity });
  const plan = planner.plan(request);
  const rows = tradeoffRows({
    request,
    baseline: part.baseline === undefined ? undefined : baseline,
    texts,
    domains: planner.domains,
    dense: { parameters: model.parameters, bytes: model.bytes, tokensPerSecond: 1234 },
    measured: (wanted) =>
      wanted.method === "flap" && wanted.sparsity === 0.5
        ? { ...measured(0.4)!, perplexity: texts.map(({ dense }) => dense * 2) }
        : wanted.method === "gprune"
        ? measured(wanted.sparsity)
        : undefined,
    outlook: (wanted) => planner.outlook(wanted),
  });
  return {
    ...firstState,
    phase: "ready",
    model: {
      name: "my-model",
      source: "/models/my-model",
      family,
      layers,
      parameters: model.parameters,
      bytes: model.bytes,
    },
    engine: { name: "onnx", device: "cpu" },
    request,
    plan,
    texts,
    denseTokensPerSecond: 1234,
    rows,
    evaluation: { windows: 16, seqLen: 512 },
    statistics: "/home/user/.cache/gprune/sessions/my-model-0/calibration.stats",
    ...part,
  };
}

/** A view of a state. */
export function viewOf(
  live: LiveState,
  columns: number,
  rows: number,
  ui: Partial<UiState> = {},
): View {
  return {
    live,
    ui: { ...firstUi, layer: 3, ...ui },
    columns,
    rows,
    paces: new Map(),
    now: 0,
    memoryBytes: 512e6,
  };
}
