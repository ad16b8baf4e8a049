import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { ModelError } from "../../core/errors.ts";
import { openModel } from "../../core/model/open.ts";
import { readTokenizer } from "../../core/model/tokenizer.ts";
import { END_TOKEN, withRandomModel } from "../helpers/random-model.ts";
import { SHARED, sharedIsMissing } from "../helpers/temporary.ts";

Deno.test("readTokenizer() encodes without special tokens and decodes to the same text", async () => {
  await withRandomModel({ startToken: true }, async (folder) => {
    const tokenizer = await readTokenizer(folder);
    assertEquals(tokenizer.encode("Aé"), [65, 195, 169]);
    assertEquals(tokenizer.encode(""), []);
    assertEquals(tokenizer.decode([]), "");
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
      if (text.isWellFormed()) assertEquals(tokenizer.decode(tokenizer.encode(text)), text);
    }));
  });
});

Deno.test("readTokenizer() shows special tokens and keeps spaces before punctuation", async () => {
  await withRandomModel({}, async (folder) => {
    const tokenizer = await readTokenizer(folder);
    assertEquals(tokenizer.decode([65, END_TOKEN]), "A<|endoftext|>");
    assertEquals(tokenizer.decode(tokenizer.encode("it 's , so ?")), "it 's , so ?");
  });
});

Deno.test("readTokenizer() has a start token only where add_bos_token asks for it", async () => {
  for (const startToken of [true, false]) {
    await withRandomModel({ startToken }, async (folder) => {
      const tokenizer = await readTokenizer(folder);
      assertEquals(tokenizer.startToken, startToken ? END_TOKEN : undefined);
      assertEquals(tokenizer.endToken, END_TOKEN);
    });
  }
});

Deno.test("readTokenizer() takes special tokens as objects, and from the config's numbers", async () => {
  await withRandomModel({}, async (folder) => {
    const settings = (value: unknown) =>
      Deno.writeTextFile(`${folder}/tokenizer_config.json`, JSON.stringify(value));
    await settings({ add_bos_token: true, bos_token: { content: "<|endoftext|>" } });
    const tokenizer = await readTokenizer(folder, { eos_token_id: [7, 8] });
    assertEquals([tokenizer.startToken, tokenizer.endToken], [END_TOKEN, 7]);
    await settings({ add_bos_token: true, bos_token: null, eos_token: "unheard of" });
    const without = await readTokenizer(folder, { bos_token_id: null });
    assertEquals([without.startToken, without.endToken], [undefined, undefined]);
    await Deno.remove(`${folder}/tokenizer_config.json`);
    assertEquals((await readTokenizer(folder)).encode("A"), [65]);
  });
});

Deno.test("readTokenizer() refuses a missing or broken tokenizer.json", async () => {
  await withRandomModel({}, async (folder) => {
    const path = `${folder}/tokenizer.json`;
    for (
      const [text, message] of [
        ["{", "it is not JSON"],
        ["[]", "it is not a JSON object"],
        ["{}", `Cannot read tokenizer '${path}'`],
        ['{"model":{"type":"BPE"}}', `Cannot read tokenizer '${path}'`],
        ['{"model":{"type":"Other","vocab":{}}}', `Cannot read tokenizer '${path}'`],
      ]
    ) {
      await Deno.writeTextFile(path, text);
      await assertRejects(() => readTokenizer(folder), ModelError, message);
    }
    await Deno.remove(path);
    const message = `Cannot read tokenizer '${path}': no such file`;
    await assertRejects(() => readTokenizer(folder), ModelError, message);
    const model = await openModel(folder);
    await assertRejects(() => model.tokenizer(), ModelError, message);
  });
});

Deno.test("Model.tokenizer() is read once", async () => {
  await withRandomModel({}, async (folder) => {
    const model = await openModel(folder);
    assert(await model.tokenizer() === await model.tokenizer());
  });
});

for (
  const [name, domain, tokens] of [
    ["mixlm", "wiki", 46508],
    ["mixlm", "python", 37360],
    ["stories260K", "python", 79534],
    ["stories260K", "web", 91612],
  ] as const
) {
  Deno.test({
    name: `readTokenizer() gives ${domain} back as it was with ${name} (needs the shared folder)`,
    ignore: sharedIsMissing(),
    fn: async () => {
      const tokenizer = await readTokenizer(new URL(`models/${name}`, SHARED).pathname);
      const text = await Deno.readTextFile(new URL(`text/${domain}.held.txt`, SHARED));
      const encoded = tokenizer.encode(text);
      // As many as the reference implementation (tokenizers for Python) makes.
      assertEquals(encoded.length, tokens);
      assert(tokenizer.decode(encoded) === text);
    },
  });
}
