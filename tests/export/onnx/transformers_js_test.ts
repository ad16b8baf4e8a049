import { assert, assertEquals } from "@std/assert";
import { writeFormats } from "../../../core/export/write_formats.ts";
import { exportTargets } from "../../../core/export/formats.ts";
import { openModel } from "../../../core/model/open.ts";
import type { Model } from "../../../core/model/types.ts";
import { assertClose, wholeLogits, withEngine } from "../../engine/helpers.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";
import { quantizations, relativeError } from "./helpers.ts";

/** What the client prints. */
interface Generated {
  readonly dtype: string;
  readonly prompt: readonly number[];
  readonly logits: readonly number[];
  readonly tokens: readonly number[];
  readonly text: string;
}

/** transformers.js in a process of its own, from a project of its own: users of gprune need not install it. */
async function generate(folder: string, prompt: string): Promise<readonly Generated[]> {
  const project = new URL("../../clients/transformers_js/", import.meta.url).pathname;
  const dtypes = ["fp32", "fp16", "q8", "q4"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--frozen",
      `--config=${project}deno.json`,
      "--allow-read",
      "--allow-env",
      "--allow-sys",
      "--allow-net",
      "--allow-write",
      `--allow-ffi=${project}node_modules`,
      `${project}generate.js`,
      folder,
      prompt,
      ...dtypes,
    ],
  }).output();
  const text = new TextDecoder();
  assertEquals(code, 0, text.decode(stderr));
  return text.decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
}

/** What the model itself would say: the likeliest token, again and again. */
async function greedy(model: Model, prompt: readonly number[], count: number): Promise<number[]> {
  const tokens = [...prompt];
  const { vocabularySize } = model.architecture;
  await withEngine(async (engine) => {
    for (let step = 0; step < count; step++) {
      const logits = await wholeLogits(engine, model, [Int32Array.from(tokens)]);
      const last = logits.subarray(-vocabularySize);
      tokens.push(last.indexOf(Math.max(...last)));
    }
  });
  return tokens;
}

async function checkClient(model: Model, prompt: string, allowed: readonly number[]) {
  await withTemporaryFolder(async (folder) => {
    await writeFormats(model, folder, exportTargets(["onnx"], quantizations), { name: "test" });
    const generated = await generate(folder, prompt);
    assertEquals(generated.length, 4);
    const tokens = (await model.tokenizer()).encode(prompt);
    const expected = await withEngine((engine) =>
      wholeLogits(engine, model, [Int32Array.from(generated[0].prompt)])
    );
    const last = expected.slice(-model.architecture.vocabularySize);
    for (const [index, { dtype, prompt: seen, logits, tokens: made }] of generated.entries()) {
      // A start token may come before the text's own.
      assertEquals(seen.slice(-tokens.length), tokens);
      const error = relativeError(Float32Array.from(logits), last);
      assert(error < allowed[index], `${dtype} is off by ${error}`);
      assertEquals(made.slice(0, seen.length), seen);
      assert(made.length > seen.length, `${dtype} made nothing`);
    }
    assertClose(generated[0].logits, last, 1e-3);
    const { prompt: seen, tokens: made } = generated[0];
    assertEquals(made, await greedy(model, seen, made.length - seen.length));
  });
}

Deno.test("transformers.js generates what the embedded model would say, in every quantisation", async () => {
  const model = await openModel();
  await checkClient(model, "Once upon a time there was a", [1e-4, 2e-3, 0.1, 0.2]);
});

const shapes = {
  uniform: undefined,
  adaptive: [
    { ffnWidth: 40, keyValueHeads: 2, queryHeads: 4 },
    { ffnWidth: 7, keyValueHeads: 1, queryHeads: 2 },
    { ffnWidth: 96, keyValueHeads: 3, queryHeads: 6 },
  ],
};

for (const [name, own] of Object.entries(shapes)) {
  Deno.test(`transformers.js generates what a random model would say: ${name} shape`, () =>
    withRandomModel({ shapes: own, ffnWidth: 31 }, async (folder) => {
      await checkClient(await openModel(folder), "Once upon a time", [1e-4, 2e-3, 0.1, 0.4]);
    }));
}
