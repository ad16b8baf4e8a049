/**
 * The removal order of `obs` by its formulas: whole matrices change with every channel that goes.
 * @module
 */
import { naiveSolve } from "./matrices.ts";

/** An order, and what each of its units cost after those before it. */
export interface NaiveOrder {
  readonly order: readonly number[];
  readonly costs: readonly number[];
}

/**
 * Orders units step by step.
 *
 * @param weight W, `[m, n]`
 * @param gram G, `[n, n]`
 * @param units The channels of each unit
 * @param options λ as a share of the mean of G's diagonal; units between two looks at all scores
 * @returns The order
 */
export function naiveObs(
  weight: ArrayLike<number>,
  gram: ArrayLike<number>,
  units: readonly ArrayLike<number>[],
  options: { readonly ridge: number; readonly atOnce: number },
): NaiveOrder {
  const n = Math.sqrt(gram.length);
  const w = Float64Array.from(weight);
  const inverse = inverseOf(gram, n, options.ridge);
  const rows = w.length / n;
  const column = (row: number, channels: readonly number[]) =>
    channels.map((channel) => w[row * n + channel]);
  const score = (unit: number): number => {
    const channels = Array.from(units[unit]);
    const own = channels.flatMap((a) => channels.map((b) => inverse[a * n + b]));
    let sum = 0;
    for (let row = 0; row < rows; row++) {
      const values = column(row, channels);
      naiveSolve(own, values).forEach((value, index) => sum += value * values[index]);
    }
    return sum;
  };
  /** W ← W − W_:p (H⁻¹)_p: / (H⁻¹)_pp, and so for H⁻¹. */
  const remove = (p: number): number => {
    const pivot = inverse[p * n + p];
    const own = inverse.slice(p * n, (p + 1) * n);
    let energy = 0;
    for (let row = 0; row < rows; row++) {
      const value = w[row * n + p];
      energy += value * value;
      for (let j = 0; j < n; j++) w[row * n + j] -= value * own[j] / pivot;
    }
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) inverse[i * n + j] -= own[i] * own[j] / pivot;
    }
    return energy / pivot;
  };
  const order: number[] = [], costs: number[] = [];
  let left = units.map((_, unit) => unit);
  while (left.length > 0) {
    const scores = new Map(left.map((unit) => [unit, score(unit)]));
    const chosen = left.toSorted((a, b) => scores.get(a)! - scores.get(b)! || a - b)
      .slice(0, options.atOnce);
    for (const unit of chosen) {
      order.push(unit);
      costs.push(Array.from(units[unit]).reduce((sum, channel) => sum + remove(channel), 0));
    }
    left = left.filter((unit) => !chosen.includes(unit));
  }
  return { order, costs };
}

/** (G + λ · mean(diag G) · I)⁻¹ by Gauss and Jordan. */
function inverseOf(gram: ArrayLike<number>, n: number, ridge: number): Float64Array {
  const matrix = Float64Array.from(gram);
  let mean = 0;
  for (let i = 0; i < n; i++) mean += gram[i * (n + 1)] / n;
  for (let i = 0; i < n; i++) matrix[i * (n + 1)] += ridge * mean;
  for (let p = 0; p < n; p++) {
    const pivot = 1 / matrix[p * (n + 1)];
    matrix[p * (n + 1)] = 1;
    for (let j = 0; j < n; j++) matrix[p * n + j] *= pivot;
    for (let i = 0; i < n; i++) {
      if (i === p) continue;
      const factor = matrix[i * n + p];
      matrix[i * n + p] = 0;
      for (let j = 0; j < n; j++) matrix[i * n + j] -= factor * matrix[p * n + j];
    }
  }
  return matrix;
}
