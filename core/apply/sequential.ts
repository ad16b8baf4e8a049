/**
 * The refit block by block (METHOD 7, the sequential form): inputs come from the blocks pruned so far, targets from the
 * dense model, so that each block also makes up for what those before it left wrong.
 *
 * Two things are fitted in closed form. Closing projections (`o_proj`, `down_proj`) so that the residual stream after
 * them becomes the dense model's: W′ = W + (C − W G)(G + λ I)⁻¹. And where the stream has drifted, the projections that
 * read it: with A the map from the pruned model's normed stream to the dense model's, W′ = W A for `q_proj`, `k_proj`,
 * `v_proj`, `gate_proj` and `up_proj`. Every fit must lessen the error on windows kept back, or is left out.
 * @module
 */
import type { DomainWindows, Statistics } from "../calibrate/types.ts";
import { onceMore } from "../engine/again.ts";
import { multiplier } from "../engine/multiply.ts";
import type { Engine } from "../engine/types.ts";
import { StatisticsError } from "../errors.ts";
import type { RefitRow } from "../evaluate/report.ts";
import { discard } from "../linear/discard.ts";
import { fitError, fitWeights } from "../linear/fit.ts";
import { makePace, type Pace } from "../linear/pace.ts";
import { type Multiply, transpose, whole } from "../linear/product.ts";
import { leastOnLine } from "../linear/least.ts";
import { blockTensors, outerTensor } from "../model/open.ts";
import { isView, memoryTensor, readTensor } from "../model/safetensors.ts";
import type {
  Architecture,
  BlockRole,
  BlockTensors,
  LayerShape,
  Model,
  Structure,
  Tensor,
} from "../model/types.ts";
import { blockRoles, unitCount } from "../model/units.ts";
import type { LayerPlan, Plan } from "../plan/types.ts";
import type { WorkOptions } from "../progress.ts";
import type { FitPair } from "./fit_sums.ts";
import type { KeptFits } from "./kept_fits.ts";
import { prunedBlockTensors } from "./pruned_block.ts";
import { refitWeights } from "./moments.ts";
import { shapeAfter } from "./slice.ts";
import { StreamPair } from "./streams.ts";

/** Tokens for each channel that a fit is made from, where there are so many: more cost time and bring nothing. */
export const tokensPerChannel = 96;

/** λ of every fit, as a share of the mean of its Gram matrix' diagonal. */
export const sequentialRidge = 0.05;

/** Where the scale of the final norm is sought. */
const scaleSearch = { lowest: 0.6, highest: 1.2, evaluations: 8 } as const;

/** The final norm after the refit. */
export interface ScaledNorm {
  /** What it was multiplied by. */
  readonly scale: number;
  /** Its weight, `[hidden]`. */
  readonly weight: Float32Array;
}

/** One layer after the refit. */
export interface SequentialLayer {
  /** Counted from 0. */
  readonly layer: number;
  /** Its sizes. */
  readonly shape: LayerShape;
  /** Its tensors: in memory where they were fitted. */
  readonly tensors: BlockTensors;
  /** The weights that were fitted, by role. */
  readonly fitted: ReadonlyMap<BlockRole, Float32Array>;
  /** What the fits of the closing projections came to. */
  readonly rows: readonly RefitRow[];
}

const readers = {
  before: {
    norm: "attentionNorm",
    roles: ["q_proj.weight", "k_proj.weight", "v_proj.weight"],
  },
  middle: { norm: "ffnNorm", roles: ["gate_proj.weight", "up_proj.weight"] },
} as const;

/**
 * Whether a model can be refitted block by block. The fits take what a closing projection gives as what is added to the
 * stream, and the FFN's input as the stream after attention. Norms after the projections (OLMo 2, Gemma 2 and 3) make
 * the first untrue, a parallel residual (GPT-NeoX) the second: there each layer is refitted by itself, against its own
 * dense output in front of any norm, which holds for every family.
 *
 * @param architecture What the model computes
 * @returns True where blocks add as Llama's do
 */
export function refitsSequentially(architecture: Architecture): boolean {
  const roles = blockRoles(architecture);
  return architecture.parallelResidual === undefined &&
    !roles.includes("attentionPostNorm.weight") && !roles.includes("ffnPostNorm.weight");
}

