/**
 * Statistics of a live session: those of an earlier one at once, otherwise taken by the worker and kept.
 * @module
 */
import { loadStatistics } from "../../calibrate/store.ts";
import type { Statistics } from "../../calibrate/types.ts";
import type { Model } from "../../model/types.ts";
import { selfDomain } from "../../plan/weights.ts";
import type { Progress } from "../../progress.ts";
import { calibrationDomains, windowLength } from "../../text/texts.ts";
import { type SessionFolder, sessionFolder } from "./folder.ts";
import type { CalibrateTask } from "./protocol.ts";
import type { LiveOptions } from "./options.ts";
import type { CalibrationState } from "./state.ts";

/** A calibration that can be found or done. */
export interface PreparedCalibration {
  /** The session's folder. */
  readonly folder: SessionFolder;
  /** The file of statistics. */
  readonly path: string;
  /** What the worker is given. */
  readonly task: CalibrateTask;
  /** The domains, those of texts and the model's own. */
  readonly domains: readonly string[];
}

/**
 * Finds out where statistics are or will be.
 *
 * @param model The model
 * @param settings Texts, windows, defaults filled in
 * @param root The folder of all sessions
 * @returns The calibration, not begun
 * @throws {TextError} if a text cannot be used
 * @throws {OptionError} if a setting makes no sense
 */
export async function prepareCalibration(
  model: Model,
  settings: LiveOptions & { readonly samples: number; readonly seqLen: number },
  root: string,
): Promise<PreparedCalibration> {
  const { calibration, self = true, seed = 0, samples } = settings;
  const seqLen = windowLength(model, settings.seqLen);
  const domains = await calibrationDomains(calibration);
  const texts = domains.map(({ name, sha256 }) => `${name} ${sha256}`);
  // Everything that any choice of the session can use, as `gprune calibrate` measures it.
  const request = { shape: "adaptive", scoreDomains: settings.request?.scoreDomains } as const;
  const conditions = {
    model: model.fingerprint,
    texts,
    samples,
    seqLen,
    seed,
    self,
    request,
    version: 1,
  };
  const folder = sessionFolder(root, model.name, conditions);
  const path = settings.stats ?? folder.statistics;
  return {
    folder,
    path,
    domains: [...domains.map(({ name }) => name), ...(self ? [selfDomain] : [])].sort(),
    task: {
      calibration,
      self,
      samples,
      seqLen,
      seed,
      request,
      save: path,
      workFolder: folder.unfinished,
    },
  };
}

/**
 * Statistics that are there already.
 *
 * @param prepared The calibration
 * @param isGiven Whether the user named the file: then it must be there
 * @returns The statistics; undefined where they are still to be taken
 * @throws {StatisticsError} if a named file cannot be used
 */
export async function findStatistics(
  { path }: PreparedCalibration,
  isGiven: boolean,
): Promise<Statistics | undefined> {
  try {
    return await loadStatistics(path);
  } catch (error) {
    if (isGiven) throw error;
    return undefined;
  }
}

/**
 * Takes a report of calibration into its state.
 *
 * @param state The state before
 * @param progress The report
 * @returns The state after
 */
export function withProgress(state: CalibrationState, progress: Progress): CalibrationState {
  const known = state.stages.some(({ stage }) => stage === progress.stage);
  return {
    ...state,
    stages: known
      ? state.stages.map((each) => each.stage === progress.stage ? progress : each)
      : [...state.stages, progress],
  };
}
