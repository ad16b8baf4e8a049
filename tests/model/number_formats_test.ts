import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  bytesPerNumber,
  decode,
  encode,
  type FloatDataType,
  isDataType,
  isFloat,
} from "../../core/model/number_formats.ts";

const HALVES: readonly FloatDataType[] = ["F16", "BF16"];

function allPatterns(): Uint8Array {
  return new Uint8Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer);
}

for (const dataType of HALVES) {
  Deno.test(`encode() gives back every ${dataType} number that decode() reads`, () => {
    const patterns = new Uint16Array(allPatterns().buffer);
    const values = decode(allPatterns(), dataType);
    const again = new Uint16Array(encode(values, dataType).buffer);
    for (let bits = 0; bits < 65536; bits++) {
      if (Number.isNaN(values[bits])) {
        assert(
          Number.isNaN(decode(encode(values.subarray(bits, bits + 1), dataType), dataType)[0]),
        );
      } else assertEquals(again[bits], patterns[bits]);
    }
  });

  Deno.test(`encode() rounds to the nearest ${dataType} number, ties to even`, () => {
    const finite = [...decode(allPatterns(), dataType)].filter(Number.isFinite);
    const largest = Math.max(...finite);
    fc.assert(fc.property(
      fc.float({
        noNaN: true,
        noDefaultInfinity: true,
        min: Math.fround(-6e4),
        max: Math.fround(6e4),
      }),
      (value) => {
        const [rounded] = decode(encode(new Float32Array([value]), dataType), dataType);
        const [bits] = new Uint16Array(encode(new Float32Array([value]), dataType).buffer);
        const neighbours = decode(
          new Uint8Array(new Uint16Array([bits & 0x7fff ? bits - 1 : bits, bits + 1]).buffer),
          dataType,
        );
        for (const neighbour of neighbours) {
          if (!Number.isFinite(neighbour)) continue;
          const here = Math.abs(rounded - value);
          const there = Math.abs(neighbour - value);
          assert(here < there || (here === there && (bits % 2 === 0 || neighbour === rounded)));
        }
        assert(Math.abs(rounded) <= largest);
      },
    ));
  });

  Deno.test(`encode() keeps NaN and infinity as ${dataType}, and overflows to infinity`, () => {
    const values = new Float32Array([NaN, Infinity, -Infinity, 3.4e38, -3.4e38, -0]);
    new Uint32Array(values.buffer)[0] = 0x7f800001; // A NaN whose fraction lies in the lower half alone.
    const [nan, ...others] = decode(encode(values, dataType), dataType);
    assert(Number.isNaN(nan));
    assertEquals(others, [Infinity, -Infinity, Infinity, -Infinity, -0]);
  });
}

Deno.test("encode() and decode() keep float32 bit by bit as F32 and F64", () => {
  fc.assert(fc.property(fc.float32Array(), (values) => {
    assertEquals(decode(encode(values, "F32"), "F32"), values);
    assertEquals(decode(encode(values, "F64"), "F64"), values);
  }));
});

Deno.test("decode() takes bytes at any alignment", () => {
  for (const dataType of ["F64", "F32", "F16", "BF16"] as const) {
    const bytes = encode(new Float32Array([1, -2.5, 0.75]), dataType);
    for (let shift = 0; shift < 8; shift++) {
      const shifted = new Uint8Array(bytes.length + 8);
      shifted.set(bytes, shift);
      const view = shifted.subarray(shift, shift + bytes.length);
      assertEquals([...decode(view, dataType)], [1, -2.5, 0.75]);
    }
  }
});

Deno.test("bytesPerNumber(), isFloat() and isDataType() tell data types apart", () => {
  assertEquals(bytesPerNumber("BF16"), 2);
  assertEquals([isFloat("F64"), isFloat("I8"), isFloat("BOOL")], [true, false, false]);
  assertEquals(["F32", "F8_E4M3", "toString", 4, undefined].map(isDataType), [
    true,
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("decode() reads bf16 of any number and at any place alike", () => {
  const patterns = new Uint16Array(allPatterns().buffer);
  fc.assert(fc.property(
    fc.nat(70),
    fc.nat(7),
    fc.nat(65000),
    (count, shift, first) => {
      const numbers = patterns.slice(first, first + count);
      const bytes = new Uint8Array(shift + 2 * count).subarray(shift);
      bytes.set(new Uint8Array(numbers.buffer));
      const view = new DataView(new ArrayBuffer(4));
      const expected = Float32Array.from(numbers, (bits) => {
        view.setUint32(0, bits * 65536);
        return view.getFloat32(0);
      });
      assertEquals(decode(bytes, "BF16"), expected);
    },
  ));
});
