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
import { choleskyDamped, solveCholesky } from "../linear/cholesky.ts";
import { makePace, type Pace } from "../linear/pace.ts";
import {
  type AddProduct,
  type Multiply,
  multiplyTransposed,
  take,
  transpose,
  whole,
} from "../linear/product.ts";
import type { Structure } from "../model/types.ts";
import { defaultRidge } from "../plan/obs.ts";
import type { Refit } from "../plan/types.ts";
import type { InputMoments } from "./moments.ts";

/** Fewer tokens than this for each channel that stays, and least squares would fit noise. */
export const leastTokensPerChannel = 4;

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
  readonly heldOut?: InputMoments;
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
  const energy = await outputEnergy(Float64Array.from(task.weight), sizes.m, heldOut, work);
  const share = (error: number) => energy > 0 ? Math.max(0, error) / energy : 0;
  const lost = take(task.weight, sizes.n, range(sizes.m), sizes.gone);
  const plainError = share(
    await outputEnergy(lost, sizes.m, momentsAmong(heldOut, sizes.gone), work),
  );
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
  const gram = moments.gram ?? new Float64Array(n * n);
  let damping = 0;
  for (let j = 0; j < n; j++) damping += ridge * gram[j * (n + 1)] / n;
  const between = take(gram, n, kept, gone);
  const own = take(gram, n, kept, kept);
  if (plain.bias !== undefined) {
    centre(between, moments, kept, gone);
    centre(own, moments, kept, kept);
  }
  const lost = whole(take(task.weight, n, range(m), gone), m, gone.length);
  const right = whole(between, kept.length, gone.length);
  const target = await work.multiply(lost, right, work.pace);
  const { factor } = await choleskyDamped(own, kept.length, damping, work);
  const weight = await solveCholesky(factor, kept.length, target, m, work);
  for (let index = 0; index < weight.length; index++) weight[index] += plain.weight[index];
  if (plain.bias === undefined) return { weight };
  const dense = timesVector(task.weight, m, moments.mean);
  const now = timesVector(weight, m, kept.map((channel) => moments.mean[channel]));
  return { weight, bias: plain.bias.map((value, i) => value + dense[i] - now[i]) };
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
  moments: InputMoments,
  work: RefitWork,
): Promise<number> {
  const change = Float64Array.from(task.weight);
  for (let row = 0, at = 0; row < m; row++) {
    for (const channel of task.kept) change[row * n + channel] -= weight[at++];
  }
  const offset = bias?.map((value, i) => (task.bias?.[i] ?? 0) - value);
  return await outputEnergy(change, m, moments, work, offset);
}

/** The moments of some channels alone. */
function momentsAmong(moments: InputMoments, channels: readonly number[]): InputMoments {
  const pick = (values: Float64Array) => Float64Array.from(channels, (channel) => values[channel]);
  const { gram, mean, meanSquare } = moments;
  return {
    ...moments,
    gram: gram && take(gram, mean.length, channels, channels),
    mean: pick(mean),
    meanSquare: pick(meanSquare),
  };
}

/** E‖A x + δ‖² = tr(A G Aᵀ) + 2 mass · δᵀAμ + mass · ‖δ‖². */
async function outputEnergy(
  matrix: Float64Array,
  m: number,
  moments: InputMoments,
  work: RefitWork,
  offset?: Float64Array,
): Promise<number> {
  const { mean, mass } = moments;
  let energy = moments.gram === undefined
    ? uncorrelatedEnergy(matrix, m, moments)
    : await quadraticEnergy(matrix, m, moments.gram, work);
  if (offset === undefined) return energy;
  const means = timesVector(matrix, m, mean);
  for (let i = 0; i < m; i++) energy += mass * offset[i] * (2 * means[i] + offset[i]);
  return energy;
}

/** tr(A G Aᵀ) as the sum of (AᵀA) ∘ G, of which one half is enough. */
async function quadraticEnergy(
  matrix: Float64Array,
  m: number,
  gram: Float64Array,
  { add, pace }: RefitWork,
): Promise<number> {
  const n = matrix.length / m;
  const columns = whole(transpose(matrix, m, n), n, m);
  const products = new Float64Array(n * n);
  await add(whole(products, n, n), columns, columns, { lowerOnly: true, pace });
  let energy = 0;
  for (let row = 0; row < n; row++) {
    let sum = 0;
    for (let column = 0; column < row; column++) {
      sum += products[row * n + column] * gram[row * n + column];
    }
    energy += 2 * sum + products[row * (n + 1)] * gram[row * (n + 1)];
  }
  return energy;
}

/** The same if channels were uncorrelated: Σ_j ‖A_:j‖² Var x_j + mass · ‖Aμ‖². */
function uncorrelatedEnergy(
  matrix: Float64Array,
  m: number,
  { meanSquare, mean, mass }: InputMoments,
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
