/**
 * The closed-form correction of a closing projection after some of its inputs have gone (METHOD 7).
 *
 * Least squares against the layer's own output: Meng and others, "OSSCAR", 2024; Ling and others, "SlimGPT", 2024. The
 * bias of the mean alone: An and others, "Fluctuation-based Adaptive Structured Pruning" (FLAP), 2024.
 * @module
 */
import { StatisticsError } from "../errors.ts";
import type { RefitRow } from "../evaluate/report.ts";
import { addingWith } from "../linear/adding.ts";
import { factorDamped, solveInPlace } from "../linear/cholesky.ts";
import { discard } from "../linear/discard.ts";
import { makePace, type Pace } from "../linear/pace.ts";
import {
  type AddProduct,
  type Multiply,
  multiplyTransposed,
  part,
  take,
  transpose,
  whole,
} from "../linear/product.ts";
import type { Structure } from "../model/types.ts";
import { defaultRidge } from "../plan/obs.ts";
import type { Refit } from "../plan/types.ts";
import type { InputMoments, JudgingMoments } from "./moments.ts";

/** Fewer tokens than this for each channel that stays, and least squares would fit noise. */
export const leastTokensPerChannel = 4;

/** Stripes that a product as large as a Gram matrix is made in, and the least columns of one. */
const STRIPES = 8, LEAST_COLUMNS = 128;

/** What {@linkcode refitLayer} needs. */
export interface RefitTask {
  /** Counted from 0. */
  readonly layer: number;
  /** The kind of unit that was removed. */
  readonly structure: Structure;
  /** What to do. */
  readonly refit: Refit;
  /** The dense closing projection W, row-major, `[m, n]`. */
  readonly weight: Float32Array;
  /** Its bias `[m]`, where the model has one. */
  readonly bias?: Float32Array;
  /** Channels that stay, ascending. */
  readonly kept: readonly number[];
  /** What to fit; with a Gram matrix for `lsq`. */
  readonly moments: InputMoments;
  /** What to judge the fit on; the same as `moments` if absent. */
  readonly heldOut?: JudgingMoments;
  /**
   * Whether the Gram matrix to fit may be used up, which saves memory for a copy of most of it. Default false; without
   * effect where there is nothing else to judge on.
   */
  readonly usesUp?: boolean;
  /** λ, the ridge as a share of the mean of the Gram matrix' diagonal. Default 1e-2. */
  readonly ridge?: number;
  /** What makes products. Default: this program's own code. */
  readonly multiply?: Multiply;
  /** Cancels the work. */
  readonly signal?: AbortSignal;
}

/** What becomes of a closing projection. */
export interface RefittedProjection {
  /** The new weights, row-major, `[m, kept]`. */
  readonly weight: Float32Array;
  /** The new bias `[m]`: where there was one, and with the refit `bias`. */
  readonly bias?: Float32Array;
  /** What was done and what it came to. */
  readonly row: RefitRow;
}

/**
 * Corrects a closing projection for the channels P that have gone, S being those that stay:
 *
 * - `lsq`: W′ = W_S + W_P G_PS (G_SS + λ · mean(diag G) · I)⁻¹, the least-squares solution with a ridge that draws to the
 *   weights as they were, so that nothing changes where nothing is known, and W′ = W where nothing is removed.
 * - `lsq` where the projection has a bias: the same with C = G − mass · μμᵀ in place of G, and b′ = b + Wμ − W′μ_S.
 * - `bias`: W′ = W_S, b′ = b + W_P μ_P.
 * - `none`: W′ = W_S.
 *
 * A refit that has too few tokens, or that on the windows kept back leaves more output error than none, is dropped, and
 * the row says so. Errors are E‖Wx + b − W′x_S − b′‖² / E‖Wx‖²; where a bias takes part, with means of the windows
 * that were summed (none are taken of those kept back); without any Gram matrix, as FLAP does, as if channels were
 * uncorrelated.
 *
 * @param task Weights, channels and moments
 * @returns The new projection, and what it came to
 * @throws {StatisticsError} if `lsq` is asked for without a Gram matrix, or sizes do not fit
 * @throws {CancelledError} if the signal is aborted
 */
