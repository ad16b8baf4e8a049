import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { TextError } from "../../core/errors.ts";
import {
  cutWindows,
  cutWindowsOf,
  hashWindows,
  heldOutCount,
  sampleWindows,
} from "../../core/text/windows.ts";

const numbered = (count: number) =>
  Array.from({ length: count }, (_, index) => Int32Array.of(index));
const numbers = (windows: readonly Int32Array[]) => windows.map(([number]) => number);

Deno.test("cutWindows() cuts consecutive windows and drops the rest", () => {
  assertEquals(cutWindows([1, 2, 3, 4, 5], 2).map((window) => [...window]), [[1, 2], [3, 4]]);
});

Deno.test("cutWindowsOf() says how many tokens there are and how many it takes", () => {
  assertThrows(
    () => cutWindowsOf("wiki", [1, 2], 3),
    TextError,
    "it has 2 tokens where one window needs 3",
  );
});

Deno.test("sampleWindows() gives calibration and held-out windows that share none", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 128 }),
      fc.integer(),
      (available, samples, seed) => {
        const { calibration, heldOut } = sampleWindows("a", numbered(available), samples, seed);
        const all = [...numbers(calibration), ...numbers(heldOut)];
        assertEquals(new Set(all).size, all.length);
        assert(calibration.length >= 1 && calibration.length <= samples);
        assert(heldOut.length <= heldOutCount(samples));
        assert(heldOut.length >= 1 || available === 1);
      },
    ),
  );
});

Deno.test("sampleWindows() follows the seed and the name, not what was drawn before", () => {
  const draw = (name: string, seed: number) =>
    numbers(sampleWindows(name, numbered(100), 20, seed).calibration);
  assertEquals(draw("a", 1), draw("a", 1));
  assert(draw("a", 1).join() !== draw("a", 2).join());
  assert(draw("a", 1).join() !== draw("b", 1).join());
});

Deno.test("sampleWindows() gives what was asked where the text is long enough", () => {
  const { calibration, heldOut } = sampleWindows("a", numbered(100), 32, 0);
  assertEquals([calibration.length, heldOut.length], [32, 8]);
});

Deno.test("hashWindows() changes with a token", () => {
  assert(hashWindows([Int32Array.of(1, 2)]) !== hashWindows([Int32Array.of(1, 3)]));
});
