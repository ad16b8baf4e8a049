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

let collect: (() => void) | undefined;
let bytesBefore = 0;

/**
 * Makes {@linkcode collectGarbage} do something, in this process from now on.
 *
 * @returns Whether the runtime lets itself be asked
 */
export function keepTidy(): boolean {
  try {
    setFlagsFromString("--expose-gc");
    collect ??= runInNewContext("gc") as () => void;
  } catch {
    // Another runtime, which collects when it will.
  }
  return collect !== undefined;
}

/** Frees arrays that nobody holds, if memory is promised and there can be enough of them to be worth the while. */
export function collectGarbage(): void {
  if (collect === undefined) return;
  if (ownBytes() < bytesBefore + WAITING_BYTES) return;
  collect();
  bytesBefore = ownBytes();
}

function ownBytes(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}
