/**
 * How much memory the work may take: limits that an engine carries with it, and what is left of them.
 * @module
 */

/** What each part of the work may take. */
export interface MemoryLimits {
  /**
   * Bytes that residual streams may take between two blocks, all of them together; what does not fit goes to a scratch
   * file. It changes no number.
   */
  readonly streamBytes: number;
  /** Bytes that opened blocks may take while text is sampled; past it, a block is opened again for every token. */
  readonly samplingBytes: number;
  /** Bytes that keys and values of sampled texts may take; fewer texts are sampled together where it is little. */
  readonly cacheBytes: number;
  /** Tokens that go through a block together. */
  readonly batchTokens: number;
  /** Bytes of attention scores that one run may make; larger batches are run in parts. */
  readonly scoreBytes: number;
  /** Bytes of a session's weights in float32 up to which it converts them once, to be faster. */
  readonly convertedBytes: number;
  /** Bytes of the embedding in float32 up to which it is read into memory. */
  readonly tableBytes: number;
  /**
   * Bytes of the Gram matrices of one layer, all domains together, up to which they stay in memory until the layer is
   * finished; past it each goes to the disk at once, which costs writing it twice. Where it is 0, sums of fits wait in a
   * file too while others are added up. It changes no number.
   */
  readonly gramBytes: number;
  /** Bytes of the output head in float32 that are worked on at a time. */
  readonly headBytes: number;
}

const MEBIBYTE = 1024 * 1024;

/** The limits of a run that was given none. */
export const ordinaryLimits: MemoryLimits = {
  streamBytes: 1024 * MEBIBYTE,
  samplingBytes: Infinity,
  cacheBytes: Infinity,
  batchTokens: 4096,
  scoreBytes: 256 * MEBIBYTE,
  convertedBytes: 256 * MEBIBYTE,
  // Reading single rows of a larger one is faster.
  tableBytes: 32 * MEBIBYTE,
  gramBytes: 512 * MEBIBYTE,
  headBytes: Infinity,
};

/**
 * The limits of a run that was given none, on a machine with so much free memory. Only what changes no number depends
 * on it, so that results do not.
 *
 * @param availableBytes Memory that is free
 * @returns The limits
 * @example
 * ```ts
 * import { limitsFor } from "./memory.ts";
 * console.log(limitsFor(8e9).streamBytes); // 2000000000
 * ```
 */
export function limitsFor(availableBytes: number): MemoryLimits {
  return {
    ...ordinaryLimits,
    streamBytes: Math.max(64 * MEBIBYTE, Math.floor(availableBytes / 4)),
    samplingBytes: Math.max(64 * MEBIBYTE, Math.floor(availableBytes / 2)),
  };
}

/**
 * The limits that can change the last digits of a result, by how work is cut into pieces.
 *
 * @param limits All limits
 * @returns Those limits
 */
export function limitsThatCount(
  limits: MemoryLimits,
): Omit<MemoryLimits, "streamBytes" | "samplingBytes" | "gramBytes"> {
  const { streamBytes: _streams, samplingBytes: _sampling, gramBytes: _grams, ...others } = limits;
  return others;
}

/** Limits, and how much of what residual streams may take is still free. */
export class MemoryBudget {
  /** The limits. */
  readonly limits: MemoryLimits;
  #streamBytes = 0;

  /**
   * Starts with everything free.
   *
   * @param limits What may be taken
   */
  constructor(limits: MemoryLimits = ordinaryLimits) {
    this.limits = limits;
  }

  /**
   * Takes memory for residual streams if it is free.
   *
   * @param bytes How much
   * @returns Whether it was free; if not, nothing is taken
   */
  takeStream(bytes: number): boolean {
    if (this.#streamBytes + bytes > this.limits.streamBytes) return false;
    this.#streamBytes += bytes;
    return true;
  }

  /**
   * Gives back what {@linkcode takeStream} took.
   *
   * @param bytes How much
   */
  giveStream(bytes: number): void {
    this.#streamBytes -= bytes;
  }
}

/**
 * The budget that an engine carries.
 *
 * @param engine The engine
 * @returns Its budget; an ordinary one where it has none
 */
export function memoryOf(engine: { readonly memory?: MemoryBudget }): MemoryBudget {
  return engine.memory ?? new MemoryBudget();
}