/**
 * Refits a pruned model block by block, first to last.
 *
 * @param engine What runs blocks
 * @param model The dense model
 * @param plan What stays of it
 * @param statistics What calibration found, with its windows
 * @param options Progress and cancelling; where finished layers are kept
 * @returns Layer after layer; at the end the final norm, where another scale is better
 * @throws {StatisticsError} if the statistics have no windows
 * @throws {CancelledError} if cancelled
 */
export async function* refitSequentially(
  engine: Engine,
  model: Model,
  plan: Plan,
  statistics: Statistics,
  options: WorkOptions & { readonly keptFits?: KeptFits } = {},
): AsyncGenerator<SequentialLayer, ScaledNorm | undefined> {
  if (statistics.windows === undefined) {
    throw new StatisticsError(
      "Cannot refit block by block: these statistics were saved without their windows; calibrate again",
    );
  }
  const weights = refitWeights(plan, statistics.domains.map(({ name }) => name));
  const streams = await StreamPair.open(engine, model, fewerWindows(model, statistics.windows), {
    weights,
    signal: options.signal,
  });
  const total = plan.layers.length;
  try {
    let drifted = false;
    for (const layer of plan.layers) {
      const pace = makePace(options.signal);
      const work = { model, streams, plan: layer, drifted, pace, multiply: multiplier(engine) };
      const result: RefittedLayer = await onceMore(() => keptOrRefitted(work, options.keptFits));
      drifted = result.drifted;
      options.onProgress?.({ stage: "apply", done: layer.layer + 1, total, unit: "blocks" });
      yield result.layer;
    }
    return drifted ? await scaleFinalNorm(model, streams, makePace(options.signal)) : undefined;
  } finally {
    streams.close();
  }
}

/**
 * The final norm, scaled by the factor that gives the least loss on windows kept back. A norm gives the stream of a cut
 * model the size that the dense one has, whatever part of it is error: unless it is scaled down, the model is too sure
 * of what it says. (Scaling each channel by least squares against the dense stream did worse in trials.) Being less sure
 * than the dense model of texts that it does not know is no aim: see {@link lossBeyondDense}.
 */
async function scaleFinalNorm(
  model: Model,
  streams: StreamPair,
  pace: Pace,
): Promise<ScaledNorm | undefined> {
  const before = await readTensor(outerTensor(model, "finalNorm.weight"));
  // What is stored may be the weight less an offset; a LayerNorm's bias stays as it is.
  const { normOffset = 0 } = model.architecture;
  const scaled = (scale: number) =>
    before.map((weight) => (weight + normOffset) * scale - normOffset);
  const norm = (scale: number) => memoryTensor([before.length], scaled(scale));
  const dense = await streams.losses("dense", norm(1));
  const lossAt = async (scale: number) => {
    await pace();
    return lossBeyondDense(await streams.losses("pruned", norm(scale)), dense, streams.weights);
  };
  const best = await leastOnLine(lossAt, scaleSearch);
  return best.value < await lossAt(1) ? { scale: best.at, weight: scaled(best.at) } : undefined;
}

/**
 * The loss that a cut costs: domains weighted, none better than the dense model. Of a text that the model never knew
 * any flatter prediction is a better one; without the bound, the scale would be chosen to gain there, and what the
 * model does know would pay for it.
 *
 * @param losses Nats per token of each domain; NaN for a domain that was not measured
 * @param dense Those of the dense model
 * @param weights How much each domain counts
 * @returns Nats per token
 * @example
 * ```ts
 * import { lossBeyondDense } from "./sequential.ts";
 * console.log(lossBeyondDense([2, 5], [1, 6], [0.5, 0.5])); // (2 + 6) / 2 = 4
 * ```
 */
export function lossBeyondDense(
  losses: readonly number[],
  dense: readonly number[],
  weights: readonly number[],
): number {
  let [sum, total] = [0, 0];
  for (const [domain, loss] of losses.entries()) {
    if (!(weights[domain] > 0) || Number.isNaN(loss)) continue;
    sum += weights[domain] * Math.max(loss, dense[domain]);
    total += weights[domain];
  }
  return sum / total;
}

