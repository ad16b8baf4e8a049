/**
 * Arrays that are used again: new ones of some megabytes cost more, in pages that the system has to clear, than what
 * is written to them.
 * @module
 */

/** Lends arrays; what comes back is lent again. */
export class Scratch {
  #spare: Float32Array[] = [];

  /**
   * Lends an array.
   *
   * @param length Its numbers
   * @returns An array that holds anything
   */
  take(length: number): Float32Array {
    const at = this.#spare.findIndex((array) => array.length === length);
    return at < 0 ? new Float32Array(length) : this.#spare.splice(at, 1)[0];
  }

  /**
   * Takes back everything that one borrower had. What others gave back before is let go, so that no more is kept than
   * one borrower needs.
   *
   * @param arrays The arrays
   */
  giveBack(arrays: Iterable<Float32Array>): void {
    this.#spare = [...arrays];
  }
}
