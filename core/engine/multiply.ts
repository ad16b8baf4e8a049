/**
 * Products of large matrices, on the graphics card where the engine has one.
 * @module
 */
import { type Block, type Multiply, multiplyTransposed } from "../linear/product.ts";
import type { Engine } from "./types.ts";

/** Additions and multiplications from which sending the operands to the card and waiting for it pays. */
const WORTH_SENDING = 2e8;

/**
 * What multiplies matrices: the engine's card for large ones, in float32, and the processor for all others, in float64.
 *
 * @param engine The engine
 * @param leastOperations Additions and multiplications from which the card is asked
 * @returns left · rightᵀ of two matrices
 */
export function multiplier(engine: Engine, leastOperations: number = WORTH_SENDING): Multiply {
  return async (left, right, pace) => {
    if (engine.multiply !== undefined && operationsOf(left, right) >= leastOperations) {
      const wait = pace?.();
      if (wait !== undefined) await wait;
      const product = await engine.multiply(left, right);
      if (product !== undefined) return product;
    }
    return await multiplyTransposed(left, right, pace);
  };
}

function operationsOf(left: Block, right: Block): number {
  return 2 * left.rows * right.rows * left.columns;
}
