/**
 * Products of large matrices, by the engine.
 * @module
 */
import { type Multiply, multiplyTransposed } from "../linear/product.ts";
import type { Engine } from "./types.ts";

/**
 * What multiplies matrices: the engine, where it is faster, and this program's own code, in float64, for all others.
 *
 * @param engine The engine
 * @returns left · rightᵀ of two matrices
 */
export function multiplier(engine: Engine): Multiply {
  return async (left, right, pace, lent) => {
    const wait = pace?.();
    if (wait !== undefined) await wait;
    return await engine.multiply?.(left, right, lent) ??
      await multiplyTransposed(left, right, pace, lent);
  };
}
