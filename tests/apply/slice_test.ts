import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { channelsOf, sliceBytes, sliceNumbers, sliceShape } from "../../core/apply/slice.ts";

Deno.test("channelsOf() lists the channels of units", () => {
  assertEquals(channelsOf([0, 2], 3), [0, 1, 2, 6, 7, 8]);
  assertEquals(channelsOf([1, 3], 1), [1, 3]);
});

Deno.test("sliceBytes() keeps rows and columns of every width of number", () => {
  for (const width of [1, 2, 4, 8]) {
    // A 2 × 3 matrix whose numbers are their own place, repeated in every byte.
    const bytes = Uint8Array.from({ length: 6 * width }, (_, at) => Math.floor(at / width));
    const places = (result: Uint8Array) =>
      Array.from({ length: result.length / width }, (_, i) => {
        const number = result.subarray(i * width, (i + 1) * width);
        assertEquals(new Set(number).size, 1);
        return number[0];
      });
    const columns = sliceBytes(bytes, [2, 3], { axis: 1, slices: [0, 2] });
    assertEquals(places(columns), [0, 2, 3, 5]);
    const rows = sliceBytes(bytes, [2, 3], { axis: 0, slices: [1] });
    assertEquals(places(rows), [3, 4, 5]);
    const bias = sliceBytes(bytes, [6], { axis: 0, slices: [1, 4] });
    assertEquals(places(bias), [1, 4]);
  }
});

Deno.test("sliceBytes() does not mind where its bytes begin", () => {
  const bytes = Uint8Array.of(9, 1, 0, 2, 0, 3, 0, 4, 0).subarray(1);
  const kept = sliceBytes(bytes, [2, 2], { axis: 1, slices: [1] });
  assertEquals(kept, Uint8Array.of(2, 0, 4, 0));
});

Deno.test("sliceNumbers() is indexing by the definition", () => {
  const cases = fc.record({
    rows: fc.integer({ min: 1, max: 12 }),
    columns: fc.integer({ min: 1, max: 12 }),
    axis: fc.constantFrom(0 as const, 1 as const),
    mask: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
  });
  fc.assert(fc.property(cases, ({ rows, columns, axis, mask }) => {
    const shape = [rows, columns];
    const data = Float32Array.from({ length: rows * columns }, (_, at) => at);
    const slices = mask.slice(0, shape[axis]).flatMap((stays, index) => stays ? [index] : []);
    const expected = data.filter((at) =>
      slices.includes(axis === 0 ? Math.floor(at / columns) : at % columns)
    );
    assertEquals(sliceNumbers(data, shape, { axis, slices }), expected);
    assertEquals(sliceShape(shape, { axis, slices })[axis], slices.length);
  }));
});
