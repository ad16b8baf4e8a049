/**
 * Carrying out a plan: from a model to a smaller one in a new folder, one tensor at a time.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import { StatisticsError } from "../errors.ts";
import type { RefitRow } from "../evaluate/report.ts";
import { blockTensorName, familyOf } from "../model/families.ts";
import { blockTensors, openModel } from "../model/open.ts";
import {
  bytesPerNumber,
  encode,
  type FloatDataType,
  memoryTensor,
  numberCount,
  readTensor,
  readTensorBytes,
  type TensorEntry,
} from "../model/safetensors.ts";
import type {
  BlockRole,
  BlockTensors,
  Model,
  Structure,
  Tensor,
  TensorView,
} from "../model/types.ts";
import { blockRoles, blockTensorShape, outerRoles, unitCount, unitCuts } from "../model/units.ts";
import type { LayerPlan, Plan, Refit } from "../plan/types.ts";
import type { WorkOptions } from "../progress.ts";
import { checkPlan } from "./check_plan.ts";
import { biasesAfter, configAfter } from "./config_after.ts";
import {
  copiedEntry,
  type OutputDataType,
  outputDataType,
  writeModelFolder,
} from "./model_folder.ts";
import { heldOutMoments, inputMoments, refitWeights } from "./moments.ts";
import { refitLayer, type RefittedProjection } from "./refit.ts";
import {
  channelsOf,
  closingRoles,
  keptSlices,
  keptUnits,
  shapeAfter,
  sliceBytes,
  sliceNumbers,
  sliceShape,
} from "./slice.ts";

/** Options of {@linkcode applyPlan}. */
export interface ApplyPlanOptions extends WorkOptions {
  /** Where to write the smaller model: a folder, made if it is missing. */
  readonly directory: string;
  /** What calibration found; needed for every refit but `none`. */
  readonly statistics?: Statistics;
  /** How numbers are stored. Default `keep`: as they were. */
  readonly dataType?: OutputDataType;
  /** Another refit than the plan's. */
  readonly refit?: Refit;
  /** How much each domain counts in the refit; see `refitWeights` for the default. */
  readonly domainWeights?: readonly number[];
  /** Bytes of weights in one file at most. Default 5 GB. */
  readonly largestShard?: number;
}

/** What {@linkcode applyPlan} gives. */
export interface AppliedPlan {
  /** The smaller model. */
  readonly model: Model;
  /** The outcome of every refit, by layer and kind. */
  readonly refits: readonly RefitRow[];
}

/** New closing projections by kind of unit. */
export type RefittedLayer = Readonly<Partial<Record<Structure, RefittedProjection>>>;

/** Options of {@linkcode refitOne}. */
export interface RefitOneOptions {
  /** What to do. */
  readonly refit: Refit;
  /** How much each domain counts. */
  readonly domainWeights: readonly number[];
  /** Cancels the work. */
  readonly signal?: AbortSignal;
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
  const job: Job = { model, plan, refit, options, dataType, refits, architecture, latest: {} };
  const entries = [
    ...outerEntries(job),
    ...plan.layers.flatMap((layer) => layerEntries(job, layer)),
  ];
  const config = configAfter(model, plan, { architecture, refit, dataType });
  await writeModelFolder(directory, { config, entries, companionsOf: model }, {
    stage: "apply",
    signal: options.signal,
    onProgress: options.onProgress,
    largestShard: options.largestShard,
  });
  return { model: await openModel(directory, { signal: options.signal }), refits };
}

/**
 * The new closing projection of one layer and kind, from a model's statistics: what {@linkcode applyPlan} writes, for
 * trials in memory.
 *
 * @param model The dense model
 * @param statistics What calibration found
 * @param plan The layer's plan
 * @param structure The kind of unit
 * @param options Refit, weights of the domains, cancellation
 * @returns The projection; its weights are `[hidden, channels that stay]`
 * @throws {StatisticsError} if the statistics lack what the refit needs
 * @throws {CancelledError} if the signal is aborted
 */
export async function refitOne(
  model: Model,
  statistics: Statistics,
  plan: LayerPlan,
  structure: Structure,
  options: RefitOneOptions,
): Promise<RefittedProjection> {
  const { layer } = plan;
  const shape = model.architecture.layers[layer];
  const kind = statistics.layers[layer][structure];
  const tensors = blockTensors(model, layer);
  const roles = closingRoles(model.architecture, shape, structure);
  const size = unitCuts(model.architecture, shape, structure)
    .find(({ role }) => role === roles.weight)?.size ?? 1;
  const bias = tensors.get(roles.bias);
  const { refit, signal } = options;
  return await refitLayer({
    layer,
    structure,
    refit,
    weight: await readTensor(tensors.get(roles.weight)!),
    bias: bias === undefined ? undefined : await readTensor(bias),
    kept: channelsOf(keptUnits(plan, structure), size),
    moments: await inputMoments(kind.domains, options.domainWeights, { gram: refit === "lsq" }),
    heldOut: await heldOutMoments(kind),
    signal,
  });
}

/**
 * The tensors of one pruned layer, in memory, for trials without a folder. What loses nothing stays where it is.
 *
 * @param model The dense model
 * @param plan The layer's plan
 * @param refitted New closing projections, for the kinds that have one; plain slices otherwise
 * @returns The tensors by role; a bias that the refit has added is among them
 */
