import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type BlockLayout, toBlocks, toInt8 } from "../../../core/export/onnx/quantize.ts";

/** Numbers as ONNX Runtime's documentation of `MatMulNBits` reads them back. */
function fromBlocks(
  { packed, scales }: ReturnType<typeof toBlocks>,
  { columns, blockSize, bits }: BlockLayout,
): Float32Array {
  const blocks = Math.ceil(columns / blockSize);
  const rows = scales.length / blocks;
  return Float32Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const block = row * blocks + Math.floor(column / blockSize);
    const place = column % blockSize;
    const byte = packed[block * blockSize * bits / 8 + Math.floor(place * bits / 8)];
    const value = bits === 8 ? byte : place % 2 === 0 ? byte & 15 : byte >> 4;
    return (value - 2 ** (bits - 1)) * scales[block];
  });
}

const matrix = fc.record({
  rows: fc.integer({ min: 1, max: 4 }),
  columns: fc.integer({ min: 1, max: 70 }),
  seed: fc.integer(),
  size: fc.constantFrom(1e-6, 0.03, 1, 500),
}).map(({ rows, columns, seed, size }) => ({
  columns,
  numbers: Float32Array.from(
    { length: rows * columns },
    (_, at) => size * Math.sin((seed % 1000) + 7.3 * at * at),
  ),
}));

Deno.test("toBlocks() stays within half a step of every number, but for those past the short end", () => {
  fc.assert(fc.property(matrix, fc.constantFrom(4 as const, 8 as const), (drawn, bits) => {
    const { columns, numbers } = drawn;
    const layout = { columns, blockSize: 32, bits };
    const rounded = toBlocks(numbers, layout);
    const back = fromBlocks(rounded, layout);
    const blocks = Math.ceil(columns / 32);
    for (const [at, number] of numbers.entries()) {
      const row = Math.floor(at / columns);
      const scale = rounded.scales[row * blocks + Math.floor((at % columns) / 32)];
      // Scales below the plain one cut the largest numbers off; the rest is rounded to the nearest.
      const reach = Math.max(
        ...[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1].map((end) => end * scale),
      );
      const low = Math.min(...[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1].map((end) => end * scale));
      const nearest = Math.max(low, Math.min(reach, number));
      assert(Math.abs(back[at] - nearest) <= Math.abs(scale) * 0.5001, `${number} as ${back[at]}`);
    }
  }));
});

Deno.test("toBlocks() with 4 bits is no worse than the plain scale, in squares", () => {
  fc.assert(fc.property(matrix, ({ columns, numbers }) => {
    const layout = { columns, blockSize: 32, bits: 4 } as const;
    const back = fromBlocks(toBlocks(numbers, layout), layout);
    const plain = numbers.map((number, at) => {
      const start = Math.floor(at / columns) * columns + Math.floor((at % columns) / 32) * 32;
      const end = Math.min(start + 32, (Math.floor(at / columns) + 1) * columns);
      const block = numbers.subarray(start, end);
      const largest = block.reduce((a, b) => Math.abs(b) > Math.abs(a) ? b : a, 0);
      const scale = Math.fround(largest / -8);
      return scale === 0 ? 0 : scale * Math.max(-8, Math.min(7, Math.round(number / scale)));
    });
    const error = (values: Float32Array) =>
      values.reduce((sum, value, at) => sum + (value - numbers[at]) ** 2, 0);
    assert(error(back) <= error(plain) * 1.00001 + 1e-30);
  }));
});

Deno.test("toBlocks() fills rows that end within a block with what stands for 0", () => {
  const layout = { columns: 3, blockSize: 32, bits: 4 } as const;
  const { packed } = toBlocks(Float32Array.of(-8, 0, 7), layout);
  assertEquals([...packed.subarray(0, 4)], [0x80, 0x8f, 0x88, 0x88]);
  assertEquals([...toBlocks(new Float32Array(3), layout).scales], [0]);
});

Deno.test("toInt8() stays within half a step and uses the range of every row", () => {
  fc.assert(fc.property(matrix, ({ columns, numbers }) => {
    const { data, scales } = toInt8(numbers, columns);
    for (const [at, number] of numbers.entries()) {
      const scale = scales[Math.floor(at / columns)];
      assert(Math.abs(data[at] * scale - number) <= 0.5001 * scale + 1e-12);
    }
    for (const [row, scale] of scales.entries()) {
      const own = data.subarray(row * columns, (row + 1) * columns);
      if (scale === 0) continue;
      const sums = [...own].map((value, at) =>
        Math.abs(value + (at % 2 === 0 ? own[at + 1] ?? 0 : 0))
      );
      assert(Math.max(...sums, ...own.map(Math.abs)) >= 126);
    }
  }));
});

Deno.test("toInt8() keeps sums of two products with bytes within 16 bits", () => {
  const ends = fc.constantFrom(1, -1, 0.999, -0.999, 0.5, 0);
  const rows = fc.tuple(
    fc.integer({ min: 1, max: 9 }),
    fc.array(ends, { minLength: 9, maxLength: 9 }),
  );
  fc.assert(fc.property(rows, ([columns, numbers]) => {
    const { data } = toInt8(Float32Array.from(numbers.slice(0, columns)), columns);
    for (let at = 0; at < columns; at += 2) {
      for (const [first, second] of [[255, 255], [255, 0], [0, 255]]) {
        const sum = first * data[at] + second * (data[at + 1] ?? 0);
        assert(sum >= -32768 && sum <= 32767, `${data}`);
      }
    }
  }));
  // By hand: equal neighbours get half the range, which 127 / 2 rounds to; a pair that cancels keeps all of it.
  assertEquals([...toInt8(Float32Array.of(1, 1), 2).data], [64, 64]);
  assertEquals([...toInt8(Float32Array.of(1, -1), 2).data], [127, -127]);
});
