/**
 * The middle of several measurements.
 * @module
 */

/**
 * The middle of some numbers.
 *
 * @param values At least one; of an even count, the upper of the two in the middle is taken
 * @returns Their median
 */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