export async function prunedBlockTensors(
  model: Model,
  plan: LayerPlan,
  refitted: RefittedLayer = {},
): Promise<BlockTensors> {
  const { architecture } = model;
  const shape = architecture.layers[plan.layer];
  const slices = keptSlices(architecture, shape, plan);
  const result = new Map<BlockRole, Tensor>();
  for (const [role, tensor] of blockTensors(model, plan.layer)) {
    const kept = slices.get(role);
    result.set(
      role,
      kept === undefined ? tensor : memoryTensor(
        sliceShape(tensor.shape, kept),
        sliceNumbers(await readTensor(tensor), tensor.shape, kept),
      ),
    );
  }
  for (const structure of ["ffn", "heads"] as const) {
    const projection = refitted[structure];
    if (projection === undefined) continue;
    const roles = closingRoles(architecture, shape, structure);
    const { weight, bias } = projection;
    const outputs = architecture.hiddenSize;
    result.set(roles.weight, memoryTensor([outputs, weight.length / outputs], weight));
    if (bias !== undefined) result.set(roles.bias, memoryTensor([outputs], bias));
  }
  return result;
}

/** One call of {@linkcode applyPlan}. */
interface Job {
  readonly model: Model;
  readonly plan: Plan;
  readonly refit: Refit;
  readonly options: ApplyPlanOptions;
  readonly dataType: OutputDataType;
  readonly refits: RefitRow[];
  readonly architecture: Model["architecture"];
  /** The refit made last: weight and bias are written one after the other and come from one refit. */
  latest: { key?: string; projection?: Promise<RefittedProjection> };
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

/** The kinds of unit that a layer loses some of. */
function cutKinds(model: Model, plan: LayerPlan): readonly Structure[] {
  const shape = model.architecture.layers[plan.layer];
  return (["ffn", "heads"] as const).filter((structure) =>
    keptUnits(plan, structure).length < unitCount(shape, structure)
  );
}

/** Tensors outside the blocks, and any that the family ignores: a copy leaves nothing out. */
function outerEntries({ model, dataType }: Job): TensorEntry[] {
  const family = familyOf(model.architecture.family);
  const ofBlocks = new Set(
    model.architecture.layers.flatMap((_, layer) =>
      blockRoles(model.architecture).map((role) => blockTensorName(family, role, layer))
    ),
  );
  const first = outerRoles(model.architecture).map((role) => family.outerTensors[role]);
  const rest = [...model.tensors.keys()].filter((name) =>
    !ofBlocks.has(name) && !first.includes(name)
  );
  return [...first, ...rest].map((name) => copiedEntry(model.tensors.get(name)!, dataType));
}

function layerEntries(job: Job, plan: LayerPlan): TensorEntry[] {
  const { model, dataType, refit } = job;
  const before = model.architecture.layers[plan.layer];
  const tensors = blockTensors(model, plan.layer) as ReadonlyMap<BlockRole, TensorView>;
  const slices = keptSlices(model.architecture, before, plan);
  const refitted = new Map<BlockRole, Structure>();
  for (const structure of refit === "none" ? [] : cutKinds(model, plan)) {
    const roles = closingRoles(job.architecture, before, structure);
    refitted.set(roles.weight, structure);
    if (roles.hasBias) refitted.set(roles.bias, structure);
  }
  return blockRoles(job.architecture).map((role) => {
    const view = tensors.get(role);
    const shape = blockTensorShape(job.architecture, job.architecture.layers[plan.layer], role);
    const structure = refitted.get(role);
    if (view !== undefined && structure === undefined) {
      const kept = slices.get(role);
      return kept === undefined ? copiedEntry(view, dataType) : slicedEntry(view, kept, dataType);
    }
    const closing = tensors.get(role.replace(".bias", ".weight") as BlockRole)!;
    const stored = outputDataType((view ?? closing).dataType, dataType) as FloatDataType;
    const name = blockTensorName(familyOf(model.architecture.family), role, plan.layer);
    const bytes = async () => {
      if (structure === undefined) {
        return new Uint8Array(numberCount(shape) * bytesPerNumber(stored));
      }
      const projection = await latestRefit(job, plan, structure);
      const zeros = new Float32Array(numberCount(shape));
      return encode(
        role.endsWith(".weight") ? projection.weight : projection.bias ?? zeros,
        stored,
      );
    };
    return { name, shape, dataType: stored, bytes };
  });
}

function slicedEntry(
  view: TensorView,
  kept: Parameters<typeof sliceBytes>[2],
  wanted: OutputDataType,
): TensorEntry {
  const dataType = outputDataType(view.dataType, wanted);
  const shape = sliceShape(view.shape, kept);
  const bytes = async () =>
    dataType === view.dataType
      ? sliceBytes(await readTensorBytes(view), view.shape, kept)
      : encode(sliceNumbers(await readTensor(view), view.shape, kept), dataType as FloatDataType);
  return { name: view.name, shape, dataType, bytes };
}

function latestRefit(job: Job, plan: LayerPlan, structure: Structure): Promise<RefittedProjection> {
  const key = `${plan.layer} ${structure}`;
  const { model, refit, refits, options: { statistics, signal } } = job;
  if (job.latest.key !== key || job.latest.projection === undefined) {
    const names = statistics!.domains.map(({ name }) => name);
    const domainWeights = job.options.domainWeights ?? refitWeights(job.plan, names);
    const projection = refitOne(model, statistics!, plan, structure, {
      refit,
      domainWeights,
      signal,
    }).then((result) => {
      refits.push(result.row);
      return result;
    });
    job.latest = { key, projection };
  }
  return job.latest.projection!;
}
