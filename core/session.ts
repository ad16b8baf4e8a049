/**
 * The pipeline as jobs that tell what they do through events: what the command line, the screens and `mod.ts` share.
 * @module
 */
export { prune } from "./session/prune.ts";
export { compareJob } from "./session/compare.ts";
export {
  applyJob,
  calibrateJob,
  evaluateJob,
  exportJob,
  inspectJob,
  planJob,
} from "./session/jobs.ts";
export { calibratePartJob, type CalibratePartOptions } from "./session/calibrate_part.ts";
export { mergeJob, type MergeOptions } from "./session/merge.ts";
export type * from "./session/types.ts";
