import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ExportError } from "../../../core/errors.ts";
import { BLOCK_SIZE, type GgufTensorType, storedBytes } from "../../../core/export/gguf/format.ts";
import { fromBlocks, toBlocks } from "../../../core/export/gguf/number_blocks.ts";
import { unpack } from "../../engine/helpers.ts";

/** What the PyPI package `gguf` makes of the same numbers; bench/gguf_blocks.py writes it. */
const reference: {
  readonly numbers: string;
  readonly types: Readonly<
    Record<"F16" | "Q8_0" | "Q4_0", { readonly bytes: string; readonly numbers: string }>
  >;
} = JSON.parse(
  await Deno.readTextFile(new URL("../../fixtures/gguf-blocks.json", import.meta.url)),
);

const quantized = ["Q8_0", "Q4_0"] as const;

for (const type of ["F16", "Q8_0", "Q4_0"] as const) {
  Deno.test(`toBlocks() gives the bytes of the package gguf in ${type}, and fromBlocks() its numbers`, () => {
    const numbers = unpack(reference.numbers);
    const bytes = Uint8Array.from(
      atob(reference.types[type].bytes),
      (character) => character.charCodeAt(0),
    );
    assertEquals(toBlocks(numbers, type), bytes);
    assertEquals(fromBlocks(bytes, type), unpack(reference.types[type].numbers));
  });
}

/** Whole blocks of numbers as weights have them, and some far larger and smaller. */
const numbers = fc.tuple(
  fc.array(fc.float({ min: -1, max: 1, noNaN: true }), {
    minLength: 2 * BLOCK_SIZE,
    maxLength: 2 * BLOCK_SIZE,
  }),
  fc.constantFrom(1e-3, 1, 1e4),
).map(([values, scale]) => Float32Array.from(values, (value) => value * scale));

/** The largest size in the block of a number. */
function largestBeside(data: Float32Array, index: number): number {
  const start = Math.floor(index / BLOCK_SIZE) * BLOCK_SIZE;
  return data.subarray(start, start + BLOCK_SIZE)
    .reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

/**
 * By how much a number may be off: half a step, or a whole one at the far end of Q4_0, and the scale's rounding, which
 * is coarse where the scale is subnormal in float16.
 */
function allowed(type: "Q8_0" | "Q4_0", largest: number): number {
  const steps = type === "Q8_0" ? 127 : 8;
  const far = type === "Q8_0" ? 0.5 : 1;
  return far * largest / steps + largest * 2 ** -10 + steps * 2 ** -25;
}

for (const type of quantized) {
  Deno.test(`${type} is off by no more than its step allows`, () => {
    fc.assert(fc.property(numbers, (data) => {
      const back = fromBlocks(toBlocks(data, type), type);
      for (const [index, value] of data.entries()) {
        const largest = largestBeside(data, index);
        assert(Math.abs(back[index] - value) <= allowed(type, largest), `${value}: ${back[index]}`);
      }
    }));
  });

  Deno.test(`${type} keeps blocks apart, and zeros zero`, () => {
    fc.assert(fc.property(numbers, (data) => {
      const first = data.slice(0, BLOCK_SIZE);
      const both = new Float32Array(2 * BLOCK_SIZE);
      both.set(first);
      const bytes = toBlocks(both, type);
      assertEquals(bytes.subarray(0, bytes.length / 2), toBlocks(first, type));
      const back = fromBlocks(bytes, type);
      assert(back.subarray(BLOCK_SIZE).every((value) => value === 0));
    }));
  });

  Deno.test(`${type} is exact for numbers that are whole steps`, () => {
    const most = type === "Q8_0" ? 127 : 7;
    const whole = fc.tuple(
      fc.array(fc.integer({ min: -most, max: most }), {
        minLength: BLOCK_SIZE - 1,
        maxLength: BLOCK_SIZE - 1,
      }),
      fc.integer({ min: -8, max: 8 }),
    ).map(([values, exponent]) => {
      const largest = type === "Q8_0" ? 127 : -8;
      return Float32Array.from([largest, ...values], (value) => value * 2 ** exponent);
    });
    fc.assert(fc.property(whole, (data) => {
      assertEquals(
        fromBlocks(toBlocks(data, type), type).map((x) => x + 0),
        data.map((x) => x + 0),
      );
    }));
  });

  Deno.test(`${type} takes a number's sign and power of two along`, () => {
    fc.assert(fc.property(numbers, (data) => {
      const back = fromBlocks(toBlocks(data, type), type);
      const half = fromBlocks(toBlocks(data.map((value) => value / 2), type), type);
      // Where scales are subnormal in float16, halving them loses a bit.
      const fine = data.every((_, index) => largestBeside(data, index) > 0.1);
      if (fine) assertEquals(half, back.map((value) => value / 2));
      const turned = fromBlocks(toBlocks(data.map((value) => -value), type), type);
      assertEquals(turned.map((x) => x + 0), back.map((value) => -value + 0));
    }));
  });
}

Deno.test("storedBytes() counts what toBlocks() makes", () => {
  for (const type of ["F32", "F16", "Q8_0", "Q4_0"] as GgufTensorType[]) {
    assertEquals(toBlocks(new Float32Array(96), type).length, storedBytes(type, 96));
  }
  assertEquals([storedBytes("Q8_0", 64), storedBytes("Q4_0", 64)], [68, 36]);
});

Deno.test("toBlocks() refuses what a type cannot hold", () => {
  const block = (value: number) => new Float32Array(32).fill(value, 5, 6);
  for (const type of ["F32", "F16", "Q8_0", "Q4_0"] as GgufTensorType[]) {
    assertThrows(() => toBlocks(block(NaN), type), ExportError, "NaN is not a finite number");
    assertThrows(() => toBlocks(block(-Infinity), type), ExportError, "-Infinity");
  }
  assertThrows(() => toBlocks(block(7e4), "F16"), ExportError, "too large for F16");
  assertThrows(() => toBlocks(block(-6e5), "Q4_0"), ExportError, "too large for Q4_0");
  assertThrows(() => toBlocks(block(9e6), "Q8_0"), ExportError, "too large for Q8_0");
  assertEquals(fromBlocks(toBlocks(block(7e4), "F32"), "F32"), block(7e4));
});
