/**
 * Removal by exact output error, the metric `obs`.
 *
 * A unit's channels are columns of the closing projection W `[m, n]`. What their loss costs in output error
 * tr(ΔW H ΔWᵀ), after the columns that stay have been refitted to make up for it, follows from H⁻¹ alone (Hassibi and
 * Stork, "Second Order Derivatives for Network Pruning: Optimal Brain Surgeon", 1992; for groups of columns Kurtić,
 * Frantar and Alistarh, "ZipLM", 2023, and Ling and others, "SlimGPT", 2024). H = G + λ · mean(diag G) · I, with G the
 * Gram matrix of the projection's inputs.
 * @module
 */
import type { RemovalOrder } from "../calibrate/types.ts";
import { discard } from "../linear/discard.ts";
import { PlanError } from "../errors.ts";
import { addingWith } from "../linear/adding.ts";
import { choleskyDamped, factorDamped, invertSymmetric } from "../linear/cholesky.ts";
import { makePace } from "../linear/pace.ts";
import { type Multiply, multiplyTransposed, take, transpose, whole } from "../linear/product.ts";
import {
  diagonalSum,
  range,
  Remaining,
  type RemainingStart,
  type RemovalWork,
  rowEnergies,
  type UnitChannels,
} from "./obs_remaining.ts";

export type { UnitChannels };

/** The ridge λ as a share of the mean of G's diagonal. Between 1e-3 and 1e-1 it hardly matters (METHOD). */
export const defaultRidge = 1e-2;

/** Options of {@linkcode obsOrder} and {@linkcode errorsAlongOrder}. */
export interface ObsOptions {
  /** λ. Default {@linkcode defaultRidge}. */
  readonly ridge?: number;
  /** Units removed between two looks at all scores. Default 8 for single channels, 1 for groups. */
  readonly atOnce?: number;
  /** Units that go before all others, in this order; no more than `count`. Default: none. */
  readonly first?: ArrayLike<number>;
  /** Units to be ordered, from 1; the order and its errors then end with them. Default: all. */
  readonly count?: number;
  /** Whether the Gram matrix may be used up, which saves memory for a copy of it; it is empty then. Default false. */
  readonly usesUp?: boolean;
  /** What makes products. Default: this program's own code. */
  readonly multiply?: Multiply;
  /** Cancels the work. */
  readonly signal?: AbortSignal;
}

/**
 * Cuts channels into units of equal size, in their order: FFN neurons are single channels, the channels of a KV group
 * are those of its query heads, which lie side by side.
 *
 * @param units How many units
 * @param channelsPerUnit Channels of each
 * @returns The channels of each unit
 * @example
 * ```ts
 * import { equalUnits } from "./obs.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(equalUnits(2, 3).map((unit) => Array.from(unit)), [[0, 1, 2], [3, 4, 5]]);
 * ```
 */
export function equalUnits(units: number, channelsPerUnit: number): UnitChannels {
  return Array.from(
    { length: units },
    (_, unit) => Int32Array.from({ length: channelsPerUnit }, (_, i) => unit * channelsPerUnit + i),
  );
}

/**
 * The order in which units go when each time those go whose loss, refitted, costs least.
 *
 * Costs about n² (m / 2 + n) multiplications. `refittedError` is the sum of the exact costs, which include what the ridge
 * charges; `plainError` is tr(W_P G_PP W_Pᵀ) over the removed channels P. Both are shares of tr(W G Wᵀ).
 *
 * @param weight The closing projection W, row-major, `[m, n]`
 * @param gram The balanced Gram matrix of its inputs, symmetric, `[n, n]`
 * @param units The channels of each unit
 * @param options Ridge, units at once, units that go first, how many go, what makes products, cancellation
 * @returns The order and the errors along it
 * @throws {PlanError} if the sizes do not fit, the units do not share out all channels, or those that go first are not
 * different ones of them
 * @throws {StatisticsError} if the Gram matrix holds numbers that are not finite
 * @throws {CancelledError} if the signal is aborted
 */
