import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { ExportError, OptionError } from "../../core/errors.ts";
import { isUniform } from "../../core/model/inspect.ts";
import { openModel } from "../../core/model/open.ts";
import { exportModel } from "../../core/pipeline.ts";
import { exportJob, prune, type PruneOptions } from "../../core/session.ts";
import { smallModel, wordyDomain } from "../helpers/pipeline.ts";
import { type RandomModelOptions, withRandomModel } from "../helpers/random-model.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

function withPlace(
  use: (place: { readonly folder: string; readonly options: PruneOptions }) => Promise<void>,
  model: RandomModelOptions = {},
): Promise<void> {
  return withRandomModel(
    { ...smallModel, ...model },
    (model) =>
      withTemporaryFolder(async (folder) => {
        const text = async (name: string) => {
          const path = join(folder, `${name}.txt`);
          await Deno.writeTextFile(path, wordyDomain(name).text);
          return { name, path };
        };
        await use({
          folder,
          options: {
            model,
            calibration: [await text("alpha"), await text("beta")],
            evaluation: [await text("gamma")],
            samples: 4,
            seqLen: 32,
            evalWindows: 2,
            choiceTasks: false,
            sparsity: 0.4,
            shape: "adaptive",
            out: join(folder, "out"),
          },
        });
      }),
  );
}

async function names(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(folder)) found.push(name);
  return found.sort();
}

const near = (a: number, b: number, part: number) => Math.abs(a / b - 1) < part;

Deno.test("prune() to gguf leaves no other weights and measures what the files hold", () =>
  withPlace(async ({ options }) => {
    const { report } = await prune({
      ...options,
      formats: ["gguf"],
      quantize: ["f16", "q4_0"],
    });
    assertEquals(await names(options.out), [
      "README.md",
      "config.json",
      "out-f16.gguf",
      "out-q4_0.gguf",
      "report.html",
      "report.json",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    assertEquals(
      report.exports!.map(({ format, quantize, file }) => [format, quantize, file]),
      [["gguf", "f16", "out-f16.gguf"], ["gguf", "q4_0", "out-q4_0.gguf"]],
    );
    for (const row of report.perplexity) {
      const [half, four] = row.files!;
      assert(near(half.dense, row.dense, 1e-2) && near(half.pruned!, row.pruned!, 1e-2));
      assert(four.pruned !== row.pruned && near(four.pruned!, row.pruned!, 0.5));
    }
    // What is said of the dense files, which the user does not get, is left out.
    const said = report.notes.filter((note) => note.startsWith("GGUF"));
    assert(said.every((note) => note.startsWith("GGUF q4_0")), said.join("\n"));
    assertEquals(new Set(said).size, said.length);
    const card = await Deno.readTextFile(join(options.out, "README.md"));
    assert(card.includes("llama.cpp") && card.includes("`deci`"));
  }));

Deno.test("prune() with zeroPad gives a folder of one size, and a report of the sizes that count", () =>
  withPlace(async ({ options, folder }) => {
    const { report } = await prune({ ...options, zeroPad: true });
    const padded = await openModel(options.out);
    assert(isUniform(padded.architecture.layers));
    assert(new Set(report.layers.map(({ ffn }) => ffn[1])).size > 1);
    assertEquals(report.result.bytes.after, padded.bytes);
    assert(report.result.parameters.after < padded.parameters);
    assertEquals(report.request.zeroPad, true);
    assert((await names(options.out)).every((name) => !name.startsWith(".")));
    const card = await Deno.readTextFile(join(options.out, "README.md"));
    assert(card.includes("padded with zero units") && card.includes("`LlamaForCausalLM`"));
    // The same without padding, padded afterwards, is the same.
    const plain = join(folder, "plain"), later = join(folder, "later");
    await prune({ ...options, out: plain });
    assertEquals(isUniform((await openModel(plain)).architecture.layers), false);
    await exportJob({ model: plain, out: later, zeroPad: true });
    assertEquals(
      await Deno.readFile(join(later, "model.safetensors")),
      await Deno.readFile(join(options.out, "model.safetensors")),
    );
    await exportModel(await openModel(plain), join(folder, "library"), { zeroPad: true });
    assert(isUniform((await openModel(join(folder, "library"))).architecture.layers));
  }));

Deno.test("jobs refuse what no GGUF file holds before any work, and leave nothing behind", () =>
  withPlace(async ({ options, folder }) => {
    const before = await names(folder);
    const attempts = [
      () => prune({ ...options, formats: ["hf", "gguf"] }),
      () => exportJob({ model: options.model, out: options.out, formats: ["gguf"] }),
      async () =>
        await exportModel(await openModel(options.model), options.out, { format: "gguf" }),
    ];
    for (const attempt of attempts) {
      const start = performance.now();
      await assertRejects(attempt, ExportError, "use --format hf or onnx");
      assert(performance.now() - start < 5000);
      assertEquals(await names(folder), before);
    }
    await assertRejects(
      () => prune({ ...options, formats: ["gguf"], zeroPad: true }),
      OptionError,
      "--zero-pad is of --format hf alone",
    );
  }, { config: { hidden_act: "relu" } }));
