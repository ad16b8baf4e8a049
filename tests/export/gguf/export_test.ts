import { assert, assertEquals, assertRejects } from "@std/assert";
import { CancelledError, ExportError, ModelError } from "../../../core/errors.ts";
import { readGgufHeader } from "../../../core/export/gguf/reader.ts";
import { exportGguf, openGguf, requireGguf } from "../../../core/export/gguf/mod.ts";
import { fromBlocks, toBlocks } from "../../../core/export/gguf/number_blocks.ts";
import { interleaveHeads, separateHeads } from "../../../core/export/gguf/tensors.ts";
import { openModel } from "../../../core/model/open.ts";
import { readTensor } from "../../../core/model/safetensors.ts";
import type { Model } from "../../../core/model/types.ts";
import type { Progress } from "../../../core/progress.ts";
import { assertClose, wholeLogits, withEngine } from "../../engine/helpers.ts";
import type { RandomModelOptions } from "../../helpers/random-model.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";
import { differingShapes, randomModel } from "./helpers.ts";

function withModel(
  options: RandomModelOptions,
  use: (model: Model, folder: string) => Promise<void>,
): Promise<void> {
  return withTemporaryFolder(async (folder) => {
    await use(await randomModel(`${folder}/model`, options), folder);
  });
}

async function ggufFiles(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) if (name !== "model") names.push(name);
  return names;
}

