/**
 * Collecting garbage where memory is promised. V8 lets some 64 MiB of dead arrays wait, and of arrays that are larger
 * than that several: between two blocks of a large model hundreds of megabytes, at one run in this layer, at the next in
 * that one.
 * @module
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Bytes of new objects and arrays that may lie about: a collection takes tens of milliseconds. */
const WAITING_BYTES = 16 << 20;

/** Where it is not known whether there is anything to free, collections take one part in so many of the time. */
const TIME_SHARE = 20;

let collect: (() => void) | undefined;
/** What lived after the last collection, or was there at any time since. */
let bytesBefore = 0;
/** The least that lived after any collection. */
let leastBytes = Infinity;
/** When to try again to come down to that. */
let nextTry = 0;

/**
 * Makes {@linkcode collectGarbage} do something, in this process from now on.
 *
 * @param trim Makes the C library give back what it holds, too
 * @returns Whether the runtime lets itself be asked
 */
export function keepTidy(trim?: () => void): boolean {
  try {
    setFlagsFromString("--expose-gc");
    const ask = runInNewContext("gc") as () => void;
    collect ??= () => {
      ask();
      trim?.();
    };
  } catch {
    // Another runtime, which collects when it will.
  }
  return collect !== undefined;
}

/** Frees arrays that nobody holds, if memory is promised and there can be enough of them to be worth the while. */
export function collectGarbage(): void {
  if (collect === undefined) return;
  const bytes = ownBytes();
  bytesBefore = Math.min(bytesBefore, bytes);
  const grew = bytes >= bytesBefore + WAITING_BYTES;
  // A caller that still held something when the last collection came may have let go of it since.
  const start = performance.now();
  if (!grew && (bytes < leastBytes + WAITING_BYTES || start < nextTry)) return;
  collect();
  bytesBefore = ownBytes();
  leastBytes = Math.min(leastBytes, bytesBefore);
  nextTry = performance.now() + TIME_SHARE * (performance.now() - start);
}

function ownBytes(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}