/** As many of each domain's windows as the widest fit needs. */
function fewerWindows(
  model: Model,
  windows: readonly DomainWindows[],
): readonly DomainWindows[] {
  const { layers, headSize } = model.architecture;
  const widest = Math.max(
    ...layers.map(({ ffnWidth, queryHeads }) => Math.max(ffnWidth, queryHeads * headSize)),
  );
  const tokens = windows.reduce(
    (sum, { calibration }) => sum + calibration.length * (calibration[0]?.length ?? 0),
    0,
  );
  const share = Math.min(1, tokensPerChannel * widest / tokens);
  const some = (all: readonly Int32Array[]) =>
    all.slice(0, Math.max(Math.min(1, all.length), Math.ceil(share * all.length)));
  return windows.map(({ name, calibration, heldOut }) => ({
    name,
    calibration: some(calibration),
    heldOut: some(heldOut),
  }));
}

interface LayerWork {
  readonly model: Model;
  readonly streams: StreamPair;
  readonly plan: LayerPlan;
  /** Whether the pruned stream before the layer is another than the dense one. */
  readonly drifted: boolean;
  readonly pace: Pace;
  /** What multiplies matrices. */
  readonly multiply: Multiply;
}

interface RefittedLayer {
  readonly layer: SequentialLayer;
  /** Whether the pruned stream after the layer is another than the dense one. */
  readonly drifted: boolean;
}

/** A layer that an earlier run has fitted is not fitted again: the streams alone run through it. */
async function keptOrRefitted(work: LayerWork, kept?: KeptFits): Promise<RefittedLayer> {
  const { model, streams, plan } = work;
  const name = `layer ${plan.layer}`;
  const known = await kept?.read(name);
  if (known === undefined) {
    const result = await refitOneLayer(work);
    const { fitted: weights, rows } = result.layer;
    await kept?.write(name, { weights, words: { rows, drifted: result.drifted } });
    return result;
  }
  const { rows, drifted } = known.words as { rows: readonly RefitRow[]; drifted: boolean };
  const { architecture } = model;
  const before = architecture.layers[plan.layer];
  const shape = shapeAfter(before, plan);
  const tensors = new Map(await prunedBlockTensors(model, plan));
  const fitted = known.weights as ReadonlyMap<BlockRole, Float32Array>;
  for (const [role, weight] of fitted) {
    tensors.set(role, memoryTensor(tensors.get(role)!.shape, weight));
  }
  await streams.runDense({ architecture, shape: before, tensors: blockTensors(model, plan.layer) });
  await streams.advance(drifted ? { architecture, shape, tensors } : undefined);
  return { layer: { layer: plan.layer, shape, tensors, fitted, rows }, drifted };
}

async function refitOneLayer(work: LayerWork): Promise<RefittedLayer> {
  const { model, streams, plan, drifted } = work;
  const { architecture } = model;
  const before = architecture.layers[plan.layer];
  const shape = shapeAfter(before, plan);
  const cut = (structure: Structure) => unitCount(shape, structure) < unitCount(before, structure);
  const tensors = new Map(await prunedBlockTensors(model, plan));
  const block = { architecture, shape, tensors };
  const fitted = new Map<BlockRole, Float32Array>();
  const rows: RefitRow[] = [];
  await streams.runDense({
    architecture,
    shape: before,
    tensors: blockTensors(model, plan.layer),
  });
  const set = (role: BlockRole, weight: Float32Array) => {
    fitted.set(role, weight);
    tensors.set(role, memoryTensor(tensors.get(role)!.shape, weight));
  };
  if (drifted) await fitReaders(work, block, "before", set);
  if (drifted || cut("heads")) rows.push(...await fitClosing(work, block, "heads", cut, set));
  const middleDrifted = drifted || cut("heads");
  if (middleDrifted) {
    await streams.runToMiddle(block);
    await fitReaders(work, block, "middle", set);
  }
  const afterDrifted = middleDrifted || cut("ffn");
  if (afterDrifted) rows.push(...await fitClosing(work, block, "ffn", cut, set));
  streams.announceDense(plan.layer + 1);
  await streams.advance(afterDrifted ? block : undefined);
  return {
    layer: { layer: plan.layer, shape, tensors, fitted, rows },
    drifted: afterDrifted,
  };
}