export async function obsOrder(
  weight: Float32Array | Float64Array,
  gram: Float64Array,
  units: UnitChannels,
  options: ObsOptions = {},
): Promise<RemovalOrder> {
  const n = checkSizes(weight, gram, units);
  const { first = [] } = options;
  if (!areDifferent(first, units)) {
    throw new PlanError(
      `Cannot order units: those that go first, ${first.length} in all, are not different ones of ${units.length}`,
    );
  }
  const work = workOf(options);
  const products = await columnProducts(weight, n, work);
  // All that is asked of the two matrices together: then each can be used up.
  const shared = sharedEnergies(products, gram, n);
  const ridge = ridgeOf(gram, n, options);
  const matrix = options.usesUp ? gram : gram.slice();
  await factorDamped(matrix, n, ridge, work);
  const inverse = await invertSymmetric(matrix, n, work);
  const { order, costs } = await removeAll({ inverse, products, n }, units, options, work);
  discard(inverse, products);
  const plain = plainCosts(shared, n, channelsAlong(order, units));
  discard(shared);
  const perUnit = sumPerUnit(plain.costs, order, units);
  return {
    order,
    refittedError: cumulative(costs, plain.energy),
    plainError: cumulative(perUnit, plain.energy),
  };
}

function workOf({ multiply, signal }: ObsOptions): RemovalWork {
  return {
    pace: makePace(signal),
    multiply: multiply ?? multiplyTransposed,
    add: addingWith(multiply),
  };
}

async function removeAll(
  start: RemainingStart,
  units: UnitChannels,
  options: ObsOptions,
  work: RemovalWork,
): Promise<{ readonly order: Int32Array; readonly costs: Float64Array }> {
  const singles = units.every((unit) => unit.length === 1);
  const atOnce = Math.max(1, Math.floor(options.atOnce ?? (singles ? 8 : 1)));
  const state = new Remaining(start, work);
  const first = Array.from(options.first ?? []);
  const count = Math.min(units.length, options.count ?? units.length);
  const order = new Int32Array(count);
  const costs = new Float64Array(count);
  let there = Array.from(units, (_, unit) => unit);
  const cheapest = async (wanted: number) => {
    const scores = singles
      ? state.channelScores(there, units)
      : await state.groupScores(there, units);
    return lowest(scores, wanted).map((index) => there[index]);
  };
  for (let done = 0; done < count;) {
    const wanted = Math.min(atOnce, count - done);
    const chosen = done < first.length ? first.slice(done, done + wanted) : await cheapest(wanted);
    const increases = await state.remove(chosen.flatMap((unit) => Array.from(units[unit])));
    let channel = 0;
    for (const unit of chosen) {
      for (let i = 0; i < units[unit].length; i++) costs[done] += increases[channel++];
      order[done++] = unit;
    }
    const gone = new Set(chosen);
    there = there.filter((unit) => !gone.has(unit));
    const wait = work.pace();
    if (wait !== undefined) await wait;
  }
  return { order, costs };
}

/**
 * The same errors as {@linkcode obsOrder} gives, along an order that something else has made.
 *
 * With the channels listed from the last to go to the first, and H = M Mᵀ in that listing, the cost of losing the last
 * k columns is the energy of the last k columns of W M: no inverse is needed.
 *
 * @param weight The closing projection W, row-major, `[m, n]`
 * @param gram The balanced Gram matrix of its inputs, symmetric, `[n, n]`
 * @param units The channels of each unit
 * @param order Unit numbers, first to go first
 * @param options Ridge, what makes products, cancellation
 * @returns The errors after the first k units, `[units + 1]`, as shares of tr(W G Wᵀ)
 * @throws {PlanError} if the sizes do not fit, or the order is not one of all units
 * @throws {StatisticsError} if the Gram matrix holds numbers that are not finite
 * @throws {CancelledError} if the signal is aborted
 */
export async function errorsAlongOrder(
  weight: Float32Array | Float64Array,
  gram: Float64Array,
  units: UnitChannels,
  order: ArrayLike<number>,
  options: ObsOptions = {},
): Promise<Pick<RemovalOrder, "plainError" | "refittedError">> {
  const n = checkSizes(weight, gram, units);
  if (order.length !== units.length || !areDifferent(order, units)) {
    throw new PlanError(
      `Cannot follow an order of ${order.length} units: it must name each of ${units.length} once`,
    );
  }
  const work = workOf(options);
  const channels = channelsAlong(order, units);
  const m = weight.length / n;
  const reversed = channels.toReversed();
  const { factor } = await choleskyDamped(
    take(gram, n, reversed, reversed),
    n,
    ridgeOf(gram, n, options),
    work,
  );
  const columns = whole(transpose(factor, n, n), n, n);
  const turned = whole(take(weight, n, range(m), reversed), m, n);
  const energies = rowEnergies(await work.multiply(columns, turned, work.pace), n, m).reverse();
  const products = await columnProducts(weight, n, work);
  const plain = plainCosts(sharedEnergies(products, gram, n), n, channels);
  return {
    refittedError: cumulative(sumPerUnit(energies, order, units), plain.energy),
    plainError: cumulative(sumPerUnit(plain.costs, order, units), plain.energy),
  };
}

