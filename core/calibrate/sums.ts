/**
 * Sums over tokens: added up in float64, merged from parts, brought to one scale.
 * @module
 */
import { discard } from "../linear/discard.ts";
import { SymmetricSum } from "../linear/symmetric.ts";
import { StatisticsError } from "../errors.ts";
import type { ChannelSums } from "../engine/types.ts";
import { readGram } from "./gram_halves.ts";
import type { DomainSums } from "./types.ts";

/** Adds up the sums of batches. */
export class SumAccumulator {
  readonly #sum: Float64Array;
  readonly #sumOfSquares: Float64Array;
  readonly #channels: number;
  readonly #hasGram: boolean;
  /** The Gram matrix of the first batch, which is all there is while no other comes. */
  #first: Float32Array | undefined;
  /** Gram matrices of several batches. */
  #gram: SymmetricSum | undefined;
  #tokens = 0;

  /**
   * Starts at zero.
   *
   * @param channels Channels of the projection's input
   * @param options Whether Gram matrices are added up too
   */
  constructor(channels: number, options: { readonly gram: boolean }) {
    this.#channels = channels;
    this.#sum = new Float64Array(channels);
    this.#sumOfSquares = new Float64Array(channels);
    this.#hasGram = options.gram;
  }

  /**
   * Adds a batch.
   *
   * @param part The batch's sums; its Gram matrix is taken over: it is kept, or freed once it is added
   */
  add(part: ChannelSums): void {
    this.#tokens += part.tokens;
    for (let j = 0; j < this.#channels; j++) {
      this.#sum[j] += part.sum[j];
      this.#sumOfSquares[j] += part.sumOfSquares[j];
    }
    const more = part.gram;
    if (!this.#hasGram || more === undefined) return;
    if (this.#gram === undefined && this.#first === undefined) {
      this.#first = more;
      return;
    }
    const gram = this.#gram ??= sumTaking(this.#first!, this.#channels);
    this.#first = undefined;
    gram.add(more);
    discard(more);
  }

  /**
   * What has been added up.
   *
   * @returns The sums; the Gram matrix in float32
   */
  result(): DomainSums {
    const { length } = this.#sum;
    return {
      tokens: this.#tokens,
      sum: this.#sum,
      sumOfSquares: this.#sumOfSquares,
      gram: this.#hasGram
        ? {
          shape: [length, length],
          data: this.#first ?? this.#gram?.singleSquare() ?? new Float32Array(length * length),
        }
        : undefined,
    };
  }

  /** Frees what only the accumulator holds; results that were taken before stay. */
  close(): void {
    this.#gram?.discard();
  }
}

/**
 * Merges the sums of two parts of one domain.
 *
 * @param a One part
 * @param b The other
 * @returns Sums as if both parts had been one text; a Gram matrix where both have one
 * @throws {StatisticsError} if the parts have different numbers of channels
 */
export async function mergeSums(a: DomainSums, b: DomainSums): Promise<DomainSums> {
  if (a.sum.length !== b.sum.length) {
    throw new StatisticsError(
      `Cannot merge sums over ${a.sum.length} and ${b.sum.length} channels: they belong to different models`,
    );
  }
  const gram = a.gram === undefined || b.gram === undefined ? undefined : {
    shape: [a.sum.length, a.sum.length],
    data: added(await readGram(a.gram), await readGram(b.gram)),
  };
  return {
    tokens: a.tokens + b.tokens,
    sum: added(a.sum, b.sum),
    sumOfSquares: added(a.sumOfSquares, b.sumOfSquares),
    gram,
  };
}

function sumTaking(gram: Float32Array, channels: number): SymmetricSum {
  // A view of more, which others may look at, is not taken over.
  const isOwn = gram.buffer instanceof ArrayBuffer && gram.byteLength === gram.buffer.byteLength;
  return SymmetricSum.taking(
    isOwn ? gram as Float32Array<ArrayBuffer> : new Float32Array(gram),
    channels,
  );
}

function added<T extends Float32Array | Float64Array>(a: T, b: T): T {
  return a.map((value, index) => value + b[index]) as T;
}
