import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { CancelledError, ModelError, OptionError } from "../../core/errors.ts";
import type { Report } from "../../core/evaluate/report.ts";
import { stepsOf } from "../../core/evaluate/steps.ts";
import { openModel } from "../../core/model/open.ts";
import { exportModel } from "../../core/pipeline.ts";
import {
  applyJob,
  calibrateJob,
  evaluateJob,
  exportJob,
  planJob,
  prune,
  type PruneOptions,
} from "../../core/session.ts";
import { openEngine } from "../../core/engine/open.ts";
import { measureExports } from "../../core/session/exports.ts";
import { smallModel } from "../helpers/pipeline.ts";
import { withRandomModel } from "../helpers/random-model.ts";
import { type SmallPlace, withSmallPlace } from "../helpers/small_place.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

/** A small place without the built-in tasks. */
async function withPlace<T>(use: (place: SmallPlace) => Promise<T>): Promise<T> {
  return await withSmallPlace(({ options, ...place }) =>
    use({ ...place, options: { ...options, choiceTasks: false } })
  );
}

async function names(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) {
      found.push(...(await names(join(folder, name))).map((each) => `${name}/${each}`));
    } else found.push(name);
  }
  return found.sort();
}

const near = (a: number, b: number, part: number) => Math.abs(a / b - 1) < part;

for (const shape of ["uniform", "adaptive"] as const) {
  Deno.test(`prune() to onnx alone leaves no other weights and measures the files: ${shape}`, () =>
    withPlace(async ({ options }) => {
      const { report } = await prune({
        ...options,
        shape,
        formats: ["onnx"],
        quantize: ["none", "q8"],
      });
      assertEquals(await names(options.out), [
        "README.md",
        "config.json",
        "genai_config.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "report.html",
        "report.json",
        "tokenizer.json",
        "tokenizer_config.json",
      ]);
      assertEquals(
        report.exports!.map(({ format, quantize, file }) => [format, quantize, file]),
        [
          ["onnx", "none", "onnx/model.onnx"],
          ["onnx", "q8", "onnx/model_quantized.onnx"],
          ["onnx", "q4", undefined],
        ],
      );
      for (const { file, bytes, speed } of report.exports!) {
        assert(bytes.dense > 0 && speed!.dense.prefillTokensPerSecond > 0);
        assert(speed!.dense.decodeTokensPerSecond > 0);
        if (file === undefined) continue;
        assertEquals(bytes.pruned, report.files.find(({ path }) => path === file)!.bytes);
        assert(bytes.pruned! < bytes.dense && speed!.pruned!.decodeTokensPerSecond > 0);
      }
      for (const row of report.perplexity) {
        const [none, q8, q4] = row.files!;
        // Float32 files say what the engine says of the same weights; the rest is what rounding costs.
        assert(near(none.dense, row.dense, 1e-4) && near(none.pruned!, row.pruned!, 1e-4));
        assert(near(q8.dense, row.dense, 0.05) && near(q8.pruned!, row.pruned!, 0.05));
        assert(near(q4.dense, row.dense, 0.3) && q4.dense !== row.dense);
        assertEquals(q4.pruned, undefined);
      }
      const card = await Deno.readTextFile(join(options.out, "README.md"));
      assert(card.includes("transformers.js") && card.includes("What each step costs"));
      assert(!card.includes("LlamaForCausalLM") && !card.includes("undefined"));
    }));
}

