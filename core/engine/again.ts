/**
 * Doing work again when the graphics card failed on the way.
 * @module
 */
import { GraphicsError } from "../errors.ts";

/**
 * Does work, and does it once more from the start where the graphics card failed: what the card held is lost, and the
 * engine may go on without it. An engine that does not go on fails again, with the same sentence.
 *
 * @param work What to do; it starts from what is in the computer's memory
 * @returns What the work gives
 * @throws {GraphicsError} if the card failed and there is no other engine
 * @example
 * ```ts
 * import { onceMore } from "./again.ts";
 * console.log(await onceMore(() => Promise.resolve(2))); // 2
 * ```
 */
export async function onceMore<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GraphicsError)) throw error;
    return await work();
  }
}