export async function refitLayer(task: RefitTask): Promise<RefittedProjection> {
  const { layer, structure, refit, moments, heldOut = moments } = task;
  const sizes = checkTask(task);
  const work: RefitWork = {
    pace: makePace(task.signal),
    multiply: task.multiply ?? multiplyTransposed,
    add: addingWith(task.multiply),
  };
  const plain: Candidate = {
    weight: take(task.weight, sizes.n, range(sizes.m), task.kept),
    bias: task.bias === undefined ? undefined : Float64Array.from(task.bias),
  };
  const dense = new Float64Array(task.weight);
  const energy = await outputEnergy(dense, sizes.m, heldOut, work);
  discard(dense);
  const share = (error: number) => energy > 0 ? Math.max(0, error) / energy : 0;
  const lost = take(task.weight, sizes.n, range(sizes.m), sizes.gone);
  const plainError = share(await lostEnergy(lost, sizes, heldOut, work));
  discard(lost);
  const row = (done: Refit, refittedError: number, fallback?: string): RefitRow => ({
    layer,
    structure,
    refit: done,
    plainError,
    refittedError,
    ...(fallback === undefined ? {} : { fallback }),
  });
  const unchanged = (fallback?: string) => finish(task, plain, row("none", plainError, fallback));
  if (refit === "none" || task.kept.length === sizes.n) return unchanged();
  const wanted = leastTokensPerChannel * task.kept.length;
  if (refit === "lsq" && moments.tokens < wanted) {
    return unchanged(`${moments.tokens} tokens are too few for ${task.kept.length} channels`);
  }
  const candidate = refit === "lsq"
    ? await leastSquares(task, sizes, plain, work)
    : { weight: plain.weight, bias: meanBias(task, sizes) };
  const error = share(await candidateError(task, sizes, candidate, heldOut, work));
  if (!(error <= plainError)) {
    return unchanged(`'${refit}' made the output worse on the windows kept back`);
  }
  return finish(task, candidate, row(refit, error));
}

interface Sizes {
  /** Outputs. */
  readonly m: number;
  /** Inputs. */
  readonly n: number;
  /** Channels that have gone, ascending. */
  readonly gone: readonly number[];
}

/** What makes products, and is called between them. */
interface RefitWork {
  readonly add: AddProduct;
  readonly multiply: Multiply;
  readonly pace: Pace;
}

/** A projection in float64: weights `[m, kept]`, bias `[m]`. */
interface Candidate {
  readonly weight: Float64Array;
  readonly bias?: Float64Array;
}

function checkTask({ weight, bias, kept, moments, heldOut, refit }: RefitTask): Sizes {
  const n = moments.mean.length;
  const m = weight.length / n;
  const grams = [moments.gram, heldOut?.gram].filter((gram) => gram !== undefined);
  const fits = Number.isInteger(m) && m > 0 && (bias?.length ?? m) === m &&
    grams.every((gram) => gram.length === n * n) && kept.length > 0 &&
    kept.every((channel, i) =>
      Number.isInteger(channel) && channel < n && !(channel <= kept[i - 1])
    );
  if (!fits) {
    throw new StatisticsError(
      `Cannot refit: ${weight.length} weights, statistics over ${n} channels and ${kept.length} channels that stay do not fit together`,
    );
  }
  if (refit === "lsq" && moments.gram === undefined) {
    throw new StatisticsError(
      "Cannot refit by 'lsq': these statistics were taken without Gram matrices; calibrate again with --refit lsq, or use --refit none",
    );
  }
  const stays = new Set(kept);
  return { m, n, gone: range(n).filter((channel) => !stays.has(channel)) };
}

