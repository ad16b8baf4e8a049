import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { OptionError } from "../../core/errors.ts";
import {
  exportFormats,
  exportTargets,
  formatNames,
  quantizationNames,
} from "../../core/export/formats.ts";

const available = formatNames.filter((name) => exportFormats[name].available);

Deno.test("exportTargets() gives every format something, and every quantisation a place", () => {
  fc.assert(
    fc.property(
      fc.subarray([...available], { minLength: 1 }),
      fc.subarray([...quantizationNames]),
      (formats, quantize) => {
        const holds = (word: string) =>
          formats.some((name) => exportFormats[name].quantizations.includes(word));
        if (!quantize.every(holds)) {
          assertThrows(() => exportTargets(formats, quantize), OptionError, "Cannot quantise to");
          return;
        }
        const targets = exportTargets(formats, quantize);
        assertEquals([...new Set(targets.map(({ format }) => format))], formats);
        for (const { format, quantize } of targets) {
          assert(exportFormats[format].quantizations.includes(quantize));
        }
        for (const word of quantize) assert(targets.some(({ quantize }) => quantize === word));
        const files = targets.map(({ format, quantize }) =>
          exportFormats[format].file("name", quantize)
        );
        assertEquals(new Set(files).size, files.length);
      },
    ),
  );
});

Deno.test("exportTargets() takes defaults where nothing is said, and names each format once", () => {
  assertEquals(exportTargets(), [{ format: "hf", quantize: "none" }]);
  assertEquals(exportTargets(["onnx", "onnx"], ["q4", "q4"]), [{ format: "onnx", quantize: "q4" }]);
});

for (
  const [formats, quantize, says] of [
    [["onxx"], [], "format 'onxx'"],
    [["__proto__"], [], "format '__proto__'"],
    [[""], [], "format ''"],
    [["onnx"], ["f32"], "Cannot quantise to 'f32': onnx takes none, f16, q8, q4"],
    [["onnx"], [""], "Cannot quantise to ''"],
    [["hf"], ["q8_0"], "gguf alone: hf takes --dtype instead"],
  ] as const
) {
  Deno.test(`exportTargets() refuses ${formats} with '${quantize}'`, () => {
    assertThrows(() => exportTargets(formats, quantize), OptionError, says);
  });
}
