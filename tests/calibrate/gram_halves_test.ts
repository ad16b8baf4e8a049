import { assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { halfLength, halfPieces, readGram } from "../../core/calibrate/gram_halves.ts";

/** Symmetric, with numbers that tell rows from columns. */
function symmetric(channels: number): Float32Array {
  return Float32Array.from({ length: channels ** 2 }, (_, at) => {
    const [row, column] = [Math.floor(at / channels), at % channels];
    return Math.fround(Math.sin(Math.max(row, column)) + 1000 * Math.min(row, column));
  });
}

/** All pieces together. */
function halfOf(square: Float32Array, channels: number): Float32Array {
  const numbers: number[] = [];
  for (const piece of halfPieces(square, channels)) {
    numbers.push(...new Float32Array(piece.slice().buffer));
  }
  return Float32Array.from(numbers);
}

Deno.test("halfPieces() keeps what lies on and below the diagonal, row after row", () => {
  const square = Float32Array.of(1, 2, 3, 2, 4, 5, 3, 5, 6);
  assertEquals([...halfOf(square, 3)], [1, 2, 4, 3, 5, 6]);
  assertEquals([...square], [1, 2, 3, 2, 4, 5, 3, 5, 6]);
  assertEquals(halfLength(3), 6);
});

Deno.test("readGram() gives the whole matrix back, and one in memory as it is", async () => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 70 }), async (channels) => {
    const square = symmetric(channels);
    const half = { shape: [halfLength(channels)], data: halfOf(square, channels) };
    const before = half.data.slice();
    assertEquals(await readGram(half), square);
    assertEquals(half.data, before);
    const whole = { shape: [channels, channels], data: square };
    assertStrictEquals(await readGram(whole), square);
  }));
});

Deno.test("halfPieces() cuts large matrices between rows", () => {
  const channels = 2300;
  const square = new Float32Array(channels ** 2);
  for (let row = 0; row < channels; row++) square[row * (channels + 1)] = row + 1;
  const sizes: number[] = [];
  let diagonal = 0;
  for (const piece of halfPieces(square, channels)) {
    sizes.push(piece.byteLength / 4);
    for (const number of new Float32Array(piece.buffer)) diagonal += number;
  }
  assertEquals(sizes.length, 2);
  assertEquals(sizes[0] + sizes[1], halfLength(channels));
  assertEquals(diagonal, channels * (channels + 1) / 2);
});
