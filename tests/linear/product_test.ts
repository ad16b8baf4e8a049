import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { CancelledError } from "../../core/errors.ts";
import { makePace } from "../../core/linear/pace.ts";
import {
  addProduct,
  multiplyBySelf,
  multiplyTransposed,
  part,
  take,
  transpose,
  whole,
} from "../../core/linear/product.ts";
import { assertClose, naiveProduct, naiveTranspose, randomMatrix } from "../helpers/matrices.ts";

const size = fc.integer({ min: 1, max: 40 });

Deno.test("multiplyTransposed() is the product by the definition, for all sizes of tiles and edges", async () => {
  await fc.assert(fc.asyncProperty(size, size, size, async (rows, columns, depth) => {
    const left = randomMatrix(rows, depth, rows);
    const right = randomMatrix(columns, depth, 99 + columns);
    const product = await multiplyTransposed(
      whole(left, rows, depth),
      whole(right, columns, depth),
    );
    assertClose(product, naiveProduct(left, naiveTranspose(right, depth), depth));
  }));
});

Deno.test("multiplyTransposed() adds up operands deeper than a panel", async () => {
  const [rows, columns, depth] = [5, 7, 600];
  const left = randomMatrix(rows, depth, 1);
  const right = randomMatrix(columns, depth, 2);
  const product = await multiplyTransposed(whole(left, rows, depth), whole(right, columns, depth));
  assertClose(product, naiveProduct(left, naiveTranspose(right, depth), depth), 1e-10);
});

Deno.test("multiplyBySelf() is symmetric and equals the full product", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 220 }), async (rows) => {
      const left = whole(randomMatrix(rows, 3, rows), rows, 3);
      assertClose(await multiplyBySelf(left), await multiplyTransposed(left, left), 1e-12);
    }),
    { numRuns: 30 },
  );
});

Deno.test("addProduct() touches nothing outside its block", async () => {
  const matrix = new Float64Array(36).fill(1);
  const ones = whole(new Float64Array(6).fill(1), 3, 2);
  await addProduct(part(matrix, 6, [1, 4], [2, 5]), ones, ones, { factor: -0.5 });
  const expected = Array.from({ length: 36 }, (_, at) => {
    const [row, column] = [Math.floor(at / 6), at % 6];
    return row >= 1 && row < 4 && column >= 2 && column < 5 ? 0 : 1;
  });
  assertEquals(Array.from(matrix), expected);
});

Deno.test("transpose() and take() follow their definitions", () => {
  const matrix = Float64Array.of(1, 2, 3, 4, 5, 6);
  assertEquals(transpose(matrix, 2, 3), Float64Array.of(1, 4, 2, 5, 3, 6));
  assertEquals(take(matrix, 3, [1, 0], [2, 0]), Float64Array.of(6, 4, 3, 1));
  const large = randomMatrix(70, 45, 3);
  assertEquals(transpose(large, 70, 45), naiveTranspose(large, 45));
});

Deno.test("makePace() throws once the signal is aborted, and lets timers run until then", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 60);
  const pace = makePace(controller.signal);
  await assertRejects(async () => {
    for (;;) await pace();
  }, CancelledError);
});
