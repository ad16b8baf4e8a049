/**
 * Carrying out a plan: from a model to a smaller one in a new folder, one tensor at a time.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import { StatisticsError } from "../errors.ts";
import type { RefitRow } from "../evaluate/report.ts";
import type { Engine } from "../engine/types.ts";
import { familyOf } from "../model/families.ts";
import { blockTensors, openModel } from "../model/open.ts";
import {
  bytesPerNumber,
  encode,
  type FloatDataType,
  numberCount,
  readTensor,
  readTensorBytes,
  type TensorEntry,
} from "../model/safetensors.ts";
import type { BlockRole, Model, Structure, TensorView } from "../model/types.ts";
import { joinParts, type StoredTensor, storedTensors } from "../model/stored.ts";
import { blockTensorShape, outerRoles, unitCount, unitCuts } from "../model/units.ts";
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
import { type KeptFits, keptOrMade } from "./kept_fits.ts";
import { heldOutMoments, inputMoments, refitWeights } from "./moments.ts";
import { refitLayer, type RefittedProjection } from "./refit.ts";
import {
  refitSequentially,
  refitsSequentially,
  type ScaledNorm,
  type SequentialLayer,
} from "./sequential.ts";
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
  /**
   * What runs blocks. With it the refit `lsq` of `gprune` goes block by block, from the pruned prefix to the dense
   * model's streams; without it every layer is refitted by itself, as the published methods do. So is every layer of a
   * model whose blocks add in another way than Llama's; see `refitsSequentially`.
   */
  readonly engine?: Engine;
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
  /** Whether the refit block by block may scale the final norm. Default true; false is for ablations. */
  readonly scaledNorm?: boolean;
  /** Bytes of weights in one file at most. Default 5 GB. */
  readonly largestShard?: number;
  /** Keeps finished fits, so that an interrupted run can go on. Default: nothing is kept. */
  readonly keptFits?: KeptFits;
}

/** What {@linkcode applyPlan} gives. */
export interface AppliedPlan {
  /** The smaller model. */
  readonly model: Model;
  /** The outcome of every refit, by layer and kind. */
  readonly refits: readonly RefitRow[];
  /** What the refit block by block multiplied the final norm by; absent where it left it alone. */
  readonly finalNormScale?: number;
}

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

/** One call of {@linkcode applyPlan}. */
interface Job {
  readonly model: Model;
  readonly plan: Plan;
  readonly refit: Refit;
  readonly options: ApplyPlanOptions;
  readonly dataType: OutputDataType;
  readonly refits: RefitRow[];
  readonly architecture: Model["architecture"];
  /** The refit block by block, where it is one. */
  readonly sequence?: LayerSequence;
  /** The refit made last: weight and bias are written one after the other and come from one refit. */
  latest: { key?: string; projection?: Promise<RefittedProjection> };
}

/** Layers of a refit block by block, made when the first of their tensors is written. */
class LayerSequence {
  readonly #layers: ReturnType<typeof refitSequentially>;
  readonly #refits: RefitRow[];
  #latest: SequentialLayer | undefined;
  #norm: ScaledNorm | undefined;

  constructor(layers: ReturnType<typeof refitSequentially>, refits: RefitRow[]) {
    this.#layers = layers;
    this.#refits = refits;
  }

  async fitted(layer: number, role: BlockRole): Promise<Float32Array | undefined> {
    while (this.#latest === undefined || this.#latest.layer < layer) {
      // What was written need not outlive the making of the next.
      this.#latest = undefined;
      const next = await this.#layers.next();
      if (next.done) return undefined;
      this.#latest = next.value;
      this.#refits.push(...next.value.rows);
    }
    return this.#latest.fitted.get(role);
  }

  /** The final norm, where it was fitted; call it after the last layer. */
  async finalNorm(): Promise<ScaledNorm | undefined> {
    for (;;) {
      const next = await this.#layers.next();
      if (next.done) return this.#norm = next.value;
      this.#refits.push(...next.value.rows);
    }
  }

  /** What the final norm was multiplied by, once it has been written. */
  get finalNormScale(): number | undefined {
    return this.#norm?.scale;
  }