interface WorkingBlock {
  readonly architecture: Model["architecture"];
  readonly shape: LayerShape;
  readonly tensors: Map<
    BlockRole,
    BlockTensors extends ReadonlyMap<BlockRole, infer T> ? T : never
  >;
}

type SetWeight = (role: BlockRole, weight: Float32Array) => void;

async function fitClosing(
  work: LayerWork,
  block: WorkingBlock,
  structure: Structure,
  cut: (structure: Structure) => boolean,
  set: SetWeight,
): Promise<readonly RefitRow[]> {
  const { plan, streams } = work;
  const projection = structure === "ffn" ? "down_proj" : "o_proj";
  const role: BlockRole = `${projection}.weight`;
  const bias = block.tensors.get(`${projection}.bias`);
  const sums = await streams.fitClosing(block, structure, bias && await readTensor(bias));
  const plain = () => inDouble(block.tensors.get(role)!);
  const { plainError, refittedError, weights } = await judgedFit(plain, sums, work);
  const better = refittedError < plainError;
  if (better) set(role, Float32Array.from(weights));
  discard(weights);
  // A projection that lost nothing is only brought back to the dense stream; the report is about cuts.
  if (!cut(structure)) return [];
  return [{
    layer: plan.layer,
    structure,
    refit: better ? "lsq" : "none",
    plainError,
    refittedError: better ? refittedError : plainError,
    ...(better ? {} : { fallback: "'lsq' made the output worse on the windows kept back" }),
  }];
}

/** W′ = W A for the projections that read a drifted stream, A being fitted from the identity. */
async function fitReaders(
  work: LayerWork,
  block: WorkingBlock,
  place: "before" | "middle",
  set: SetWeight,
): Promise<void> {
  const { streams, pace, multiply } = work;
  const { hiddenSize } = block.architecture;
  const { norm, roles } = readers[place];
  const sums = await streams.fitStream(
    place,
    block.tensors.get(`${norm}.weight`)!,
    block.tensors.get(`${norm}.bias`),
  );
  const identity = () => {
    const matrix = new Float64Array(hiddenSize * hiddenSize);
    for (let j = 0; j < hiddenSize; j++) matrix[j * (hiddenSize + 1)] = 1;
    return matrix;
  };
  const { plainError, refittedError, weights: map } = await judgedFit(identity, sums, work);
  // The identity may meet the dense stream as well.
  if (!(refittedError < plainError)) return;
  const turned = whole(transpose(map, hiddenSize, hiddenSize), hiddenSize, hiddenSize);
  for (const role of roles) {
    const tensor = block.tensors.get(role);
    if (tensor === undefined) continue;
    const weights = await inDouble(tensor);
    const rows = weights.length / hiddenSize;
    const mapped = await multiply(whole(weights, rows, hiddenSize), turned, pace);
    discard(weights);
    set(role, Float32Array.from(mapped));
    discard(mapped);
  }
}

/** Weights fitted from others, and the errors of both on what they are judged on; the sums are closed. */
async function judgedFit(
  before: () => Float64Array | Promise<Float64Array>,
  sums: FitPair,
  { pace, multiply }: Pick<LayerWork, "pace" | "multiply">,
): Promise<{
  readonly plainError: number;
  readonly refittedError: number;
  readonly weights: Float64Array;
}> {
  try {
    const plain = await before();
    // One of the two is in memory at a time, and what it is worked on takes its place.
    const weights = await fitWeights(plain, sums.takeFit(), {
      ridge: sequentialRidge,
      usesUp: true,
      pace,
      multiply,
    });
    const judge = sums.takeJudge();
    const plainError = await fitError(plain, judge, pace, multiply);
    const refittedError = await fitError(weights, judge, pace, multiply);
    discard(plain, judge.gram, judge.cross);
    return { plainError, refittedError, weights };
  } finally {
    sums.close();
  }
}

/** A tensor's numbers in double precision, the caller's own. */
async function inDouble(tensor: Tensor): Promise<Float64Array> {
  const numbers = await readTensor(tensor);
  const result = new Float64Array(numbers);
  if (isView(tensor)) discard(numbers);
  return result;
}
