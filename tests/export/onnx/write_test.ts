import { assert, assertEquals, assertRejects } from "@std/assert";
import { CancelledError, ExportError, ModelError } from "../../../core/errors.ts";
import { exportOnnx } from "../../../core/export/onnx/write.ts";
import { writeFormats } from "../../../core/export/write_formats.ts";
import { openDecoder } from "../../../core/engine/decoder.ts";
import { openModel } from "../../../core/model/open.ts";
import { decodeModel } from "../../../core/onnx/proto.ts";
import type { Progress } from "../../../core/progress.ts";
import { assertClose, FIXTURES, unpack, wholeLogits, withEngine } from "../../engine/helpers.ts";
import { type RandomModelOptions, withRandomModel } from "../../helpers/random-model.ts";
import { prunedFixture, prunedFixtureNames } from "../../helpers/pruned-fixture.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";
import { logitsInSteps, quantizations, relativeError, withDecoder } from "./helpers.ts";

const adaptive: RandomModelOptions = {
  shapes: [
    { ffnWidth: 40, keyValueHeads: 2, queryHeads: 4 },
    { ffnWidth: 7, keyValueHeads: 1, queryHeads: 2 },
    { ffnWidth: 96, keyValueHeads: 3, queryHeads: 6 },
  ],
};

/** Dense, uniform and adaptive; with and without what a graph can have. */
const models: Readonly<Record<string, RandomModelOptions>> = {
  plain: {},
  adaptive,
  "adaptive with biases, untied, stored in f16": {
    ...adaptive,
    attentionBias: true,
    mlpBias: true,
    tied: false,
    dtype: "f16",
  },
  "heads of 12 channels, 20 wide": { headSize: 12, hidden: 20, ffnWidth: 33 },
  "one key/value head, bf16": { keyValueHeads: 1, dtype: "bf16", ffnWidth: 31 },
};

const tokens = Int32Array.from({ length: 23 }, (_, at) => (at * 37 + 11) % 257);

/** What rounding may cost: of the root of all squared logits. Random weights suffer more than trained ones. */
const allowed = { none: 1e-5, f16: 2e-3, q8: 0.08, q4: 0.35 } as const;

for (const [name, options] of Object.entries(models)) {
  Deno.test(`exportOnnx() writes what the engine computes, whole and step by step: ${name}`, () =>
    withRandomModel(options, async (folder) => {
      const model = await openModel(folder);
      const expected = await withEngine((engine) => wholeLogits(engine, model, [tokens]));
      for (const quantize of quantizations) {
        await withDecoder(model, quantize, async (decoder) => {
          assertEquals(
            decoder.keyValueHeads,
            model.architecture.layers.map(({ keyValueHeads }) => keyValueHeads),
          );
          const { logits } = await decoder.run(tokens, 1);
          const steps = [...new Array(6).fill(1), 9, 1, 7];
          const grown = await logitsInSteps(decoder, tokens, steps);
          if (quantize === "none") {
            assertClose(logits, expected, 1e-4);
            assertClose(grown, expected, 1e-4);
          }
          const error = relativeError(logits, expected);
          assert(error < allowed[quantize], `${quantize} is off by ${error}`);
          const grownError = relativeError(grown, expected);
          assert(grownError < allowed[quantize], `${quantize} in steps is off by ${grownError}`);
        });
      }
    }));
}

for (const { name } of Deno.readDirSync(new URL("random/", FIXTURES))) {
  Deno.test(`exportOnnx() writes a file with the logits of transformers: ${name}`, async () => {
    const folder = new URL(`random/${name}/`, FIXTURES);
    const { tokens, logits } = JSON.parse(await Deno.readTextFile(new URL("logits.json", folder)));
    const expected = unpack(logits);
    const model = await openModel(folder.pathname);
    await withDecoder(model, "none", async (decoder) => {
      const flat = Int32Array.from(tokens.flat());
      assertClose((await decoder.run(flat, tokens.length)).logits, expected, 1e-3);
      // The first text alone, token by token, with the cache.
      const first = Int32Array.from(tokens[0]);
      const grown = await logitsInSteps(decoder, first, tokens[0].map(() => 1));
      assertClose(grown, expected.subarray(0, grown.length), 1e-3);
    });
  });
}