Deno.test("prune() to hf and onnx puts both in one folder, with the weights once each", () =>
  withPlace(async ({ options }) => {
    const { report } = await prune({ ...options, formats: ["hf", "onnx"], quantize: ["q4"] });
    const found = await names(options.out);
    assert(found.includes("model.safetensors") && found.includes("onnx/model_q4.onnx"));
    assertEquals(found.filter((name) => name.startsWith(".")), []);
    assertEquals(report.exports!.map(({ quantize }) => quantize), ["q4"]);
    const config = JSON.parse(await Deno.readTextFile(join(options.out, "config.json")));
    assertEquals(config["transformers.js_config"].dtype, "q4");
    // The folder opens as a model, and evaluating it measures its ONNX file too.
    const { model: _, calibration: __, ...rest } = options;
    const evaluated = await evaluateJob({ ...rest, model: options.out });
    assertEquals(evaluated.exports!.map(({ quantize }) => quantize), ["q4"]);
    for (const [index, row] of evaluated.perplexity.entries()) {
      assert(near(row.dense, report.perplexity[index].pruned!, 1e-6));
      assert(near(row.files![0].dense, report.perplexity[index].files![0].pruned!, 1e-6));
    }
    // What config.json says of ONNX files is not copied to a folder without them.
    await exportJob({ model: options.out, out: `${options.out}-copy` });
    const copied = JSON.parse(await Deno.readTextFile(`${options.out}-copy/config.json`));
    assertEquals(copied["transformers.js_config"], undefined);
  }));

Deno.test("apply and export write onnx, and evaluate measures a folder that holds nothing else", () =>
  withPlace(async ({ folder, options }) => {
    const { model } = options;
    const [stats, plan] = [join(folder, "stats"), join(folder, "plan.json")];
    await calibrateJob({ ...options, save: stats });
    await planJob({ model, stats, save: plan, sparsity: 0.4 });
    const out = join(folder, "applied");
    const { report } = await applyJob({ model, plan, out, formats: ["onnx"], quantize: ["f16"] });
    assertEquals(await names(join(out, "onnx")), ["model_fp16.onnx"]);
    assertEquals(report.exports!.map(({ quantize }) => quantize), ["f16", "q4"]);
    assertEquals(report.perplexity, []);
    const evaluated = await evaluateJob({ ...options, model: out });
    assertEquals(evaluated.perplexity.map(({ name }) => name), ["gamma", "alpha"]);
    assert(evaluated.perplexity.every(({ dense, files }) => dense === files![0].dense));
    assert(evaluated.notes[0].includes("ONNX files alone"));
    const exported = await exportJob({
      model,
      out: join(folder, "exported"),
      formats: ["onnx", "hf"],
    });
    assertEquals(exported.report.exports!.map(({ file }) => file), ["onnx/model.onnx"]);
  }));

Deno.test("evaluateJob() writes and measures files that are asked for, and leaves nothing behind", () =>
  withPlace(async ({ options }) => {
    const report = await evaluateJob({ ...options, formats: ["onnx"], quantize: ["q8", "q4"] });
    assertEquals(report.exports!.map(({ quantize }) => quantize), ["q8", "q4"]);
    assert(report.perplexity.every(({ files }) => files!.length === 2));
    assertEquals(stepsOf(report).map(({ which, file }) => [which, file]), [
      ["dense", undefined],
      ["dense", "onnx q8"],
      ["dense", "onnx q4"],
    ]);
  }));

Deno.test("exportModel() writes onnx for library callers", () =>
  withRandomModel(smallModel, (source) =>
    withTemporaryFolder(async (folder) => {
      const model = await openModel(source);
      await exportModel(model, `${folder}/out`, { format: "onnx", quantize: "q8" });
      assert((await names(`${folder}/out`)).includes("onnx/model_quantized.onnx"));
      await assertRejects(
        () => exportModel(model, `${folder}/bad`, { format: "onnx", quantize: "q8_0" }),
        OptionError,
        "'q8_0', which is of gguf alone",
      );
    })));

const wrong: Readonly<Record<string, readonly [Partial<PruneOptions>, string]>> = {
  "an unknown quantisation": [{ formats: ["onnx"], quantize: ["int4"] }, "'int4'"],
  "a quantisation of another format": [{ formats: ["onnx"], quantize: ["q4_0"] }, "gguf alone"],
  "a quantisation without a format": [{ quantize: ["q4"] }, "hf takes --dtype"],
  "a data type without hf": [{ formats: ["onnx"], dataType: "f16" }, "use --quantize"],
  "no format at all": [{ formats: [] }, "Cannot write no format"],
};

