/**
 * Sums of fits, domain after domain: of all matrices, those of one part of one domain are in memory beside the result.
 * @module
 */
import { discard } from "../linear/discard.ts";
import type { FitSums } from "../engine/types.ts";
import type { FitMatrices } from "../linear/fit.ts";

/** What a fit is made from, and what it is judged on. */
export interface FitPair {
  /** Sums over the calibration windows, domains scaled and weighted. */
  readonly fit: FitMatrices;
  /** The same over windows kept back, all domains alike; over the calibration windows where none were kept back. */
  readonly judge: FitMatrices;
}

/** Whose sums are added. */
export interface FitPlace {
  /** Which of the domains, counted from 0; they come in order. */
  readonly domain: number;
  /** Whether the windows were kept back; in a domain, they come last. */
  readonly heldOut: boolean;
}

/** Sums that are still being added up. */
interface Sums {
  readonly gram: Float64Array;
  readonly cross: Float64Array;
  targetEnergy: number;
}

/** Brings the sums of domains together as they come. */
export class RunningFit {
  readonly #weights: readonly number[];
  #fit: Sums | undefined;
  #judge: Sums | undefined;
  #current: FitPlace | undefined;
  #sums: Sums | undefined;

  /**
   * Starts at zero.
   *
   * @param weights How much each domain counts in the fit
   */
  constructor(weights: readonly number[]) {
    this.#weights = weights;
  }

  /**
   * Adds the sums of a batch.
   *
   * @param place Whose they are
   * @param part The sums, which are used up
   */
  add(place: FitPlace, part: FitSums): void {
    const current = this.#current;
    if (current?.domain !== place.domain || current.heldOut !== place.heldOut) this.#end(place);
    this.#current = place;
    this.#sums ??= empty(part.gram.length, part.cross.length);
    addTo(this.#sums.gram, part.gram, 1);
    addTo(this.#sums.cross, part.cross, 1);
    this.#sums.targetEnergy += part.targetEnergy;
    discard(part.gram, part.cross);
  }

  /**
   * What it comes to; no more can be added.
   *
   * @returns Domains scaled so that the Gram matrix of each has a trace of n: weighted, and all alike
   */
  result(): FitPair {
    this.#end(undefined);
    return { fit: this.#fit!, judge: this.#judge! };
  }

  #end(next: FitPlace | undefined): void {
    const [current, sums] = [this.#current, this.#sums];
    if (current === undefined || sums === undefined) return;
    const [gram, cross] = [sums.gram.length, sums.cross.length];
    this.#fit ??= empty(gram, cross);
    this.#judge ??= empty(gram, cross);
    if (!current.heldOut) addBalanced(this.#fit, sums, this.#weights[current.domain]);
    // A domain without windows kept back is judged on those that were summed.
    if (current.heldOut || next?.domain !== current.domain) addBalanced(this.#judge, sums, 1);
    discard(sums.gram, sums.cross);
    this.#sums = undefined;
  }
}

function empty(gram: number, cross: number): Sums {
  return { gram: new Float64Array(gram), cross: new Float64Array(cross), targetEnergy: 0 };
}

/** Adds a domain scaled so that its Gram matrix has a trace of n, times its weight. */
function addBalanced(total: Sums, { gram, cross, targetEnergy }: Sums, weight: number): void {
  if (weight <= 0) return;
  const channels = Math.sqrt(gram.length);
  let trace = 0;
  for (let j = 0; j < channels; j++) trace += gram[j * (channels + 1)];
  if (!(trace > 0)) return;
  const scale = weight * channels / trace;
  addTo(total.gram, gram, scale);
  addTo(total.cross, cross, scale);
  total.targetEnergy += scale * targetEnergy;
}

function addTo(
  total: Float64Array,
  part: Float32Array | Float64Array,
  scale: number,
): void {
  for (let index = 0; index < total.length; index++) total[index] += scale * part[index];
}
