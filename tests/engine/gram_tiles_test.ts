import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { syntheticBlock, syntheticStream } from "../../core/engine/synthetic.ts";
import { floats, openSession } from "../../core/engine/runtime.ts";
import { GraphBuilder } from "../../core/onnx/graph.ts";
import { addGramTiles, gramTiles } from "../../core/onnx/sums.ts";
import { normalNumbers } from "../helpers/random-model.ts";
import { assertClose, withEngine } from "./helpers.ts";

Deno.test("gramTiles() cover the lower half of any size once, and nothing above the diagonal's tiles", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5000 }), (channels) => {
    const tiles = gramTiles(channels);
    const rows = new Map<number, number>();
    for (const { rows: [top, bottom], columns: [left, right] } of tiles) {
      assertEquals(left <= top && left < right && top < bottom && bottom <= channels, true);
      // Tiles of a strip come from left to right, each where the one before ended.
      assertEquals(left, rows.get(top) ?? 0);
      rows.set(top, right);
      if (left === top) assertEquals(right, bottom);
    }
    const tops = [...rows.keys()].sort((a, b) => a - b);
    assertEquals(tops[0], 0);
    tops.forEach((top, at) => assertEquals(rows.get(top), tops[at + 1] ?? channels));
  }));
});

for (const channels of [7, 255, 256, 300, 577]) {
  Deno.test(`addGramTiles() gives Σ x xᵀ of ${channels} channels`, async () => {
    const tokens = 9;
    const x = Float32Array.from({ length: tokens * channels }, normalNumbers(channels));
    const graph = new GraphBuilder();
    addGramTiles(graph, "x", graph.input("input", "F32", ["tokens", channels]), channels);
    const session = await openSession(graph.bytes("gram"), "a Gram matrix", {
      threads: 2,
      goal: "speed",
    });
    const tiles = gramTiles(channels).map((tile) => {
      const shape = [tile.rows[1] - tile.rows[0], tile.columns[1] - tile.columns[0]];
      return { ...tile, shape, data: new Float32Array(shape[0] * shape[1]) };
    });
    const outputs = tiles.map(({ output, data, shape }) =>
      [`x.${output}`, floats(data, shape)] as const
    );
    await session.run({ input: floats(x, [tokens, channels]) }, Object.fromEntries(outputs));
    await session.close();
    for (const { rows, columns, shape, data } of tiles) {
      const expected = Float64Array.from({ length: data.length }, (_, index) => {
        const row = rows[0] + Math.floor(index / shape[1]), column = columns[0] + index % shape[1];
        let sum = 0;
        for (let t = 0; t < tokens; t++) sum += x[t * channels + row] * x[t * channels + column];
        return sum;
      });
      assertClose(data, expected, 1e-5);
    }
  });
}

Deno.test("Block.run() gives Gram matrices that are symmetric to the bit, with Σ x² on the diagonal, however a batch is cut", async () => {
  // Scores of one text take more than half of what a run may: two texts are run one after the other.
  const sizes = { hiddenSize: 24, headSize: 8, ffnWidth: 300, keyValueHeads: 3, queryHeads: 9 };
  const length = 2048;
  const stream = syntheticStream(2 * length, sizes.hiddenSize);
  await withEngine(async (engine) => {
    const block = await engine.openBlock(syntheticBlock(sizes, "gram"));
    const both = await block.run(stream, 2, length);
    const one = await block.run(stream.slice(0, stream.length / 2), 1, length);
    const other = await block.run(stream.slice(stream.length / 2), 1, length);
    await block.close();
    const sums = await engine.openBlock(syntheticBlock(sizes, "sums"));
    const plain = await sums.run(stream, 2, length);
    await sums.close();
    for (const kind of ["ffn", "heads"] as const) {
      const { gram, sum, sumOfSquares } = both.sums![kind];
      const n = sum.length;
      const added = one.sums![kind].gram!.map((value, at) => value + other.sums![kind].gram![at]);
      assertClose(gram!, added, 1e-6);
      assertClose(sumOfSquares, plain.sums![kind].sumOfSquares, 1e-5);
      assertClose(sum, plain.sums![kind].sum, 1e-5);
      assertClose(sumOfSquares, Array.from({ length: n }, (_, i) => gram![i * (n + 1)]), 1e-6);
      for (let row = 0; row < n; row++) {
        for (let column = 0; column < row; column++) {
          if (gram![row * n + column] === gram![column * n + row]) continue;
          throw new Error(`${kind}: row ${row}, column ${column} differs from its mirror image`);
        }
      }
    }
  });
});
