import { assert, assertEquals, assertRejects } from "@std/assert";
import { ExportError } from "../../../core/errors.ts";
import { tokenizerKeys } from "../../../core/export/gguf/tokenizer.ts";
import { wordSplittingName } from "../../../core/export/gguf/word_splitting.ts";
import { sentencepieceTokenizer } from "../../helpers/sentencepiece-tokenizer.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";
import {
  byteLevel,
  llama3Pattern,
  qwen2Pattern,
  randomModel,
  replaceJson,
  split,
  tekkenPattern,
} from "./helpers.ts";

const splittings: readonly (readonly [
  steps: readonly (Record<string, unknown> & { readonly type: string })[],
  ignoreMerges: boolean,
  name: string | undefined,
])[] = [
  [[{ ...byteLevel, use_regex: true }], false, "gpt-2"],
  [
    [{ type: "Digits", individual_digits: true }, { ...byteLevel, use_regex: true }],
    false,
    "smollm",
  ],
  [[split(llama3Pattern), byteLevel], true, "llama-bpe"],
  [[split(llama3Pattern), byteLevel], false, "smaug-bpe"],
  [[split(qwen2Pattern), byteLevel], false, "qwen2"],
  [[split(tekkenPattern), byteLevel], true, "tekken"],
  [[split(qwen2Pattern), byteLevel], true, undefined],
  [[split("\\w+"), byteLevel], false, undefined],
  [[{ ...split(llama3Pattern), behavior: "Removed" }, byteLevel], true, undefined],
  [[{ ...split(llama3Pattern), invert: true }, byteLevel], true, undefined],
  [[{ ...byteLevel, use_regex: true, add_prefix_space: true }], false, undefined],
  [[{ type: "Whitespace" }, split(llama3Pattern), byteLevel], false, undefined],
  [
    [{ type: "Digits", individual_digits: false }, { ...byteLevel, use_regex: true }],
    false,
    undefined,
  ],
  [[byteLevel], false, undefined],
  [[], false, undefined],
];

Deno.test("wordSplittingName() knows the rules of GPT-2, SmolLM, Llama 3, Qwen 2 and Mistral Nemo, and no others", () => {
  const rest = {
    vocabulary: new Map(),
    merges: [],
    added: [],
    normalizers: [],
    postProcessors: [],
    byteFallback: false,
  };
  for (const [preTokenizers, ignoreMerges, name] of splittings) {
    assertEquals(wordSplittingName({ ...rest, preTokenizers, ignoreMerges }), name);
  }
});

Deno.test("tokenizerKeys() gives sentencepiece-style tokens the order of their merges as scores", () =>
  withTemporaryFolder(async (folder) => {
    const model = await randomModel(folder, {}, sentencepieceTokenizer());
    const keys = await tokenizerKeys(model);
    const list = (key: string) => keys.get(`tokenizer.ggml.${key}`)?.value as (string | number)[];
    assertEquals(keys.get("tokenizer.ggml.model")?.value, "llama");
    assertEquals(keys.get("tokenizer.ggml.add_space_prefix")?.value, true);
    assertEquals(keys.get("tokenizer.ggml.add_bos_token")?.value, true);
    assertEquals(keys.get("tokenizer.ggml.add_eos_token")?.value, false);
    assertEquals(list("token_type").slice(0, 5), [2, 3, 3, 6, 6]);
    const score = (token: string) => list("scores")[list("tokens").indexOf(token)] as number;
    assert(score("▁t") > score("▁th") && score("▁th") > score("▁the"));
    assertEquals(list("scores").length, model.architecture.vocabularySize);
  }));

Deno.test("tokenizerKeys() names rows of the embedding that have no token", () =>
  withTemporaryFolder(async (folder) => {
    const model = await randomModel(folder, { vocabulary: 260 });
    const keys = await tokenizerKeys(model);
    const tokens = keys.get("tokenizer.ggml.tokens")?.value as string[];
    const types = keys.get("tokenizer.ggml.token_type")?.value as number[];
    assertEquals(tokens.slice(255), ["ÿ", "<|endoftext|>", "[PAD257]", "[PAD258]", "[PAD259]"]);
    assertEquals(types.slice(255), [1, 3, 5, 5, 5]);
  }));

/** Each change makes a tokenizer that llama.cpp would follow otherwise, or not at all. */
// deno-lint-ignore no-explicit-any -- fields of a tokenizer.json
type Change = (rules: any) => unknown;
const refused: readonly (readonly [
  name: string,
  kind: "bytes" | "characters",
  change: Change,
  says: RegExp,
])[] = [
  [
    "a unigram model",
    "bytes",
    (rules) => void (rules.model = { type: "Unigram", vocab: [] }),
    /kind 'Unigram'/,
  ],
  ["a word list", "bytes", (rules) => void (rules.model.type = "WordPiece"), /kind 'WordPiece'/],
  [
    "suffixes of words",
    "bytes",
    (rules) => void (rules.model.end_of_word_suffix = "</w>"),
    /prefixes or suffixes/,
  ],
  [
    "a normalizer",
    "bytes",
    (rules) => void (rules.normalizer = { type: "Lowercase" }),
    /'Lowercase'/,
  ],
  [
    "its own way to cut words",
    "bytes",
    (rules) =>
      void (rules.pre_tokenizer = { type: "Sequence", pretokenizers: [split("\\w+"), byteLevel] }),
    /cuts words/,
  ],
  [
    "a space in front of bytes",
    "bytes",
    (rules) => void (rules.pre_tokenizer.add_prefix_space = true),
    /cuts words/,
  ],
  ["no bytes", "characters", (rules) => void (rules.model.byte_fallback = false), /single bytes/],
  [
    "a byte missing",
    "characters",
    (rules) => void delete rules.model.vocab["<0x41>"],
    /single bytes/,
  ],
  [
    "another normalizer",
    "characters",
    (rules) => void (rules.normalizer = { type: "NFKC" }),
    /prepares texts/,
  ],
  [
    "merges out of order",
    "characters",
    (rules) => void rules.model.merges.push(rules.model.merges[0]),
    /order/,
  ],
  ["a merge missing", "characters", (rules) => void rules.model.merges.shift(), /order/],
  ["broken fields", "bytes", (rules) => void (rules.model.merges = 3), /model.*merges|merges/],
];

for (const [name, kind, change, says] of refused) {
  Deno.test(`tokenizerKeys() refuses ${name} in one sentence`, () =>
    withTemporaryFolder(async (folder) => {
      const tokenizer = kind === "characters" ? sentencepieceTokenizer() : undefined;
      const model = await randomModel(folder, {}, tokenizer);
      await replaceJson(`${folder}/tokenizer.json`, change);
      const { message } = await assertRejects(() => tokenizerKeys(model), ExportError);
      assert(says.test(message), message);
      assert(message.startsWith("Cannot ") && !message.includes("\n"), message);
    }));
}

Deno.test("tokenizerKeys() refuses missing files and a text without an end", () =>
  withTemporaryFolder(async (folder) => {
    const model = await randomModel(folder, { config: { eos_token_id: undefined } });
    await replaceJson(`${folder}/tokenizer_config.json`, (settings) => {
      delete settings.eos_token;
    });
    await assertRejects(() => tokenizerKeys(model), ExportError, "which token ends a text");
    await Deno.writeTextFile(`${folder}/tokenizer.json`, "{");
    await assertRejects(() => tokenizerKeys(model), ExportError, "it is not JSON");
    await Deno.remove(`${folder}/tokenizer.json`);
    await assertRejects(() => tokenizerKeys(model), ExportError, "no such file");
  }));