for (const [what, [options, says]] of Object.entries(wrong)) {
  Deno.test(`prune(), apply and export refuse ${what} before any work`, () =>
    withTemporaryFolder(async (folder) => {
      const out = join(folder, "out");
      for (const job of [prune, exportJob]) {
        await assertRejects(() => job({ ...options, out }), OptionError, says);
      }
      await assertRejects(() => applyJob({ ...options, out, plan: "none" }), OptionError, says);
      assertEquals(await names(folder), []);
    }));
}

Deno.test("prune() to onnx leaves nothing behind when cancelled while files are measured", () =>
  withPlace(async ({ folder, options }) => {
    const before = await names(folder);
    const controller = new AbortController();
    await assertRejects(
      () =>
        prune({
          ...options,
          formats: ["onnx"],
          signal: controller.signal,
          onProgress: ({ subject }) => {
            if (subject === "dense onnx none") controller.abort();
          },
        }),
      CancelledError,
    );
    const left = (await names(folder)).filter((name) => !name.startsWith("out.unfinished/"));
    assertEquals(left, before);
  }));

Deno.test("measureExports() goes on where the dense model's file cannot be written, and says so", () =>
  withRandomModel(smallModel, (source) =>
    withTemporaryFolder(async (folder) => {
      const model = await openModel(source);
      await exportModel(model, join(folder, "out"), { format: "onnx" });
      const notes: string[] = [];
      const result = await measureExports({
        engine: await openEngine("onnx"),
        name: "out",
        targets: [{ format: "onnx", quantize: "none" }],
        directory: join(folder, "out"),
        dense: { ...model, companionFiles: [] },
        pruned: model,
        texts: [],
        onNote: (note) => notes.push(note),
      });
      assertEquals(result.rows, []);
      assert(notes[0].includes("was not measured") && notes[0].includes("tokenizer.json"));
    })));

Deno.test("evaluateJob() says what is wrong with a folder of ONNX files", () =>
  withRandomModel(smallModel, (source) =>
    withTemporaryFolder(async (folder) => {
      const out = join(folder, "out");
      await exportModel(await openModel(source), out, { format: "onnx" });
      await Deno.remove(join(out, "config.json"));
      await assertRejects(() => evaluateJob({ model: out }), ModelError, "config.json");
    })));

Deno.test("stepsOf() compares files with the dense model", () => {
  const text = { tokens: 1, windows: 1, seqLen: 2, sha256: "" };
  const report = {
    request: { seed: 0, sparsity: 0.5 },
    result: { bytes: { before: 100, after: 60 } },
    perplexity: [
      {
        ...text,
        name: "a",
        dense: 2,
        pruned: 4,
        files: [{ format: "gguf", quantize: "q4_0", dense: 4, pruned: 8 }],
      },
      {
        ...text,
        name: "b",
        dense: 8,
        pruned: 16,
        files: [{ format: "gguf", quantize: "q4_0", dense: 16, pruned: 32 }],
      },
    ],
    exports: [{ format: "gguf", quantize: "q4_0", file: "x", bytes: { dense: 30, pruned: 20 } }],
  } as unknown as Report;
  assertEquals(
    stepsOf(report).map(({ which, file, bytes, perplexity, ratio }) => [
      which,
      file,
      bytes,
      Math.round(perplexity! * 1e6) / 1e6,
      Math.round(ratio! * 1e6) / 1e6,
    ]),
    [
      ["dense", undefined, 100, 4, 1],
      ["dense", "gguf q4_0", 30, 8, 2],
      ["pruned", undefined, 60, 8, 2],
      ["pruned", "gguf q4_0", 20, 16, 4],
    ],
  );
  assertEquals(stepsOf({ ...report, exports: undefined }), []);
});
