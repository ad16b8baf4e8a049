import { assert } from "@std/assert";
import { embedWindows, runBlocks } from "../../core/engine/forward.ts";
import { windowLosses } from "../../core/engine/batches.ts";
import type { Engine } from "../../core/engine/types.ts";
import { openModel } from "../../core/model/open.ts";
import type { Model } from "../../core/model/types.ts";
import { SHARED, sharedIsMissing } from "../helpers/temporary.ts";
import { assertClose, FIXTURES, unpack, wholeLogits, withEngine } from "./helpers.ts";

interface Reference {
  readonly perplexity: readonly {
    readonly text: string;
    readonly window: number;
    readonly windows: number;
    readonly firstTokens: readonly number[];
    readonly perplexity: number;
  }[];
  readonly tokens: readonly number[];
  readonly blocks: readonly string[];
}

const reference: { readonly models: Readonly<Record<string, Reference>> } = JSON.parse(
  await Deno.readTextFile(new URL("reference.json", FIXTURES)),
);
const ignore = sharedIsMissing();

async function openShared(name: string): Promise<Model> {
  return await openModel(new URL(`models/${name}`, SHARED).pathname);
}

async function perplexity(engine: Engine, model: Model, windows: Int32Array[]): Promise<number> {
  const embedding = await engine.openEmbedding(model);
  const embedded = await embedWindows(embedding, windows);
  const hidden = await runBlocks(engine, model, embedded, windows.length, windows[0].length);
  const head = await engine.openHead(model);
  const losses = await windowLosses(head, hidden, windows);
  await head.close();
  await embedding.close();
  const predicted = windows.length * (windows[0].length - 1);
  return Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / predicted);
}

for (const [name, { perplexity: rows, tokens, blocks }] of Object.entries(reference.models)) {
  Deno.test({
    name: `openOnnxEngine() gives the perplexity of transformers on ${name}`,
    ignore,
    fn: async () => {
      const model = await openShared(name);
      const tokenizer = await model.tokenizer();
      await withEngine(async (engine) => {
        for (const { text, window, windows, firstTokens, perplexity: expected } of rows) {
          const words = await Deno.readTextFile(new URL(`text/${text}`, SHARED));
          const encoded = tokenizer.encode(words.slice(0, 40_000));
          assertClose(encoded.slice(0, firstTokens.length), firstTokens, 0);
          const cut = Array.from(
            { length: windows },
            (_, index) => Int32Array.from(encoded.slice(index * window, (index + 1) * window)),
          );
          const actual = await perplexity(engine, model, cut);
          const error = Math.abs(actual / expected - 1);
          assert(error < 1e-3, `${text}: ${actual} in place of ${expected}`);
        }
      });
    },
  });

  Deno.test({
    name: `Block.run() gives the hidden states of transformers on ${name}`,
    ignore,
    fn: async () => {
      const model = await openShared(name);
      await withEngine(async (engine) => {
        const embedding = await engine.openEmbedding(model);
        const embedded = await embedWindows(embedding, [Int32Array.from(tokens)]);
        await runBlocks(engine, model, embedded, 1, tokens.length, {
          onBlock: (layer, { hidden }) => assertClose(hidden, unpack(blocks[layer]), 1e-4),
        });
        await embedding.close();
      });
    },
  });
}

const variants = [...Deno.readDirSync(new URL("random/", FIXTURES))].map(({ name }) => name).sort();

for (const variant of variants) {
  Deno.test(`openOnnxEngine() gives the logits of transformers on random model ${variant}`, async () => {
    const folder = new URL(`random/${variant}/`, FIXTURES);
    const { tokens, logits } = JSON.parse(await Deno.readTextFile(new URL("logits.json", folder)));
    const model = await openModel(folder.pathname);
    const windows = tokens.map((row: number[]) => Int32Array.from(row));
    await withEngine(async (engine) => {
      assertClose(await wholeLogits(engine, model, windows), unpack(logits), 1e-4);
    });
  });
}