/** WᵀW, `[n, n]`, on and below its diagonal. */
async function columnProducts(
  weight: Float32Array | Float64Array,
  n: number,
  { add, pace }: RemovalWork,
): Promise<Float64Array> {
  const m = weight.length / n;
  const columns = whole(transpose(weight, m, n), n, m);
  const products = new Float64Array(n * n);
  await add(whole(products, n, n), columns, columns, { lowerOnly: true, pace });
  discard(columns.data);
  return products;
}

/** (WᵀW)_ij G_ij, what two channels add to tr(W G Wᵀ) together: row after row, each up to the diagonal. */
function sharedEnergies(products: Float64Array, gram: Float64Array, n: number): Float64Array {
  const shared = new Float64Array(n * (n + 1) / 2);
  for (let row = 0, to = 0; row < n; row++) {
    const end = row * n + row;
    for (let at = row * n; at <= end; at++) shared[to++] = products[at] * gram[at];
  }
  return shared;
}

/** Increases of tr(W_P G_PP W_Pᵀ) as channels join P one by one, and tr(W G Wᵀ). */
function plainCosts(
  shared: Float64Array,
  n: number,
  channels: ArrayLike<number>,
): { readonly costs: Float64Array; readonly energy: number } {
  // Channels that stay come after all that go.
  const turn = new Int32Array(n).fill(channels.length);
  for (let index = 0; index < channels.length; index++) turn[channels[index]] = index;
  const costs = new Float64Array(channels.length + 1);
  for (let row = 0, at = 0; row < n; row++) {
    const own = turn[row];
    // What two channels do together is lost with the one that goes last.
    for (let column = 0; column < row; column++) {
      costs[Math.max(own, turn[column])] += 2 * shared[at++];
    }
    costs[own] += shared[at++];
  }
  return { costs, energy: costs.reduce((sum, cost) => sum + cost, 0) };
}

function checkSizes(
  weight: Float32Array | Float64Array,
  gram: Float64Array,
  units: UnitChannels,
): number {
  const n = units.reduce((sum, unit) => sum + unit.length, 0);
  const seen = new Set(units.flatMap((unit) => Array.from(unit)));
  const fits = n > 0 && gram.length === n * n && weight.length > 0 && weight.length % n === 0;
  if (!fits || seen.size !== n || !Array.from(seen).every((c) => c >= 0 && c < n && c % 1 === 0)) {
    throw new PlanError(
      `Cannot order units: ${weight.length} weights, a Gram matrix of ${gram.length} numbers and units of ${n} channels do not fit together`,
    );
  }
  return n;
}

/** Whether numbers are those of units, none of them twice. */
function areDifferent(numbers: ArrayLike<number>, units: UnitChannels): boolean {
  const known = Array.from(numbers).filter((unit) => units[unit] !== undefined);
  return new Set(known).size === numbers.length;
}

function ridgeOf(gram: Float64Array, n: number, { ridge = defaultRidge }: ObsOptions): number {
  return ridge * diagonalSum(gram, n) / n;
}

/** Indices of the lowest scores, lowest first; of equal ones the first. */
function lowest(scores: Float64Array, count: number): number[] {
  const best: number[] = [];
  for (let index = 0; index < scores.length; index++) {
    let place = best.length;
    while (place > 0 && scores[index] < scores[best[place - 1]]) place--;
    if (place >= count) continue;
    best.splice(place, 0, index);
    if (best.length > count) best.pop();
  }
  return best;
}

function channelsAlong(order: ArrayLike<number>, units: UnitChannels): Int32Array {
  return Int32Array.from(Array.from(order).flatMap((unit) => Array.from(units[unit])));
}

function sumPerUnit(
  costs: Float64Array,
  order: ArrayLike<number>,
  units: UnitChannels,
): Float64Array {
  let channel = 0;
  return Float64Array.from(order, (unit) => {
    let sum = 0;
    for (let i = 0; i < units[unit].length; i++) sum += costs[channel++];
    return sum;
  });
}

/** Sums of the first k costs as shares of an energy, `[costs + 1]`. */
function cumulative(costs: Float64Array, energy: number): Float64Array {
  const sums = new Float64Array(costs.length + 1);
  // A projection whose input is always zero has no output to be wrong.
  const scale = energy > 0 ? 1 / energy : 0;
  for (let index = 0; index < costs.length; index++) {
    sums[index + 1] = sums[index] + costs[index] * scale;
  }
  return sums;
}