  async close(): Promise<void> {
    await this.#layers.return(undefined);
  }
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

/** The kinds of unit that a layer loses some of. */
function cutKinds(model: Model, plan: LayerPlan): readonly Structure[] {
  const shape = model.architecture.layers[plan.layer];
  return (["ffn", "heads"] as const).filter((structure) =>
    keptUnits(plan, structure).length < unitCount(shape, structure)
  );
}

/** The final norm comes first, then tensors outside the blocks, and any that the family ignores: a copy leaves nothing out. */
function outerEntries(job: Job): readonly [TensorEntry, ...TensorEntry[]] {
  const { model, dataType } = job;
  const family = familyOf(model.architecture.family);
  const ofBlocks = new Set(
    model.architecture.layers.flatMap((shape, layer) =>
      storedTensors(model.architecture, shape, layer).map(({ name }) => name)
    ),
  );
  const norm = family.outerTensors["finalNorm.weight"];
  const first = outerRoles(model.architecture).flatMap((role) => family.outerTensors[role] ?? []);
  const rest = [...model.tensors.keys()].filter((name) =>
    !ofBlocks.has(name) && !first.includes(name)
  );
  const copied = [...first, ...rest].filter((name) => name !== norm)
    .map((name) => copiedEntry(model.tensors.get(name)!, dataType));
  return [finalNormEntry(job, model.tensors.get(norm)!), ...copied];
}

function finalNormEntry({ dataType, sequence, options }: Job, view: TensorView): TensorEntry {
  const plain = copiedEntry(view, dataType);
  if (sequence === undefined || options.scaledNorm === false) return plain;
  const bytes = async () => {
    const fitted = await sequence.finalNorm();
    return fitted === undefined
      ? await plain.bytes()
      : encode(fitted.weight, plain.dataType as FloatDataType);
  };
  return { ...plain, bytes };
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
  const after = job.architecture.layers[plan.layer];
  return storedTensors(job.architecture, after, plan.layer).map((stored) => {
    if (!stored.plain) {
      const view = model.tensors.get(stored.name)!;
      const whole = stored.roles.every((role) => !slices.has(role) && !refitted.has(role));
      if (whole && job.sequence === undefined) return copiedEntry(view, dataType);
      return joinedEntry(
        job,
        plan,
        stored,
        (role) =>
          partNumbers(job, plan, role, { kept: slices.get(role), structure: refitted.get(role) }),
      );
    }
    const [role] = stored.roles;
    if (job.sequence !== undefined) return sequentialEntry(job, plan, role, slices.get(role));
    const view = tensors.get(role);
    const { shape } = stored;
    const structure = refitted.get(role);
    if (view !== undefined && structure === undefined) {
      const kept = slices.get(role);
      return kept === undefined ? copiedEntry(view, dataType) : slicedEntry(view, kept, dataType);
    }
    const closing = tensors.get(role.replace(".bias", ".weight") as BlockRole)!;
    const type = outputDataType((view ?? closing).dataType, dataType) as FloatDataType;
    const bytes = async () => {
      if (structure === undefined) return new Uint8Array(numberCount(shape) * bytesPerNumber(type));
      return encode(await refittedNumbers(job, plan, role, structure), type);
    };
    return { name: stored.name, shape, dataType: type, bytes };
  });
}

/** What the refit of a layer by itself makes of a closing projection or its bias. */
async function refittedNumbers(
  job: Job,
  plan: LayerPlan,
  role: BlockRole,
  structure: Structure,
): Promise<Float32Array> {
  const projection = await latestRefit(job, plan, structure);
  if (role.endsWith(".weight")) return projection.weight;
  const shape = blockTensorShape(job.architecture, job.architecture.layers[plan.layer], role);
  return projection.bias ?? new Float32Array(numberCount(shape));
}

/** The numbers of a part of a tensor after the cut; undefined where they are as they were. */
async function partNumbers(
  job: Job,
  plan: LayerPlan,
  role: BlockRole,
  { kept, structure }: {
    readonly kept?: Parameters<typeof sliceBytes>[2];
    readonly structure?: Structure;
  },
): Promise<Float32Array | undefined> {
  const fitted = await job.sequence?.fitted(plan.layer, role);
  if (fitted !== undefined) return fitted;
  if (job.sequence === undefined && structure !== undefined) {
    return await refittedNumbers(job, plan, role, structure);
  }
  if (kept === undefined) return undefined;
  const view = blockTensors(job.model, plan.layer).get(role)!;
  return sliceNumbers(await readTensor(view), view.shape, kept);
}

/** A tensor of several parts, or of one that is stored turned; bytes are copied where no part has changed. */
function joinedEntry(
  { model, architecture, dataType }: Job,
  plan: LayerPlan,
  stored: StoredTensor,
  numbersOf: (role: BlockRole) => Promise<Float32Array | undefined>,
): TensorEntry {
  const view = model.tensors.get(stored.name)!;
  const type = outputDataType(view.dataType, dataType) as FloatDataType;
  const tensors = blockTensors(model, plan.layer);
  const bytes = async () => {
    const parts = new Map<BlockRole, Float32Array>();
    for (const role of stored.roles) {
      const numbers = await numbersOf(role);
      if (numbers !== undefined) parts.set(role, numbers);
    }
    if (parts.size === 0) return await copiedEntry(view, dataType).bytes();
    for (const role of stored.roles) {
      if (!parts.has(role)) parts.set(role, await readTensor(tensors.get(role)!));
    }
    const shape = architecture.layers[plan.layer];
    return encode(joinParts(stored, parts, { architecture, shape }), type);
  };
  return { name: stored.name, shape: stored.shape, dataType: type, bytes };
}

/** A tensor that the refit block by block may or may not have touched. */
function sequentialEntry(
  job: Job,
  plan: LayerPlan,
  role: BlockRole,
  kept: Parameters<typeof sliceBytes>[2] | undefined,
): TensorEntry {
  const { model, dataType, sequence } = job;
  const view = blockTensors(model, plan.layer).get(role) as TensorView;
  const plain = kept === undefined
    ? copiedEntry(view, dataType)
    : slicedEntry(view, kept, dataType);
  const bytes = async () => {
    const fitted = await sequence!.fitted(plan.layer, role);
    return fitted === undefined
      ? await plain.bytes()
      : encode(fitted, plain.dataType as FloatDataType);
  };
  return { ...plain, bytes };
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
    const fit = () =>
      refitOne(model, statistics!, plan, structure, { refit, domainWeights, signal });
    const projection = keptOrMade(job.options.keptFits, key, fit).then((result) => {
      refits.push(result.row);
      return result;
    });
    job.latest = { key, projection };
  }
  return job.latest.projection!;
}
