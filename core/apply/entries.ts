/**
 * The tensors of a pruned model, each made when its turn to be written comes.
 * @module
 */
import { familyOf } from "../model/families.ts";
import { blockTensors } from "../model/open.ts";
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
import { blockTensorShape, outerRoles, unitCount } from "../model/units.ts";
import type { LayerPlan } from "../plan/types.ts";
import { copiedEntry, type OutputDataType, outputDataType } from "./model_folder.ts";
import { keptOrMade } from "./kept_fits.ts";
import { refitWeights } from "./moments.ts";
import type { RefittedProjection } from "./refit.ts";
import { refitOne } from "./refit_one.ts";
import {
  closingRoles,
  keptSlices,
  keptUnits,
  sliceBytes,
  sliceNumbers,
  sliceShape,
} from "./slice.ts";
import type { Job } from "./job.ts";

/**
 * The kinds of unit that a layer loses some of.
 *
 * @param model The dense model
 * @param plan The layer's plan
 * @returns Kinds; none where the layer stays whole
 */
export function cutKinds(model: Model, plan: LayerPlan): readonly Structure[] {
  const shape = model.architecture.layers[plan.layer];
  return (["ffn", "heads"] as const).filter((structure) =>
    keptUnits(plan, structure).length < unitCount(shape, structure)
  );
}

/**
 * The tensors outside the blocks, and any that the family ignores: a copy leaves nothing out.
 *
 * @param job What is carried out
 * @returns The final norm first, then the others
 */
export function outerEntries(job: Job): readonly [TensorEntry, ...TensorEntry[]] {
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

/**
 * The tensors of one layer.
 *
 * @param job What is carried out
 * @param plan The layer's plan
 * @returns Entries of a file
 */
export function layerEntries(job: Job, plan: LayerPlan): TensorEntry[] {
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
