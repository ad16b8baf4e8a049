import { assert, assertEquals } from "@std/assert";
import { gguf } from "@huggingface/gguf";
import fc from "fast-check";
import {
  type GgufMetadata,
  type GgufScalarType,
  type GgufTensorType,
  type GgufValue,
  storedBytes,
} from "../../../core/export/gguf/format.ts";
import { exportGguf } from "../../../core/export/gguf/mod.ts";
import { readGgufHeader } from "../../../core/export/gguf/reader.ts";
import { writeGguf } from "../../../core/export/gguf/writer.ts";
import { openModel } from "../../../core/model/open.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";
import { differingShapes, randomModel, replaceJson } from "./helpers.ts";

/** What a reader that nobody here wrote finds in a file. */
async function readByOthers(path: string) {
  const { metadata, tensorInfos, tensorDataOffset } = await gguf(path, { allowLocalFile: true });
  return {
    metadata: metadata as unknown as Record<string, unknown>,
    tensors: tensorInfos,
    start: Number(tensorDataOffset),
  };
}

const scalars: Readonly<Record<GgufScalarType, fc.Arbitrary<number | string | boolean>>> = {
  uint32: fc.nat(),
  int32: fc.integer(),
  float32: fc.float({ noNaN: true, noDefaultInfinity: true }),
  bool: fc.boolean(),
  string: fc.string({ unit: "grapheme" }),
};

const value: fc.Arbitrary<GgufValue> = fc.constantFrom(...Object.keys(scalars) as GgufScalarType[])
  .chain((type) =>
    fc.oneof(scalars[type], fc.array(scalars[type], { maxLength: 20 }))
      .map((value) => ({ type, value }))
  );

Deno.test("readGgufHeader() reads every kind of value and tensor that writeGguf() writes", () =>
  withTemporaryFolder(async (folder) => {
    const path = `${folder}/x.gguf`;
    const tensor = fc.record({
      type: fc.constantFrom<GgufTensorType>("F32", "F16", "Q8_0", "Q4_0"),
      rows: fc.integer({ min: 1, max: 5 }),
      blocks: fc.integer({ min: 1, max: 3 }),
    });
    const keys = fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        keys,
        fc.array(value, { minLength: 5, maxLength: 5 }),
        fc.array(tensor),
        async (keys, values, kinds) => {
          const metadata: GgufMetadata = new Map(
            keys.filter((key) => key !== "general.alignment").map((
              key,
              index,
            ) => [key, values[index]]),
          );
          const tensors = kinds.map(({ type, rows, blocks }, index) => ({
            name: `t${index}`,
            type,
            shape: [rows, 32 * blocks],
            rows: (_: number, count: number) =>
              Promise.resolve(new Float32Array(count * 32 * blocks).fill(1)),
          }));
          const bytes = await writeGguf(path, metadata, tensors);
          const header = await readGgufHeader(path);
          assertEquals(header.fileBytes, bytes);
          assertEquals(
            [...header.metadata],
            [...metadata].map(([key, { value }]) => [key, value]),
          );
          const places = [...header.tensors.values()];
          assertEquals(
            places.map(({ name, type, shape }) => ({ name, type, shape })),
            tensors.map(({ name, type, shape }) => ({ name, type, shape })),
          );
          let end = 0;
          for (const { offset, byteLength, type, shape } of places) {
            assertEquals(offset % 32, 0);
            assert(offset >= end);
            end = offset + byteLength;
            assertEquals(byteLength, storedBytes(type, shape[0] * shape[1]));
          }
          assert(end <= bytes);
        },
      ),
      { numRuns: 40 },
    );
  }));

Deno.test("@huggingface/gguf reads every key and tensor of the embedded model", () =>
  withTemporaryFolder(async (folder) => {
    const model = await openModel();
    const { path } = await exportGguf(model, folder, { name: "small", quantize: "q8_0" });
    const own = await readGgufHeader(path);
    const { metadata, tensors, start } = await readByOthers(path);
    for (const [key, value] of own.metadata) {
      // Numbers of 32 bits come as they are; decimals are rounded to float32 by both.
      assertEquals(metadata[key], value, key);
    }
    assertEquals(metadata["general.architecture"], "llama");
    assertEquals(metadata["general.name"], "small");
    assertEquals(metadata["general.file_type"], 7);
    assertEquals(metadata["llama.block_count"], 6);
    assertEquals(metadata["llama.context_length"], 256);
    assertEquals(metadata["llama.attention.head_count_kv"], 4);
    assertEquals(metadata["tokenizer.ggml.model"], "gpt2");
    assertEquals(metadata["tokenizer.ggml.pre"], "gpt-2");
    assertEquals((metadata["tokenizer.ggml.tokens"] as string[]).length, 2048);
    assertEquals((metadata["tokenizer.ggml.merges"] as string[])[0], "Ġ t");
    assertEquals(metadata["tokenizer.ggml.add_bos_token"], false);
    assertEquals(Number(metadata.tensor_count), tensors.length);
    assertEquals(
      tensors.map(({ name, shape, offset }) => [
        name,
        shape.map(Number).reverse(),
        start + Number(offset),
      ]),
      [...own.tensors.values()].map(({ name, shape, offset }) => [name, shape, offset]),
    );
  }));

Deno.test("@huggingface/gguf reads sizes by layer, a chat template and special tokens", () =>
  withTemporaryFolder(async (folder) => {
    const model = await randomModel(`${folder}/model`, {
      shapes: differingShapes,
      startToken: true,
    });
    await replaceJson(`${model.folder}/tokenizer_config.json`, (settings) => {
      settings.chat_template = [
        { name: "default", template: "{{ messages }}" },
        { name: "tools", template: "{{ tools }}" },
      ];
      settings.pad_token = { content: "<|endoftext|>" };
    });
    await Deno.writeTextFile(
      `${model.folder}/generation_config.json`,
      JSON.stringify({ eos_token_id: [256, 7] }),
    );
    const { path } = await exportGguf(model, folder);
    const { metadata } = await readByOthers(path);
    assertEquals(metadata["general.architecture"], "deci");
    assertEquals(metadata["deci.feed_forward_length"], [48, 40, 64]);
    assertEquals(metadata["deci.attention.head_count"], [4, 2, 6]);
    assertEquals(metadata["deci.attention.head_count_kv"], [2, 1, 3]);
    assertEquals(metadata["tokenizer.chat_template"], "{{ messages }}");
    assertEquals(metadata["tokenizer.chat_template.tools"], "{{ tools }}");
    assertEquals(metadata["tokenizer.chat_templates"], ["tools"]);
    assertEquals(metadata["tokenizer.ggml.add_bos_token"], true);
    assertEquals(metadata["tokenizer.ggml.eot_token_id"], 7);
    assertEquals(metadata["tokenizer.ggml.padding_token_id"], 256);
  }));
