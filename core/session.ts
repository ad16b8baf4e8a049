/**
 * The pipeline as jobs that tell what they do through events: what the command line, the screens and `mod.ts` share.
 * @module
 */
export { compareJob } from "./session/compare.ts";
export { evaluateJob, inspectJob } from "./session/jobs.ts";
export { applyJob, calibrateJob, exportJob, planJob, prune } from "./session/locked.ts";
export type * from "./session/types.ts";
