/**
 * gprune makes language models smaller by removing whole FFN neurons and key/value head groups, so that what is left
 * still works on text that no calibration file covered.
 *
 * The functions come in the order in which data flows: a model and texts, statistics, a plan, a smaller model, a
 * report, files.
 *
 * @example
 * ```ts
 * import { applyPlan, calibrate, embeddedTexts, evaluate, makePlan, openModel } from "./mod.ts";
 *
 * const model = await openModel();
 * const request = { sparsity: 0.3, structures: ["ffn"], metric: "wanda-sp", refit: "none" } as const;
 * const statistics = await calibrate(model, embeddedTexts("calibration"), {
 *   samples: 2,
 *   seqLen: 32,
 *   request,
 * });
 * const plan = makePlan(model, statistics, request);
 * const pruned = await applyPlan(model, plan, { statistics });
 * const report = await evaluate(pruned, embeddedTexts("held-out"), { seqLen: 32, evalWindows: 1 });
 * console.log(report.perplexity.map(({ name, dense }) => `${name} ${dense.toFixed(1)}`));
 * ```
 *
 * @module
 */
export { EMBEDDED, openModel, type OpenOptions } from "./core/model/open.ts";
export { type HubOptions } from "./core/model/hub.ts";
export type { FormatName } from "./core/export/formats.ts";
export { type ExportCapability, inspectModel, type ModelSummary } from "./core/model/inspect.ts";
export type * from "./core/model/types.ts";
export { type Domain, domainOf, openDomains } from "./core/text/domains.ts";
export {
  applyPlan,
  type ApplyPlanOptions,
  calibrate,
  type CalibrateOptions,
  embeddedTexts,
  type EngineOptions,
  evaluate,
  type EvaluateOptions,
  exportModel,
  type ExportModelOptions,
} from "./core/pipeline.ts";
export {
  loadStatistics,
  type LoadStatisticsOptions,
  saveStatistics,
} from "./core/calibrate/store.ts";
export { mergeStatistics } from "./core/calibrate/merge.ts";
export type * from "./core/calibrate/types.ts";
export { makePlan } from "./core/plan/make_plan.ts";
export type { PlanOptions } from "./core/plan/request.ts";
export { loadPlan, type PlanFile, savePlan } from "./core/plan/store.ts";
export type * from "./core/plan/types.ts";
export type * from "./core/evaluate/report.ts";
export { reportPage } from "./core/report/report_page.ts";
export { comparisonPage } from "./core/report/comparison_page.ts";
export * from "./core/errors.ts";
export type * from "./core/progress.ts";
export type { EmbeddedKind } from "./core/text/embedded/mod.ts";