async function leastSquares(
  task: RefitTask,
  { m, n, gone }: Sizes,
  plain: Candidate,
  work: RefitWork,
): Promise<Candidate> {
  const { kept, moments, ridge = defaultRidge } = task;
  const gram = moments.gram!;
  let damping = 0;
  for (let j = 0; j < n; j++) damping += ridge * gram[j * (n + 1)] / n;
  const between = take(gram, n, kept, gone);
  const usesUp = task.usesUp === true && task.heldOut !== undefined;
  const own = usesUp ? takeInPlace(gram, n, kept) : take(gram, n, kept, kept);
  if (plain.bias !== undefined) {
    centre(between, moments, kept, gone);
    centre(own, moments, kept, kept);
  }
  const lost = whole(take(task.weight, n, range(m), gone), m, gone.length);
  const right = whole(between, kept.length, gone.length);
  const weight = await work.multiply(lost, right, work.pace);
  discard(lost.data, between);
  await factorDamped(own, kept.length, damping, work);
  await solveInPlace(own, kept.length, weight, m, work);
  discard(usesUp ? gram : own);
  for (let index = 0; index < weight.length; index++) weight[index] += plain.weight[index];
  if (plain.bias === undefined) return { weight };
  const dense = timesVector(task.weight, m, moments.mean);
  const now = timesVector(weight, m, kept.map((channel) => moments.mean[channel]));
  return { weight, bias: plain.bias.map((value, i) => value + dense[i] - now[i]) };
}

/** Some rows, and the same columns, of a matrix, moved to its beginning; what else there was is lost. */
function takeInPlace(matrix: Float64Array, stride: number, kept: readonly number[]): Float64Array {
  let to = 0;
  // They ascend: nothing is overwritten that is still to be moved.
  for (let row = 0; row < kept.length; row++) {
    const start = kept[row] * stride;
    for (let column = 0; column < kept.length; column++) {
      matrix[to++] = matrix[start + kept[column]];
    }
  }
  return matrix.subarray(0, to);
}

/** From second moments to covariances: − mass · μ μᵀ. */
function centre(
  matrix: Float64Array,
  { mean, mass }: InputMoments,
  rows: readonly number[],
  columns: readonly number[],
): void {
  let position = 0;
  for (const row of rows) {
    for (const column of columns) matrix[position++] -= mass * mean[row] * mean[column];
  }
}

/** b + W_P μ_P. */
function meanBias({ weight, bias, moments }: RefitTask, { m, n, gone }: Sizes): Float64Array {
  const lost = take(weight, n, range(m), gone);
  const shift = timesVector(lost, m, gone.map((channel) => moments.mean[channel]));
  return shift.map((value, i) => value + (bias?.[i] ?? 0));
}

/** E‖ΔW x + δ‖², with ΔW = W − W′ and δ = b − b′. */
async function candidateError(
  task: RefitTask,
  { m, n }: Sizes,
  { weight, bias }: Candidate,
  moments: JudgingMoments,
  work: RefitWork,
): Promise<number> {
  const change = new Float64Array(task.weight);
  for (let row = 0, at = 0; row < m; row++) {
    for (const channel of task.kept) change[row * n + channel] -= weight[at++];
  }
  const offset = bias?.map((value, i) => (task.bias?.[i] ?? 0) - value);
  const energy = await outputEnergy(change, m, moments, work, offset);
  discard(change);
  return energy;
}

/** E‖W_P x_P‖² of the channels P that have gone. */
async function lostEnergy(
  lost: Float64Array,
  { m, gone }: Sizes,
  moments: JudgingMoments,
  work: RefitWork,
): Promise<number> {
  if (moments.gram !== undefined) return await quadraticEnergy(lost, m, moments, work, gone);
  const pick = (values: Float64Array) => Float64Array.from(gone, (channel) => values[channel]);
  const { mean, meanSquare } = moments;
  return uncorrelatedEnergy(lost, m, {
    ...moments,
    mean: pick(mean),
    meanSquare: pick(meanSquare),
  });
}