for (const name of prunedFixtureNames) {
  Deno.test(`exportOnnx() writes '${name}', cut, with the logits of transformers`, () =>
    withTemporaryFolder(async (folder) => {
      const { models } = JSON.parse(await Deno.readTextFile(new URL("pruned.json", FIXTURES)));
      const { tokens, logits } = models[name];
      const pruned = await prunedFixture(name, folder);
      await withDecoder(pruned, "none", async (decoder) => {
        const output = await decoder.run(Int32Array.from(tokens.flat()), tokens.length);
        assertClose(output.logits, unpack(logits), 1e-3);
      });
    }));
}

Deno.test("exportOnnx() stores a tied embedding once, in every quantisation", () =>
  withRandomModel({ vocabulary: 2000 }, async (tiedFolder) => {
    await withRandomModel({ vocabulary: 2000, tied: false }, async (folder) => {
      const [tied, untied] = [await openModel(tiedFolder), await openModel(folder)];
      const table = { none: 4, f16: 2, q8: 1, q4: 1 };
      for (const quantize of quantizations) {
        const size = (model: typeof tied) =>
          withDecoder(model, quantize, async (_, path) => (await Deno.stat(path)).size);
        const saved = await size(untied) - await size(tied);
        const least = 2000 * 32 * table[quantize];
        assert(saved >= least && saved < 1.3 * least + 8000, `${quantize}: ${saved} of ${least}`);
      }
    });
  }));

Deno.test("exportOnnx() puts weights beside a graph that would pass the limit, in files below it", () =>
  withRandomModel(
    { ffnWidth: 200, vocabulary: 300 },
    (folder) =>
      withTemporaryFolder(async (out) => {
        const model = await openModel(folder);
        const target = { format: "onnx", quantize: "q4" } as const;
        await writeFormats(model, out, [target], { name: "test" });
        const whole = await openDecoder(`${out}/onnx/model_q4.onnx`, { vocabularySize: 300 });
        const expected = (await whole.run(tokens, 1)).logits;
        await whole.close();
        await exportOnnx(model, out, { quantize: "q4", largestFile: 20_000 });
        const names = [...Deno.readDirSync(`${out}/onnx`)].map(({ name }) => name).sort();
        assert(names.length >= 3, names.join());
        assertEquals(names.slice(0, 3), [
          "model_q4.onnx",
          "model_q4.onnx_data",
          "model_q4.onnx_data_1",
        ]);
        const largest = Math.max(...names.map((name) => Deno.statSync(`${out}/onnx/${name}`).size));
        assert(largest <= 20_000 + 4096, `${largest} bytes`);
        const beside = await openDecoder(`${out}/onnx/model_q4.onnx`, { vocabularySize: 300 });
        assertClose((await beside.run(tokens, 1)).logits, expected, 0);
        await beside.close();
        const config = JSON.parse(await Deno.readTextFile(`${out}/config.json`));
        assertEquals(config["transformers.js_config"], {
          dtype: "q4",
          use_external_data_format: { "model_q4.onnx": names.length - 1 },
        });
      }),
  ));

Deno.test("exportOnnx() names inputs and outputs as transformers.js does, with sizes of each layer", () =>
  withRandomModel(adaptive, async (folder) => {
    const model = await openModel(folder);
    await withDecoder(model, "q8", async (_, path) => {
      const { graph } = decodeModel(await Deno.readFile(path));
      const shapes = Object.fromEntries(
        [...graph.input!, ...graph.output!].map(({ name, type }) => [
          name,
          type!.tensorType!.shape!.dim!.map(({ dimValue, dimParam }) => dimValue ?? dimParam),
        ]),
      );
      const past = (heads: number) => ["batch_size", heads, "past_sequence_length", 8];
      assertEquals(shapes.input_ids, ["batch_size", "sequence_length"]);
      assertEquals(shapes.attention_mask, ["batch_size", "total_sequence_length"]);
      assertEquals(shapes.position_ids, ["batch_size", "sequence_length"]);
      assertEquals(shapes["past_key_values.0.key"], past(2));
      assertEquals(shapes["past_key_values.1.value"], past(1));
      assertEquals(shapes["past_key_values.2.key"], past(3));
      assertEquals(shapes.logits, ["batch_size", "sequence_length", 257]);
      assertEquals(shapes["present.2.value"], ["batch_size", 3, "total_sequence_length", 8]);
    });
  }));

