import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { StatisticsError } from "../../core/errors.ts";
import {
  cholesky,
  choleskyDamped,
  factorDamped,
  invertSymmetric,
  solveCholesky,
  solveInPlace,
} from "../../core/linear/cholesky.ts";
import { addingWith } from "../../core/linear/adding.ts";
import { mirrorLower, multiplyTransposed } from "../../core/linear/product.ts";
import {
  assertClose,
  naiveProduct,
  naiveTranspose,
  randomGram,
  randomMatrix,
} from "../helpers/matrices.ts";

const SIZES = [1, 2, 3, 63, 64, 65, 130, 260];

function identity(size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, at) => at % (size + 1) === 0 ? 1 : 0);
}

async function factorOf(matrix: Float64Array, size: number): Promise<Float64Array> {
  const factor = await cholesky(matrix, size);
  assert(factor !== undefined);
  return factor;
}

Deno.test("cholesky() gives the factor worked by hand", async () => {
  const matrix = Float64Array.of(4, 12, -16, 12, 37, -43, -16, -43, 98);
  assertEquals(await cholesky(matrix, 3), Float64Array.of(2, 0, 0, 6, 1, 0, -8, 5, 3));
});

for (const size of SIZES) {
  Deno.test(`cholesky() times its transpose is the matrix of size ${size}`, async () => {
    const matrix = randomGram(size, 3 * size, size);
    const factor = await factorOf(matrix, size);
    assertClose(naiveProduct(factor, naiveTranspose(factor, size), size), matrix, 1e-9);
  });

  Deno.test(`invertSymmetric() times the matrix of size ${size} is the identity`, async () => {
    const matrix = randomGram(size, 3 * size, size);
    const inverse = await invertSymmetric(await factorOf(matrix, size), size);
    mirrorLower(inverse, size);
    assertClose(naiveProduct(inverse, matrix, size), identity(size), 1e-7);
  });

  Deno.test(`solveCholesky() times the matrix of size ${size} is the right-hand side`, async () => {
    const matrix = randomGram(size, 3 * size, size);
    const rightHand = randomMatrix(5, size, 7);
    const solution = await solveCholesky(await factorOf(matrix, size), size, rightHand, 5);
    assertClose(naiveProduct(solution, matrix, size), rightHand, 1e-7);
  });
}

Deno.test("cholesky() gives undefined for a matrix that is not positive definite", async () => {
  assertEquals(await cholesky(Float64Array.of(1, 2, 2, 1), 2), undefined);
  assertEquals(await cholesky(Float64Array.of(0), 1), undefined);
  assertEquals(await cholesky(Float64Array.of(NaN), 1), undefined);
});

Deno.test("choleskyDamped() adds what was asked for and no more where that is enough", async () => {
  const { factor, damping } = await choleskyDamped(Float64Array.of(3, 0, 0, 8), 2, 1);
  assertEquals(damping, 1);
  assertEquals(factor, Float64Array.of(2, 0, 0, 3));
});

Deno.test("choleskyDamped() raises the damping until a matrix without rank can be factored", async () => {
  // All ones: rank one, and rounding makes it indefinite.
  const { factor, damping } = await choleskyDamped(new Float64Array(100 * 100).fill(1), 100, 0);
  assertGreater(damping, 0);
  assert(damping < 1e-6);
  assert(factor.every(Number.isFinite));
  const zero = await choleskyDamped(new Float64Array(4), 2, 0);
  assertGreater(zero.damping, 0);
});

Deno.test("choleskyDamped() refuses numbers that are not finite", async () => {
  for (const value of [NaN, Infinity]) {
    await assertRejects(
      () => choleskyDamped(Float64Array.of(1, value, value, 1), 2, 1),
      StatisticsError,
      "not finite",
    );
  }
});

Deno.test("factorDamped() puts the factor worked by hand below the diagonal, and leaves the matrix above it", async () => {
  const matrix = Float64Array.of(4, 12, -16, 12, 37, -43, -16, -43, 98);
  assertEquals(await factorDamped(matrix, 3, 0), 0);
  assertEquals(matrix, Float64Array.of(2, 12, -16, 6, 1, -43, -8, 5, 3));
});

Deno.test("invertSymmetric() in place gives the inverse worked by hand", async () => {
  // L = [2, 0; 3, 1], L Lᵀ = [4, 6; 6, 10], its inverse [2.5, -1.5; -1.5, 1]; what is above the diagonal is not asked for.
  const factor = Float64Array.of(2, NaN, 3, 1);
  const inverse = await invertSymmetric(factor, 2);
  assert(inverse === factor);
  assertClose([inverse[0], inverse[2], inverse[3]], [2.5, -1.5, 1], 1e-15);
});

const works = [
  ["this program's own products", {}],
  ["products of another, few numbers copied at a time", {
    add: addingWith(multiplyTransposed, 2000),
    largestCopy: 5000,
  }],
] as const;

for (const size of [...SIZES, 400]) {
  for (const [name, work] of works) {
    Deno.test(`Factors, inverses and solutions in place are those beside, of size ${size}, with ${name}`, async () => {
      const matrix = randomGram(size, 3 * size, size);
      const { factor, damping } = await choleskyDamped(matrix, size, 0.1);
      const own = matrix.slice();
      assertEquals(await factorDamped(own, size, 0.1, work), damping);
      for (let row = 0; row < size; row++) {
        const [from, to] = [row * size, row * size + row + 1];
        assertClose(own.subarray(from, to), factor.subarray(from, to), 1e-10);
        assertEquals(own.subarray(to, from + size), matrix.subarray(to, from + size));
      }
      const rightHand = randomMatrix(7, size, 3);
      const solution = rightHand.slice();
      await solveInPlace(own, size, solution, 7, work);
      const expected = await solveCholesky(factor, size, rightHand, 7);
      assertClose(solution, expected, 1e-10 * Math.max(1, ...expected.map(Math.abs)));
      const inverse = await invertSymmetric(own, size, work);
      mirrorLower(inverse, size);
      for (let i = 0; i < size; i++) matrix[i * (size + 1)] += damping;
      assertClose(naiveProduct(inverse, matrix, size), identity(size), 1e-7);
    });
  }
}

Deno.test("factorDamped() tries again with the matrix that it was given", async () => {
  // Rank one and rounding: the first trials fail half way.
  const size = 150;
  const matrix = Float64Array.from(
    { length: size * size },
    (_, at) => (1 + Math.floor(at / size) % 7) * (1 + at % size % 7),
  );
  const before = matrix.slice();
  const damping = await factorDamped(matrix, size, 0);
  assertGreater(damping, 0);
  const damped = before.slice();
  for (let i = 0; i < size; i++) damped[i * (size + 1)] += damping;
  const factor = await factorOf(damped, size);
  for (let row = 0; row < size; row++) {
    const [from, to] = [row * size, row * size + row + 1];
    assertEquals(matrix.subarray(from, to), factor.subarray(from, to));
  }
});
