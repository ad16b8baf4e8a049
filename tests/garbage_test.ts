import { assert } from "@std/assert";
import { collectGarbage, keepTidy } from "../core/garbage.ts";

const BYTES = 100e6;

Deno.test("collectGarbage() frees arrays that nobody holds, and no others", () => {
  assert(keepTidy());
  collectGarbage();
  const before = Deno.memoryUsage().external;
  const held = new Uint8Array(BYTES);
  leaveBehind();
  collectGarbage();
  const after = Deno.memoryUsage().external - before;
  assert(after > 0.9 * BYTES && after < 1.1 * BYTES, `${after} bytes`);
  assert(held.byteLength === BYTES);
});

Deno.test("collectGarbage() frees at the next call what was held at the last", async () => {
  assert(keepTidy());
  collectGarbage();
  const before = Deno.memoryUsage().external;
  let held: Uint8Array | undefined = new Uint8Array(BYTES);
  collectGarbage();
  assert(held.byteLength === BYTES);
  held = undefined;
  // It grows no more: what there is has to be looked at again after a while.
  for (let tries = 0; tries < 200 && grown(before) > 0.1 * BYTES; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collectGarbage();
  }
  assert(grown(before) < 0.1 * BYTES, `${grown(before)} bytes`);
});

function grown(before: number): number {
  return Deno.memoryUsage().external - before;
}

function leaveBehind(): void {
  for (let count = 0; count < 2; count++) new Uint8Array(BYTES).fill(1);
}
