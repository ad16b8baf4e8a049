import { assertEquals } from "@std/assert";
import { weightNorms } from "../../core/calibrate/weight_norms.ts";
import { memoryTensor, readTensor } from "../../core/model/tensor_reader.ts";
import type { BlockRole, Tensor } from "../../core/model/types.ts";
import { assertClose, firstBlock, withModel } from "../engine/helpers.ts";

Deno.test("weightNorms() are norms of columns and rows, of any size, in files and in memory", async () => {
  const options = {
    hidden: 9,
    headSize: 4,
    keyValueHeads: 1,
    queryHeads: 3,
    ffnWidth: 7,
    dtype: "bf16",
  } as const;
  await withModel(options, async (_, model) => {
    const { architecture, shape, tensors } = firstBlock(model);
    const norms = weightNorms(architecture, shape, tensors);
    const inMemory = new Map<BlockRole, Tensor>();
    for (const [role, tensor] of tensors) {
      inMemory.set(role, memoryTensor(tensor.shape, await readTensor(tensor)));
    }
    assertEquals(weightNorms(architecture, shape, inMemory), norms);
    const rows = async (role: BlockRole) => {
      const tensor = tensors.get(role)!;
      const data = await readTensor(tensor), [count, width] = tensor.shape;
      return Array.from(
        { length: count },
        (_, row) => Array.from(data.subarray(row * width, (row + 1) * width)),
      );
    };
    const norm = (numbers: readonly number[]) => Math.hypot(...numbers);
    for (const [kind, role] of [["ffn", "down_proj"], ["heads", "o_proj"]] as const) {
      const matrix = await rows(`${role}.weight`);
      const columns = matrix[0].map((_, column) => matrix.map((row) => row[column]));
      assertClose(norms[kind].columnNorm, columns.map(norm), 1e-12);
      assertClose(
        norms[kind].columnMeanAbsolute,
        columns.map((column) => column.reduce((sum, w) => sum + Math.abs(w), 0) / column.length),
        1e-12,
      );
    }
    const [gate, up, value] = [
      await rows("gate_proj.weight"),
      await rows("up_proj.weight"),
      await rows("v_proj.weight"),
    ];
    assertClose(norms.ffn.rowNorm, up.map((row, j) => norm(row) * norm(gate[j])), 1e-12);
    const perGroup = shape.queryHeads / shape.keyValueHeads, { headSize } = architecture;
    assertClose(
      norms.heads.rowNorm,
      Array.from({ length: shape.queryHeads * headSize }, (_, channel) => {
        const group = Math.floor(channel / headSize / perGroup);
        return norm(value[group * headSize + channel % headSize]);
      }),
      1e-12,
    );
  });
});
