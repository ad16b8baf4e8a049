/**
 * What jobs do as far as memory goes, from their options.
 * @module
 */
import { refitsSequentially } from "../../apply/sequential.ts";
import type { ExportTarget } from "../../export/formats.ts";
import type { Model } from "../../model/types.ts";
import { bytesPerNumber } from "../../model/number_formats.ts";
import type { PlanRequest } from "../../plan/types.ts";
import { embeddedCalibrationKinds } from "../../text/embedded/mod.ts";
import { usesLearning } from "../calibrate.ts";
import type { MemoryTask } from "./memory_needs.ts";
import type { CalibrationOptions } from "../types.ts";

/** What a job does. */
export interface JobShape {
  /** Tokens in a window. */
  readonly seqLen: number;
  /** What is planned, where statistics are taken or a plan is carried out; several where several are compared. */
  readonly requests?: readonly PlanRequest[];
  /** The statistics that are taken; none if absent. */
  readonly calibration?: CalibrationOptions & {
    /** How many texts there are. Default: as many as are named, or the embedded ones. */
    readonly texts?: number;
    /** Whether Gram matrices are summed whatever is planned. */
    readonly gram?: boolean;
    /** Whether damage is learned. Default: where a request can use it. */
    readonly learn?: boolean;
  };
  /** Whether plans are carried out. */
  readonly applies: boolean;
  /** Whether perplexity is measured. */
  readonly evaluates: boolean;
  /** Files to write. Default none. */
  readonly targets?: readonly ExportTarget[];
}

/**
 * What a job does as far as memory goes.
 *
 * @param model The model
 * @param job The job
 * @returns What its needs are worked out from
 */
export function memoryTask(model: Model, job: JobShape): MemoryTask {
  const { architecture } = model;
  const { requests = [], calibration, targets = [] } = job;
  const lsq = requests.some(({ refit, sparsity }) => refit === "lsq" && sparsity > 0);
  const sequential = requests.some(({ method, refit }) => method === "gprune" && refit === "lsq") &&
    refitsSequentially(architecture);
  const uniform = requests.every(({ shape, method, structures }) =>
    shape === "uniform" && method === "gprune" && structures.length === 1
  );
  const sparsity = Math.min(...requests.map((request) => request.sparsity));
  const self = calibration?.self ?? requests.some(({ method }) => method === "gprune");
  const texts = calibration?.texts ?? calibration?.calibration?.length ??
    embeddedCalibrationKinds.length;
  return {
    architecture,
    // GGUF files are measured with their numbers unpacked to float32.
    bytesPerNumber: job.evaluates && targets.some(({ format }) => format === "gguf")
      ? 4
      : bytesPerNumber(model.dataType),
    seqLen: job.seqLen,
    ...(calibration === undefined ? {} : {
      calibration: {
        domains: texts + (self ? 1 : 0),
        self,
        gram: calibration.gram ??
          requests.some(({ metric, refit }) => metric === "obs" || refit === "lsq"),
        metric: requests.find(({ metric }) => metric === "obs")?.metric ??
          requests[0]?.metric ?? "wifv",
        learn: calibration.learn ?? requests.some(usesLearning),
      },
    }),
    ...(job.applies
      ? {
        apply: {
          refit: lsq ? "lsq" : requests[0]?.refit ?? "none",
          sequential,
          // Of one kind alone, a uniform cut takes the same share of every layer.
          largestShare: uniform ? Math.min(1, 1.05 * (1 - sparsity)) : 1,
        },
      }
      : {}),
    tries: requests.some(({ method, sparsity }) => method === "gprune" && sparsity > 0),
    evaluates: job.evaluates,
    turnsMatrices: targets.some(({ format, quantize }) => format === "onnx" && quantize === "q8"),
  };
}
