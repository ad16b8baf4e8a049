/**
 * Timing kernels on the card with timestamp queries, for benches.
 * @module
 */

/** What a dispatch has to do. */
export interface DispatchCost {
  /** Additions and multiplications. */
  readonly operations: number;
  /** Bytes that it reads and writes at least: every number once. */
  readonly bytes: number;
}

/** What one kernel took. */
export interface KernelTime {
  /** The kernel's key. */
  readonly kernel: string;
  /** Ticks of the card's clock: nanoseconds by the standard, though some drivers count in larger steps. */
  readonly ticks: number;
  /** What it had to do. */
  readonly cost: DispatchCost;
}

/** Collects kernel times while it is set on a context. */
export class Profile {
  readonly #times: KernelTime[] = [];

  /** What was timed so far, in order. */
  get times(): readonly KernelTime[] {
    return this.#times;
  }

  /**
   * Adds kernels.
   *
   * @param dispatches Their keys and costs, in order
   * @param stamps Start and end of each
   */
  add(
    dispatches: readonly { readonly kernel: string; readonly cost: DispatchCost }[],
    stamps: BigUint64Array,
  ): void {
    for (const [index, { kernel, cost }] of dispatches.entries()) {
      const ticks = Number(stamps[2 * index + 1] - stamps[2 * index]);
      this.#times.push({ kernel, ticks, cost });
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#times.length = 0;
  }
}
