/**
 * Carrying out a plan: from a model to a smaller one in a new folder, one tensor at a time.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import { StatisticsError } from "../errors.ts";
import type { RefitRow } from "../evaluate/report.ts";
import { openModel } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import type { Plan, Refit } from "../plan/types.ts";
import { checkPlan } from "./check_plan.ts";
import { biasesAfter, configAfter } from "./config_after.ts";
import { writeModelFolder } from "./model_folder.ts";
import { refitSequentially, refitsSequentially } from "./sequential.ts";
import { shapeAfter } from "./slice.ts";
import { cutKinds, layerEntries, outerEntries } from "./entries.ts";
import type { ApplyPlanOptions, Job } from "./job.ts";
import { LayerSequence } from "./layer_sequence.ts";

export type { ApplyPlanOptions };

/** What {@linkcode applyPlan} gives. */
export interface AppliedPlan {
  /** The smaller model. */
  readonly model: Model;
  /** The outcome of every refit, by layer and kind. */
  readonly refits: readonly RefitRow[];
  /** What the refit block by block multiplied the final norm by; absent where it left it alone. */
  readonly finalNormScale?: number;
}

/**
 * Writes the model that a plan describes. Tensors that lose nothing are copied byte by byte, and where numbers keep
 * their data type so are the slices that stay.
 *
 * @param model The dense model
 * @param plan What stays of it
 * @param options Where to, refit, data type; progress, cancellation
 * @returns The smaller model, opened from its folder, and what the refits came to
 * @throws {PlanError} if the plan is broken or belongs to another model, or the family has no slot for a bias
 * @throws {StatisticsError} if the statistics are missing, belong to another model or lack what the refit needs
 * @throws {ExportError} if the disk refuses
 * @throws {CancelledError} if the signal is aborted
 */
export async function applyPlan(
  model: Model,
  plan: Plan,
  options: ApplyPlanOptions,
): Promise<AppliedPlan> {
  checkPlan(model, plan);
  const refit = options.refit ?? plan.request.refit;
  checkStatistics(model, plan, refit, options.statistics);
  const architecture = {
    ...model.architecture,
    biases: biasesAfter(model.architecture, plan, refit),
    layers: plan.layers.map((layer) => shapeAfter(model.architecture.layers[layer.layer], layer)),
  };
  const { directory, dataType = "keep" } = options;
  const refits: RefitRow[] = [];
  const sequence = sequenceOf(model, plan, refit, options, refits);
  const job: Job = {
    model,
    plan,
    refit,
    options,
    dataType,
    refits,
    architecture,
    latest: {},
    sequence,
  };
  const [norm, ...outer] = outerEntries(job);
  const entries = [
    ...outer,
    ...plan.layers.flatMap((layer) => layerEntries(job, layer)),
    // Last, since it is fitted when all blocks have been.
    norm,
  ];
  const config = configAfter(model, plan, { architecture, refit, dataType });
  try {
    await writeModelFolder(directory, { config, entries, companionsOf: model }, {
      stage: "apply",
      signal: options.signal,
      // Block by block, the refit tells how far it is: the writing takes next to nothing.
      onProgress: sequence === undefined ? options.onProgress : undefined,
      largestShard: options.largestShard,
    });
  } finally {
    await sequence?.close();
  }
  const pruned = await openModel(directory, { signal: options.signal });
  return { model: pruned, refits, finalNormScale: sequence?.finalNormScale };
}

function sequenceOf(
  model: Model,
  plan: Plan,
  refit: Refit,
  { engine, statistics, signal, onProgress, keptFits }: ApplyPlanOptions,
  refits: RefitRow[],
): LayerSequence | undefined {
  const own = refit === "lsq" && plan.request.method === "gprune";
  const cuts = plan.layers.some((layer) => cutKinds(model, layer).length > 0);
  if (!own || !cuts || engine === undefined || statistics?.windows === undefined) return undefined;
  if (!refitsSequentially(model.architecture)) return undefined;
  const options = { signal, onProgress, keptFits };
  const layers = refitSequentially(engine, model, plan, statistics, options);
  return new LayerSequence(layers, refits);
}

function checkStatistics(
  model: Model,
  plan: Plan,
  refit: Refit,
  statistics: Statistics | undefined,
): void {
  if (statistics === undefined) {
    const cuts = plan.layers.some((layer) => cutKinds(model, layer).length > 0);
    if (refit === "none" || !cuts) return;
    throw new StatisticsError(
      `Cannot refit by '${refit}' without statistics: give those that the plan was made from, or use --refit none`,
    );
  }
  if (statistics.model.fingerprint !== model.fingerprint) {
    throw new StatisticsError(
      `Cannot refit '${model.source}' with statistics of '${statistics.model.source}': they belong to another model`,
    );
  }
}
