import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { CancelledError } from "../../core/errors.ts";
import { addingWith } from "../../core/linear/adding.ts";
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

Deno.test("addingWith() adds what addProduct() adds, in stripes, and nothing above a diagonal it is told of", async () => {
  const sizes = fc.tuple(
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 1, max: 9 }),
    fc.boolean(),
  );
  // With few numbers copied at a time, with as many as there are, and by this program's own products.
  const adding = [addingWith(multiplyTransposed, 500), addingWith(multiplyTransposed), addProduct];
  await fc.assert(
    fc.asyncProperty(sizes, async ([rows, columns, depth, lowerOnly]) => {
      const height = lowerOnly ? columns : rows;
      const left = part(randomMatrix(height, depth + 2, 1), depth + 2, [0, height], [1, depth + 1]);
      const right = lowerOnly && depth % 2 === 0
        ? left
        : whole(randomMatrix(columns, depth, 2), columns, depth);
      const expected = new Float64Array(height * (columns + 1)).fill(1);
      const inside = (matrix: Float64Array) =>
        part(matrix, columns + 1, [0, height], [1, columns + 1]);
      await addProduct(inside(expected), left, right, { factor: -2 });
      for (let row = 0; lowerOnly && row < height; row++) {
        expected.fill(1, row * (columns + 1) + row + 2, (row + 1) * (columns + 1));
      }
      for (const add of adding) {
        const actual = new Float64Array(height * (columns + 1)).fill(1);
        await add(inside(actual), left, right, { factor: -2, lowerOnly });
        assertClose(actual, expected, 1e-12);
      }
    }),
    { numRuns: 40 },
  );
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