Deno.test("interleaveHeads() makes neighbours of channels that rotate together, and separateHeads() undoes it", () => {
  const rows = Float32Array.from({ length: 2 * 6 * 2 }, (_, index) => Math.floor(index / 2));
  const channels = (numbers: Float32Array) => [...numbers].filter((_, index) => index % 2 === 0);
  const mixed = interleaveHeads(rows, { headSize: 6, rotated: 6 }, 2);
  assertEquals(channels(mixed), [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
  assertEquals(separateHeads(mixed, { headSize: 6, rotated: 6 }, 2), rows);
});

Deno.test("openGguf() gives back what exportGguf() wrote, number by number", () =>
  withModel(
    { shapes: differingShapes, hidden: 64, attentionBias: true, mlpBias: true, tied: false },
    async (model, folder) => {
      for (const quantize of ["f32", "f16", "q8_0", "q4_0"] as const) {
        const file = await exportGguf(model, folder, { name: "x", quantize });
        assertEquals(file.path, `${folder}/x-${quantize}.gguf`);
        assertEquals(file.bytes, (await Deno.stat(file.path)).size);
        const opened = await openGguf(file.path, model);
        const names = [...model.tensors.keys()];
        assertEquals([...opened.tensors.keys()].sort(), names.toSorted());
        const [, query, , , , , , down] = await Promise.all(
          [
            "input_layernorm.weight",
            "self_attn.q_proj.weight",
            "self_attn.k_proj.bias",
            "self_attn.v_proj.weight",
            "self_attn.o_proj.weight",
            "mlp.gate_proj.weight",
            "mlp.up_proj.bias",
            "mlp.down_proj.weight",
          ].map(async (name) => {
            const full = `model.layers.1.${name}`;
            const view = model.tensors.get(full)!;
            const numbers = await readTensor(view);
            const back = await readTensor(opened.tensors.get(full)!);
            return { name, view, numbers, back };
          }),
        );
        const type = ({ f32: "F32", f16: "F16", q8_0: "Q8_0", q4_0: "Q4_0" } as const)[quantize];
        assertEquals(query.back, fromBlocks(toBlocks(query.numbers, type), type));
        // Width 40 is no multiple of 32. With 4 bits, 24 neurons of zeros take less than 16-bit columns do.
        const width = quantize === "q4_0" ? 64 : 40;
        assertEquals(opened.architecture.layers[1], { ...differingShapes[1], ffnWidth: width });
        const padded = new Float32Array(64 * width);
        for (let row = 0; row < 64; row++) {
          padded.set(down.numbers.subarray(row * 40, (row + 1) * 40), row * width);
        }
        const downType = quantize === "q8_0" ? "F16" : type;
        assertEquals(down.back, fromBlocks(toBlocks(padded, downType), downType));
        await opened.close();
      }
    },
  ));

Deno.test("openGguf() runs in gprune's own engine, padded or not", () =>
  withModel({ shapes: differingShapes, hidden: 64 }, async (model, folder) => {
    await withEngine(async (engine) => {
      const tokens = [Int32Array.from({ length: 12 }, (_, index) => index * 7)];
      const logits = await wholeLogits(engine, model, tokens);
      for (const [quantize, tolerance] of [["f32", 1e-5], ["f16", 2e-3], ["q8_0", 3e-2]] as const) {
        const file = await exportGguf(model, folder, { quantize });
        const opened = await openGguf(file.path, model);
        assertClose(await wholeLogits(engine, opened, tokens), logits, tolerance);
        await opened.close();
      }
    });
  }));

Deno.test("openGguf() unpacks what is asked for, and leaves no file behind", () =>
  withModel({ hidden: 64, headSize: 16 }, async (model, folder) => {
    const { path } = await exportGguf(model, folder, { quantize: "q4_0" });
    const opened = await openGguf(path, model);
    const view = opened.tensors.get("model.layers.0.mlp.up_proj.weight")!;
    const blocks = async () => (await Deno.stat(view.path)).blocks ?? 0;
    const before = await blocks();
    assert((await readTensor(view)).some((value) => value !== 0));
    await readTensor(opened.tensors.get("model.embed_tokens.weight")!);
    assert(await blocks() > before || before === 0);
    assert([...opened.tensors.values()].every(({ byteLength }) => byteLength > 0));
    await opened.close();
    await assertRejects(() => Deno.stat(view.path), Deno.errors.NotFound);
    assertEquals(opened.bytes, (await Deno.stat(path)).size);
    assert(opened.fingerprint !== model.fingerprint);
  }));

Deno.test("exportGguf() keeps norms in f32, and in f16 what has rows of other lengths", () =>
  withModel({ hidden: 48, ffnWidth: 60 }, async (model, folder) => {
    const file = await exportGguf(model, folder, { quantize: "q4_0" });
    const { tensors } = await readGgufHeader(file.path);
    const type = (name: string) => tensors.get(name)?.type;
    assertEquals(type("blk.0.attn_norm.weight"), "F32");
    assertEquals(type("output_norm.weight"), "F32");
    // Rows of 48: no blocks of 32. Rows of the channels of 4 heads, and of 60 neurons filled up to 64.
    assertEquals(type("blk.0.attn_q.weight"), "F16");
    assertEquals(type("blk.0.attn_output.weight"), "Q4_0");
    assertEquals(type("blk.0.ffn_down.weight"), "Q4_0");
    assertEquals(tensors.get("blk.0.ffn_down.weight")?.shape, [48, 64]);
    assert(file.notes.some((note) => /stay in f16/.test(note)), file.notes.join());
    assert(file.notes.some((note) => /multiples of 32/.test(note)), file.notes.join());
    assertEquals(tensors.has("output.weight"), false);
  }));

Deno.test("exportGguf() gives the output head eight bits in q4_0", () =>
  withModel({ hidden: 64, tied: false }, async (model, folder) => {
    const { path, numbers } = await exportGguf(model, folder, { quantize: "q4_0" });
    const { tensors } = await readGgufHeader(path);
    assertEquals(tensors.get("output.weight")?.type, "Q8_0");
    assertEquals(tensors.get("token_embd.weight")?.type, "Q4_0");
    assertEquals(numbers.Q8_0, 257 * 64);
  }));

Deno.test("exportGguf() promises no more context than attention looks back", () =>
  withModel(
    { modelType: "mistral", config: { sliding_window: 100 } },
    async (model, folder) => {
      const file = await exportGguf(model, folder);
      const { metadata } = await readGgufHeader(file.path);
      assertEquals(metadata.get("llama.context_length"), 100);
      assert(/100 tokens/.test(file.notes.join()), file.notes.join());
    },
  ));

const refused: readonly (readonly [name: string, options: RandomModelOptions, says: RegExp])[] = [
  ["another activation", { config: { hidden_act: "gelu" } }, /'gelu'.*SiLU.*--format hf or onnx/],
  ["a tokenizer with too many tokens", { vocabulary: 200 }, /token 200 .* 200 rows/],
];

for (const [name, options, says] of refused) {
  Deno.test(`exportGguf() refuses ${name} in one sentence and leaves nothing behind`, () =>
    withModel(options, async (model, folder) => {
      for (const attempt of [() => exportGguf(model, folder), () => requireGguf(model)]) {
        const error = await assertRejects(attempt, ExportError);
        assert(says.test(error.message), error.message);
        assert(!error.message.includes("\n") && !error.message.endsWith("."));
      }
      assertEquals(await ggufFiles(folder), []);
    }));
}

Deno.test("exportGguf() leaves nothing behind when numbers do not fit, when it is cancelled, and where it may not write", () =>
  withModel({ hidden: 64, headSize: 16 }, async (model, folder) => {
    const view = model.tensors.get("model.layers.1.mlp.up_proj.weight")!;
    const file = await Deno.open(view.path, { write: true });
    await file.seek(view.offset, Deno.SeekMode.Start);
    await file.write(new Uint8Array(new Float32Array([1e6]).buffer));
    file.close();
    const error = await assertRejects(() => exportGguf(model, folder), ExportError);
    assert(/blk.1.ffn_up.weight.*1.00e\+6 is too large for F16/.test(error.message), error.message);
    assertEquals(await ggufFiles(folder), []);
    const signal = AbortSignal.abort();
    await assertRejects(() => exportGguf(model, folder, { signal }), CancelledError);
    const controller = new AbortController();
    let seen = 0;
    const onProgress = () => ++seen === 3 && controller.abort();
    await assertRejects(
      () => exportGguf(model, folder, { quantize: "q8_0", signal: controller.signal, onProgress }),
      CancelledError,
    );
    assertEquals(await ggufFiles(folder), []);
    const missing = `${folder}/missing`;
    await assertRejects(() => exportGguf(model, missing), ExportError, "its folder does not exist");
  }));

Deno.test("exportGguf() tells how far it is", () =>
  withModel({}, async (model, folder) => {
    const seen: Progress[] = [];
    await exportGguf(model, folder, { onProgress: (progress) => seen.push(progress) });
    assertEquals(seen.length, model.tensors.size);
    assertEquals(seen.map(({ done }) => done), seen.map((_, index) => index + 1));
    assert(seen.every(({ stage, total }) => stage === "export" && total === seen.length));
  }));

Deno.test("openGguf() refuses what is no file of the model", () =>
  withModel({}, async (model, folder) => {
    const { path } = await exportGguf(model, folder, { quantize: "q8_0" });
    const bytes = await Deno.readFile(path);
    const broken = async (change: (bytes: Uint8Array) => Uint8Array, says: string) => {
      const other = `${folder}/broken.gguf`;
      await Deno.writeFile(other, change(bytes.slice()));
      await assertRejects(() => openGguf(other, model), ModelError, says);
    };
    await broken((all) => all.subarray(0, all.length - 40), "cut short");
    await broken((all) => all.subarray(0, 200), "cut short");
    await broken(() => new Uint8Array(), "cut short");
    await broken((all) => all.fill(65, 0, 4), "not a GGUF file");
    await broken((all) => all.fill(9, 4, 5), "version 9");
    await assertRejects(() => openGguf(`${folder}/none`, model), ModelError, "no such file");
    await assertRejects(
      async () => await openGguf(path, await openModel()),
      ModelError,
      "give the model that it was made from",
    );
  }));
