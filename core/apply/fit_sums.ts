/**
 * Sums of fits, domain after domain: of all matrices, those of one part of one domain are in memory beside the results,
 * which may wait in a file for the next.
 * @module
 */
import { discard } from "../linear/discard.ts";
import { SymmetricSum } from "../linear/symmetric.ts";
import type { FitSums } from "../engine/types.ts";
import type { FitMatrices } from "../linear/fit.ts";
import { ParkingFile } from "./parking_file.ts";

/** What a fit is made from, and what it is judged on; close it after use. */
export interface FitPair {
  /**
   * Sums over the calibration windows, domains scaled and weighted.
   *
   * @returns The caller's; it can be asked for once
   */
  takeFit(): FitMatrices;
  /**
   * The same over windows kept back, all domains alike; over the calibration windows where none were kept back.
   *
   * @returns The caller's; it can be asked for once
   */
  takeJudge(): FitMatrices;
  /** Frees what was not asked for. */
  close(): void;
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
  readonly gram: SymmetricSum;
  readonly cross: Float64Array<ArrayBuffer>;
  targetEnergy: number;
}

/** Brings the sums of domains together as they come; close it, or what it comes to, after use. */
export class RunningFit {
  readonly #weights: readonly number[];
  readonly #file: ParkingFile | undefined;
  readonly #fit: WaitingSums;
  readonly #judge: WaitingSums;
  #current: FitPlace | undefined;
  #sums: Sums | undefined;

  /**
   * Starts at zero.
   *
   * @param weights How much each domain counts in the fit
   * @param options Whether what is not added to waits in a file. It changes no number
   */
  constructor(weights: readonly number[], options: { readonly waitsInFile?: boolean } = {}) {
    this.#weights = weights;
    this.#file = options.waitsInFile ? new ParkingFile() : undefined;
    this.#fit = new WaitingSums("fit", this.#file);
    this.#judge = new WaitingSums("judge", this.#file);
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
    this.#sums ??= empty(Math.sqrt(part.gram.length), part.cross.length);
    this.#sums.gram.add(part.gram);
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
    return {
      takeFit: () => squared(this.#fit.take()),
      takeJudge: () => squared(this.#judge.take()),
      close: () => this.close(),
    };
  }

  /** Frees memory and file. */
  close(): void {
    this.#file?.close();
  }

  #end(next: FitPlace | undefined): void {
    const [current, sums] = [this.#current, this.#sums];
    if (current === undefined || sums === undefined) return;
    if (!current.heldOut) this.#fit.addBalanced(sums, this.#weights[current.domain]);
    // A domain without windows kept back is judged on those that were summed.
    if (current.heldOut || next?.domain !== current.domain) this.#judge.addBalanced(sums, 1);
    sums.gram.discard();
    discard(sums.cross);
    this.#sums = undefined;
  }
}

/** Sums that are looked at once in a domain, and wait in between. */
class WaitingSums {
  readonly #name: string;
  readonly #file: ParkingFile | undefined;
  #shape = { channels: 0, crossLength: 0 };
  #sums: Sums | undefined;
  /** What is known of sums whose numbers wait in the file. */
  #parked: Pick<Sums, "targetEnergy"> | undefined;

  constructor(name: string, file: ParkingFile | undefined) {
    this.#name = name;
    this.#file = file;
  }

  /** Adds a domain scaled so that its Gram matrix has a trace of n, times its weight. */
  addBalanced({ gram, cross, targetEnergy }: Sums, weight: number): void {
    this.#shape = { channels: gram.size, crossLength: cross.length };
    const trace = gram.trace();
    if (!(weight > 0 && trace > 0)) return;
    const total = this.take();
    const scale = weight * gram.size / trace;
    total.gram.addSum(gram, scale);
    addTo(total.cross, cross, scale);
    total.targetEnergy += scale * targetEnergy;
    this.#leave(total);
  }

  /** What was added so far; zeros where nothing was. */
  take(): Sums {
    const sums = this.#sums ?? empty(this.#shape.channels, this.#shape.crossLength);
    this.#sums = undefined;
    if (this.#parked === undefined) return sums;
    numbersOf(sums).forEach((numbers, index) => this.#file!.read(this.#name + index, numbers));
    return { ...sums, ...this.#parked };
  }

  #leave(sums: Sums): void {
    const file = this.#file;
    if (file === undefined) {
      this.#sums = sums;
      return;
    }
    numbersOf(sums).forEach((numbers, index) => file.write(this.#name + index, numbers));
    this.#parked = { targetEnergy: sums.targetEnergy };
    sums.gram.discard();
    discard(sums.cross);
  }
}

function empty(channels: number, crossLength: number): Sums {
  return {
    gram: SymmetricSum.zero(channels),
    cross: new Float64Array(crossLength),
    targetEnergy: 0,
  };
}

function numbersOf({ gram, cross }: Sums): readonly Float64Array<ArrayBuffer>[] {
  return [...gram.numbers, cross];
}

/** The memory goes over to the result. */
function squared({ gram, cross, targetEnergy }: Sums): FitMatrices {
  return { gram: gram.takeSquare(), cross, targetEnergy };
}

function addTo(
  total: Float64Array,
  part: Float32Array | Float64Array,
  scale: number,
): void {
  for (let index = 0; index < total.length; index++) total[index] += scale * part[index];
}
