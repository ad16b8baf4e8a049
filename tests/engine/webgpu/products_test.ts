import fc from "fast-check";
import { Commands } from "../../../core/engine/webgpu/commands.ts";
import { TILES } from "../../../core/engine/webgpu/kernels/product.ts";
import {
  project,
  regionOf,
  sendRows,
  temporaryRows,
  tightRows,
} from "../../../core/engine/webgpu/operations.ts";
import { OuterSum } from "../../../core/engine/webgpu/sums.ts";
import { Weights } from "../../../core/engine/webgpu/weights.ts";
import { decode, encode } from "../../../core/model/number_formats.ts";
import type { Tensor } from "../../../core/model/types.ts";
import { normalNumbers } from "../../helpers/random-model.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";
import { openWebGpuEngine } from "../../../core/engine/webgpu/engine.ts";
import { adapterIsMissing, assertSame } from "./helpers.ts";

const ignore = await adapterIsMissing();

const tileNames = Object.keys(TILES) as (keyof typeof TILES)[];

function randomNumbers(count: number, seed: number): Float32Array {
  const next = normalNumbers(seed);
  return Float32Array.from({ length: count }, next);
}

/** left rightᵀ in double precision. */
function plainProduct(left: Float32Array, right: Float32Array, depth: number): Float64Array {
  const [rows, columns] = [left.length / depth, right.length / depth];
  const product = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) sum += left[row * depth + k] * right[column * depth + k];
      product[row * columns + column] = sum;
    }
  }
  return product;
}

function transposed(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns;
  const result = new Float32Array(matrix.length);
  matrix.forEach((value, at) => result[at % columns * rows + Math.floor(at / columns)] = value);
  return result;
}

Deno.test({
  name: "project() multiplies matrices of any size, tile and format, with bias and residual",
  ignore,
  fn: async () => {
    const engine = await openWebGpuEngine({ bindingBytes: 65_536 });
    const { context } = engine;
    await withTemporaryFolder(async (folder) => {
      const size = fc.integer({ min: 1, max: 150 });
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...tileNames),
          fc.constantFrom("F32" as const, "F16" as const, "BF16" as const),
          fc.tuple(size, size, size),
          fc.boolean(),
          fc.integer({ min: 1, max: 1000 }),
          async (tile, dataType, [rows, columns, depth], finished, seed) => {
            context.forcedTile = tile;
            const input = randomNumbers(rows * depth, seed);
            const bytes = encode(randomNumbers(columns * depth, seed + 1), dataType);
            const weight = decode(Uint8Array.from(bytes), dataType);
            const path = `${folder}/weight`;
            await Deno.writeFile(path, bytes);
            const view: Tensor = {
              name: "weight",
              dataType,
              shape: [columns, depth],
              path,
              offset: 0,
              byteLength: bytes.length,
            };
            const bias = randomNumbers(columns, seed + 2);
            const residual = randomNumbers(rows * columns, seed + 3);
            const weights = new Weights(context);
            const matrix = await weights.matrix([view]);
            const vector = await weights.vector({ shape: [columns], data: bias });
            const operations = { context, commands: new Commands(context) };
            const left = sendRows(operations, input, depth);
            const other = sendRows(operations, residual, columns);
            const output = temporaryRows(operations, rows, columns);
            project(
              operations,
              left,
              matrix,
              output,
              finished ? { bias: vector, other, epilogue: { kind: "residual" } } : {},
            );
            operations.commands.read(regionOf(output));
            const [read] = await operations.commands.submit();
            weights.close();
            const expected = plainProduct(input, weight, depth).map((value, at) =>
              finished ? value + bias[at % columns] + residual[at] : value
            );
            assertSame("product", tightRows(read, columns), expected, 1e-5);
          },
        ),
        { numRuns: 30, seed: 6 },
      );
    });
    await engine.close();
  },
});

Deno.test({
  name: "OuterSum adds products of any size in stripes and in one piece, symmetric or not",
  ignore,
  fn: async () => {
    for (const bindingBytes of [undefined, 16_384]) {
      const engine = await openWebGpuEngine({ bindingBytes });
      const { context } = engine;
      const size = fc.integer({ min: 1, max: 100 });
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...tileNames),
          fc.tuple(fc.integer({ min: 1, max: 40 }), size, size),
          fc.boolean(),
          fc.integer({ min: 1, max: 1000 }),
          async (tile, [tokens, rows, columns], same, seed) => {
            context.forcedTile = tile;
            const left = randomNumbers(tokens * rows, seed);
            const right = same ? left : randomNumbers(tokens * columns, seed + 1);
            const width = same ? rows : columns;
            const operations = { context, commands: new Commands(context) };
            const a = sendRows(operations, left, rows);
            const b = same ? a : sendRows(operations, right, columns);
            const room = (numbers: number) => operations.commands.temporary(numbers);
            const sum = new OuterSum(context, room, rows, width);
            sum.add(operations, a, b);
            sum.add(operations, a, b);
            const add = sum.read(operations.commands);
            const total = new Float32Array(rows * width);
            add(await operations.commands.submit(), total);
            const once = plainProduct(transposed(left, rows), transposed(right, width), tokens);
            assertSame("sum", total, once.map((value) => 2 * value), 1e-5);
          },
        ),
        { numRuns: 15, seed: 6 },
      );
      await engine.close();
    }
  },
});
