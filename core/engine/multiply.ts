/**
 * Products of large matrices, by the engine.
 * @module
 */
import { type Block, type Multiply, multiplyTransposed } from "../linear/product.ts";
import type { Engine } from "./types.ts";

/** Additions and multiplications from which sending the operands to a card and waiting for it pays. */
const WORTH_SENDING = 2e8;
/** Additions and multiplications from which calling a library on the processor pays. */
const WORTH_CALLING = 5e5;

/**
 * What multiplies matrices: the engine for large ones, in float64 on the processor and in float32 on a card, and this
 * program's own code for all others, in float64.
 *
 * @param engine The engine
 * @param leastOperations Additions and multiplications from which the engine is asked; by default those from which it
 * pays
 * @returns left · rightᵀ of two matrices
 */
export function multiplier(engine: Engine, leastOperations?: number): Multiply {
  return async (left, right, pace, lent) => {
    const least = leastOperations ?? (engine.device === "cpu" ? WORTH_CALLING : WORTH_SENDING);
    if (engine.multiply !== undefined && operationsOf(left, right) >= least) {
      const wait = pace?.();
      if (wait !== undefined) await wait;
      const product = await engine.multiply(left, right, lent);
      if (product !== undefined) return product;
    }
    return await multiplyTransposed(left, right, pace, lent);
  };
}

function operationsOf(left: Block, right: Block): number {
  return 2 * left.rows * right.rows * left.columns;
}
