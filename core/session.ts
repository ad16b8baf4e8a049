/**
 * The pipeline as jobs that tell what they do through events: what the command line, the screens and `mod.ts` share.
 * @module
 */
export { compareJob } from "./session/compare.ts";
export { evaluateJob, inspectJob } from "./session/jobs.ts";
export {
  applyJob,
  calibrateJob,
  calibratePartJob,
  exportJob,
  mergeJob,
  planJob,
  prune,
} from "./session/locked.ts";
export type { CalibratePartOptions } from "./session/parts/calibrate_part.ts";
export type { MergeOptions } from "./session/parts/merge.ts";
export type * from "./session/types.ts";