Deno.test("exportOnnx() writes several quantisations into one folder, the first of them for genai", () =>
  withRandomModel({}, (folder) =>
    withTemporaryFolder(async (out) => {
      const model = await openModel(folder);
      const targets = quantizations.toReversed()
        .map((quantize) => ({ format: "onnx", quantize } as const));
      const seen: Progress[] = [];
      const onProgress = (progress: Progress) => seen.push(progress);
      await writeFormats(model, out, targets, { name: "test", onProgress });
      assertEquals([...Deno.readDirSync(`${out}/onnx`)].map(({ name }) => name).sort(), [
        "model.onnx",
        "model_fp16.onnx",
        "model_q4.onnx",
        "model_quantized.onnx",
      ]);
      const genai = JSON.parse(await Deno.readTextFile(`${out}/genai_config.json`));
      assertEquals(genai.model.decoder.filename, "onnx/model_q4.onnx");
      assertEquals([genai.model.vocab_size, genai.model.eos_token_id], [257, 256]);
      const config = JSON.parse(await Deno.readTextFile(`${out}/config.json`));
      assertEquals(config["transformers.js_config"].dtype, "q4");
      assert(!await Deno.stat(`${out}/model.safetensors`).then(() => true, () => false));
      const { done, total } = seen.at(-1)!;
      assertEquals([done, seen.length > 40], [total, true]);
    })));

Deno.test("exportOnnx() stops when cancelled", () =>
  withRandomModel({}, (folder) =>
    withTemporaryFolder(async (out) => {
      const controller = new AbortController();
      const model = await openModel(folder);
      const target = { format: "onnx", quantize: "q8" } as const;
      const onProgress = () => controller.abort();
      const { signal } = controller;
      await assertRejects(
        () => writeFormats(model, out, [target], { name: "test", signal, onProgress }),
        CancelledError,
      );
    })));

Deno.test("exportOnnx() refuses numbers that f16 cannot hold, and a model without tokenizer.json", () =>
  withRandomModel({ dtype: "bf16" }, (folder) =>
    withTemporaryFolder(async (out) => {
      const write = async (quantize: "f16" | "none") =>
        await writeFormats(await openModel(folder), out, [{ format: "onnx", quantize }], {
          name: "test",
        });
      const view = (await openModel(folder)).tensors.get("model.layers.1.mlp.up_proj.weight")!;
      const file = await Deno.open(view.path, { write: true });
      await file.seek(view.offset + 20, Deno.SeekMode.Start);
      // 2^16 in bfloat16.
      await file.write(Uint8Array.of(0x80, 0x47));
      file.close();
      await write("none");
      await assertRejects(() => write("f16"), ExportError, "'model.layers.1.mlp.up_proj.weight'");
      await Deno.remove(`${folder}/tokenizer.json`);
      await assertRejects(() => write("none"), ExportError, "no tokenizer.json");
    })));

Deno.test("exportOnnx() says which tensor it could not read", () =>
  withRandomModel({}, (folder) =>
    withTemporaryFolder(async (out) => {
      const model = await openModel(folder);
      await Deno.truncate(`${folder}/model.safetensors`, 9000);
      const target = { format: "onnx", quantize: "q4" } as const;
      await assertRejects(
        () => writeFormats(model, out, [target], { name: "test" }),
        ModelError,
        "the file is shorter than it was",
      );
    })));
