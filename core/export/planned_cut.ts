/**
 * How a model is going to be pruned, as far as formats want to know before any work.
 * @module
 */
import type { Structure } from "../model/types.ts";
import type { Shape } from "../plan/types.ts";

/** What will be cut, and whether layers stay alike. */
export interface PlannedCut {
  /** `uniform` or `adaptive`. */
  readonly shape: Shape;
  /** The kinds of unit that go. */
  readonly structures: readonly Structure[];
}
