/**
 * The least value of a function of one number that is dear to evaluate.
 * @module
 */

/** Where to look, and how often. */
export interface LineSearch {
  /** The lowest number to try. */
  readonly lowest: number;
  /** The highest. */
  readonly highest: number;
  /** How often the function may be evaluated; 2 or more. */
  readonly evaluations: number;
}

/**
 * Golden-section search (Kiefer 1953): exact for functions with one valley, and within the last interval's width then.
 *
 * @param value The function
 * @param search Interval and allowance
 * @returns The best number that was tried, and its value
 * @example
 * ```ts
 * import { leastOnLine } from "./least.ts";
 * const search = { lowest: 0, highest: 4, evaluations: 20 };
 * const { at } = await leastOnLine((x) => Promise.resolve((x - 1) ** 2), search);
 * console.log(at.toFixed(2)); // 1.00
 * ```
 */
export async function leastOnLine(
  value: (at: number) => Promise<number>,
  search: LineSearch,
): Promise<{ readonly at: number; readonly value: number }> {
  const golden = (Math.sqrt(5) - 1) / 2;
  const probe = async (at: number) => ({ at, value: await value(at) });
  let { lowest, highest } = search;
  let left = await probe(highest - golden * (highest - lowest));
  let right = await probe(lowest + golden * (highest - lowest));
  for (let done = 2; done < search.evaluations; done++) {
    if (left.value <= right.value) {
      [highest, right] = [right.at, left];
      left = await probe(highest - golden * (highest - lowest));
    } else {
      [lowest, left] = [left.at, right];
      right = await probe(lowest + golden * (highest - lowest));
    }
  }
  return left.value <= right.value ? left : right;
}