/** E‖A x + δ‖² = tr(A G Aᵀ) + 2 mass · δᵀAμ + mass · ‖δ‖². */
async function outputEnergy(
  matrix: Float64Array,
  m: number,
  moments: JudgingMoments,
  work: RefitWork,
  offset?: Float64Array,
): Promise<number> {
  const { mean, mass } = moments;
  let energy = moments.gram === undefined
    ? uncorrelatedEnergy(matrix, m, moments)
    : await quadraticEnergy(matrix, m, moments, work);
  if (offset === undefined) return energy;
  const means = timesVector(matrix, m, mean);
  for (let i = 0; i < m; i++) energy += mass * offset[i] * (2 * means[i] + offset[i]);
  return energy;
}

/**
 * tr(A G Aᵀ) as the sum of (AᵀA) ∘ G, of which one half is enough: a stripe of columns at a time, so that it is never
 * whole. The columns of A are those of some channels, of all by default.
 */
async function quadraticEnergy(
  matrix: Float64Array,
  m: number,
  { gram, mean }: JudgingMoments,
  { multiply, pace }: RefitWork,
  channels: readonly number[] = range(mean.length),
): Promise<number> {
  const n = channels.length;
  const columns = transpose(matrix, m, n);
  const atOnce = Math.max(LEAST_COLUMNS, Math.ceil(n / STRIPES));
  const sums = new Float64Array(n);
  const diagonal = new Float64Array(n);
  for (let first = 0; first < n; first += atOnce) {
    const end = Math.min(first + atOnce, n);
    const products = await multiply(
      part(columns, m, [first, n], [0, m]),
      part(columns, m, [first, end], [0, m]),
      pace,
    );
    addShared(
      { products, gram: gram!, stride: mean.length, channels },
      [first, end],
      sums,
      diagonal,
    );
    discard(products);
  }
  discard(columns);
  let energy = 0;
  for (let row = 0; row < n; row++) energy += 2 * sums[row] + diagonal[row];
  return energy;
}

/** A stripe of AᵀA, from its diagonal on, and the matrix that it is multiplied with. */
interface Stripe {
  readonly products: Float64Array;
  readonly gram: Float32Array | Float64Array;
  readonly stride: number;
  readonly channels: readonly number[];
}

/** Adds what lies below the diagonal of (AᵀA) ∘ G, row by row, and takes what lies on it. */
function addShared(
  { products, gram, stride, channels }: Stripe,
  [first, end]: readonly [number, number],
  sums: Float64Array,
  diagonal: Float64Array,
): void {
  for (let row = first; row < channels.length; row++) {
    const from = (row - first) * (end - first) - first;
    const start = channels[row] * stride;
    let sum = sums[row];
    for (let column = first; column < Math.min(end, row); column++) {
      sum += products[from + column] * gram[start + channels[column]];
    }
    sums[row] = sum;
    if (row < end) diagonal[row] = products[from + row] * gram[start + channels[row]];
  }
}

/** The same if channels were uncorrelated: Σ_j ‖A_:j‖² Var x_j + mass · ‖Aμ‖². */
function uncorrelatedEnergy(
  matrix: Float64Array,
  m: number,
  { meanSquare, mean, mass }: JudgingMoments,
): number {
  const n = mean.length;
  let energy = 0;
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < n; j++) {
      const variance = Math.max(0, meanSquare[j] - mass * mean[j] ** 2);
      energy += matrix[row * n + j] ** 2 * variance;
    }
  }
  return timesVector(matrix, m, mean).reduce((sum, value) => sum + mass * value ** 2, energy);
}

function timesVector(
  matrix: Float64Array | Float32Array,
  rows: number,
  vector: ArrayLike<number>,
): Float64Array {
  const product = new Float64Array(rows);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < vector.length; column++) {
      product[row] += matrix[at++] * vector[column];
    }
  }
  return product;
}

function finish(task: RefitTask, { weight, bias }: Candidate, row: RefitRow): RefittedProjection {
  // A fallback of the refit `bias` still fills the slot that the model has been given.
  const zeros = task.refit === "bias" && bias === undefined
    ? new Float64Array(task.weight.length / task.moments.mean.length)
    : bias;
  return {
    weight: Float32Array.from(weight),
    ...(zeros === undefined ? {} : { bias: Float32Array.from(zeros) }),
    row,
  };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
