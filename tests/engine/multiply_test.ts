import { assertEquals } from "@std/assert";
import { multiplier } from "../../core/engine/multiply.ts";
import { openOnnxEngine } from "../../core/engine/onnx.ts";
import { multiplyTransposed, part, whole } from "../../core/linear/product.ts";
import { assertClose, randomMatrix } from "../helpers/matrices.ts";

Deno.test("Engine.multiply() of the processor is in float64, of parts of matrices, into an array that is lent", async () => {
  const engine = await openOnnxEngine();
  const left = part(randomMatrix(90, 70, 1), 70, [3, 83], [5, 66]);
  const right = whole(randomMatrix(40, 61, 2), 40, 61);
  const expected = await multiplyTransposed(left, right);
  const memory = new Float64Array(80 * 40 + 2).fill(7);
  const lent = memory.subarray(1, 80 * 40 + 1);
  assertEquals(await engine.multiply!(left, right, lent), lent);
  assertClose(lent, expected, 1e-12);
  assertEquals([memory[0], memory.at(-1)], [7, 7]);
  assertClose((await engine.multiply!(left, right))!, expected, 1e-12);
  await engine.close();
});

Deno.test("multiplier() makes small products, and those of engines that have none, by itself", async () => {
  const engine = await openOnnxEngine();
  const small = whole(randomMatrix(9, 5, 1), 9, 5);
  assertEquals(await engine.multiply!(small, small), undefined);
  const expected = await multiplyTransposed(small, small);
  for (const each of [engine, { ...engine, multiply: undefined }]) {
    assertEquals(await multiplier(each)(small, small), expected);
  }
  await engine.close();
});
