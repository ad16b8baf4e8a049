/**
 * Giving memory back before the garbage collector would.
 * @module
 */

/**
 * Frees the memory of arrays at once, where it would otherwise wait for the garbage collector. They are empty afterwards.
 *
 * @param arrays Arrays that own their memory and that nobody looks at any more
 */
export function discard(...arrays: readonly (Float32Array | Float64Array | undefined)[]): void {
  for (const array of arrays) {
    if (!(array?.buffer instanceof ArrayBuffer) || array.buffer.detached) continue;
    // Where it is a view of more, others may look at the rest.
    if (array.byteLength === array.buffer.byteLength) array.buffer.transfer(0);
  }
}
