import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { SymmetricSum } from "../../core/linear/symmetric.ts";
import { mirrorLower } from "../../core/linear/product.ts";
import { randomMatrix } from "../helpers/matrices.ts";

function symmetric(size: number, seed: number): Float64Array {
  const matrix = randomMatrix(size, size, seed);
  mirrorLower(matrix, size);
  return matrix;
}

/** Bit by bit: -0 would be another number in a file. */
const bits = (numbers: Float32Array | Float64Array) =>
  new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

Deno.test("SymmetricSum is the sum worked by hand", () => {
  const sum = SymmetricSum.taking(Float32Array.of(1, 2, 2, 5), 2);
  sum.add(Float64Array.of(0, 1, 1, 3), 2);
  assertEquals([sum.size, sum.trace()], [2, 12]);
  assertEquals(sum.numbers.map((numbers) => Array.from(numbers)), [[1, 11], [4]]);
  assertEquals(sum.singleSquare(2), Float32Array.of(0.5, 2, 2, 5.5));
  const more = SymmetricSum.zero(2);
  more.addSum(sum, 3);
  assertEquals(more.takeSquare(), Float64Array.of(3, 12, 12, 33));
  assertEquals(sum.takeSquare(4), Float64Array.of(0.25, 1, 1, 2.75));
});

Deno.test("SymmetricSum gives bit by bit what sums of whole matrices do", () => {
  const sizes = fc.record({
    size: fc.integer({ min: 1, max: 70 }),
    count: fc.integer({ min: 1, max: 4 }),
    factor: fc.constantFrom(1, 0.3, 7),
    divisor: fc.constantFrom(1, 3),
    starts: fc.boolean(),
  });
  fc.assert(fc.property(sizes, ({ size, count, factor, divisor, starts }) => {
    const matrices = Array.from({ length: count }, (_, seed) => symmetric(size, seed));
    const first = Float32Array.from(matrices[0]);
    const whole = starts ? Float64Array.from(first) : new Float64Array(size * size);
    const sum = starts ? SymmetricSum.taking(first, size) : SymmetricSum.zero(size);
    for (const matrix of starts ? matrices.slice(1) : matrices) {
      for (let at = 0; at < whole.length; at++) whole[at] += factor * matrix[at];
      sum.add(matrix, factor);
    }
    const expected = whole.map((value) => value / divisor);
    assertEquals(bits(sum.singleSquare(divisor)), bits(Float32Array.from(expected)));
    assertEquals(bits(sum.takeSquare(divisor)), bits(expected));
    assertEquals(sum.numbers[1].length, 0, "its memory went over to the result");
  }));
});

Deno.test("SymmetricSum.taking() keeps the sign of a zero", () => {
  const start = Float32Array.of(-0, -0, -0, 1);
  assertEquals(bits(SymmetricSum.taking(start.slice(), 2).singleSquare()), bits(start));
});

Deno.test("SymmetricSum.discard() frees what it took over", () => {
  const start = new Float32Array(9);
  const sum = SymmetricSum.taking(start, 3);
  sum.discard();
  assertEquals([start.length, sum.numbers[0].length], [0, 0]);
});
