import { assert, assertEquals, assertRejects } from "@std/assert";
import { CancelledError, TextError } from "../../core/errors.ts";
import { continuePrompt } from "../../core/evaluate/continuation.ts";
import { runWholeModel } from "../../core/evaluate/whole_model.ts";
import { withSmallModel } from "../helpers/pipeline.ts";

Deno.test("continuePrompt() at temperature 0 takes the token that the whole model finds likeliest", () =>
  withSmallModel(async (model, engine) => {
    const tokenizer = await model.tokenizer();
    const prompt = "one two three";
    const tokens = 6;
    const found = await continuePrompt(engine, model, { prompt, tokens, temperature: 0 });
    const start = tokenizer.startToken === undefined ? [] : [tokenizer.startToken];
    const all = [...start, ...tokenizer.encode(prompt)];
    const added: number[] = [];
    for (let step = 0; step < tokens; step++) {
      let logits: Float32Array = new Float32Array();
      const window = Int32Array.from(all);
      await runWholeModel(engine, model, [[window]], async (head, hidden) => {
        assert(hidden instanceof Float32Array);
        logits = await head.logits(hidden.subarray(hidden.length - hidden.length / all.length));
      });
      const best = logits.reduce((best, value, at) => value > logits[best] ? at : best, 0);
      if (best === tokenizer.endToken) break;
      all.push(best);
      added.push(best);
    }
    assert(added.length > 0);
    assertEquals(found, tokenizer.decode(added));
  }));

Deno.test("continuePrompt() draws by its seed alone, and tells every step", () =>
  withSmallModel(async (model, engine) => {
    const steps: string[] = [];
    const draw = (seed: number) =>
      continuePrompt(engine, model, {
        prompt: "one",
        tokens: 12,
        temperature: 1,
        seed,
        onText: (text) => steps.push(text),
      });
    const first = await draw(1);
    assertEquals(steps.at(-1), first);
    assertEquals(await draw(1), first);
    assert(await draw(2) !== first);
  }));

Deno.test("continuePrompt() refuses a prompt without room and can be cancelled", () =>
  withSmallModel(async (model, engine) => {
    const long = "word ".repeat(200);
    await assertRejects(
      () => continuePrompt(engine, model, { prompt: long, tokens: 1 }),
      TextError,
      "shorten it",
    );
    const signal = AbortSignal.abort();
    await assertRejects(
      () => continuePrompt(engine, model, { prompt: "one", tokens: 4, signal }),
      CancelledError,
    );
  }));
