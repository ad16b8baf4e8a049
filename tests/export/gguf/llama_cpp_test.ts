import { assert, assertEquals } from "@std/assert";
import type { GgufQuantization } from "../../../core/export/gguf/names.ts";
import { exportGguf, openGguf } from "../../../core/export/gguf/mod.ts";
import { exportHuggingFace } from "../../../core/export/hf.ts";
import type { Engine } from "../../../core/engine/types.ts";
import { embeddedTexts } from "../../../core/pipeline.ts";
import { openModel } from "../../../core/model/open.ts";
import type { Model } from "../../../core/model/types.ts";
import { wholeLogits, withEngine } from "../../engine/helpers.ts";
import { askLlama, llamaIsMissing } from "../../helpers/llama-cpp.ts";
import type { RandomModelOptions } from "../../helpers/random-model.ts";
import { sentencepieceTokenizer } from "../../helpers/sentencepiece-tokenizer.ts";
import { SHARED, sharedIsMissing, withTemporaryFolder } from "../../helpers/temporary.ts";
import {
  byteLevel,
  differingShapes,
  divergence,
  llama3Pattern,
  logProbabilities,
  qwen2Pattern,
  randomModel,
  replaceJson,
  split,
  tekkenPattern,
} from "./helpers.ts";

const ignore = await llamaIsMissing() !== undefined;
const quantizations = ["f32", "f16", "q8_0", "q4_0"] as const;

/** Log-probabilities of the next token at places of a text, by token, as gprune has them. */
async function predictions(
  engine: Engine,
  model: Model,
  tokens: readonly number[],
  positions: readonly number[],
): Promise<number[][]> {
  const { vocabularySize } = model.architecture;
  const logits = await wholeLogits(engine, model, [Int32Array.from(tokens)]);
  return positions.map((position) =>
    logProbabilities(logits.subarray(position * vocabularySize, (position + 1) * vocabularySize))
  );
}

function largestDifference(a: readonly number[][], b: readonly (readonly number[])[]): number {
  return Math.max(
    ...a.flatMap((row, index) => row.map((value, token) => Math.abs(value - b[index][token]))),
  );
}

function meanDivergence(a: readonly number[][], b: readonly (readonly number[])[]): number {
  return a.reduce((sum, row, index) => sum + divergence(row, b[index]), 0) / a.length;
}

/** Log-probabilities, with those below exp(−5) lifted there: rounding shows in the tail first. */
function likely(row: readonly number[]): number[] {
  return row.map((log) => Math.max(log, -5));
}

const llama3 = {
  rope_type: "llama3",
  factor: 4,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 16,
};
const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 };

/** What llama.cpp must compute as gprune does, in float32 to rounding. */
const variants: Readonly<Record<string, RandomModelOptions>> = {
  "uniform": {},
  "adaptive": { shapes: differingShapes },
  "untied output": { tied: false },
  "adaptive, untied output": { shapes: differingShapes, tied: false },
  "attention biases": { attentionBias: true },
  "biases, queries narrower than the stream": {
    attentionBias: true,
    queryHeads: 2,
    keyValueHeads: 1,
  },
  "FFN biases": { mlpBias: true },
  "adaptive, all biases": { shapes: differingShapes, attentionBias: true, mlpBias: true },
  "llama3 rotary scaling": { ropeScaling: llama3 },
  "adaptive, llama3 rotary scaling": { shapes: differingShapes, ropeScaling: llama3 },
  "linear rotary scaling": { ropeScaling: { rope_type: "linear", factor: 2 } },
  "yarn rotary scaling": { ropeScaling: yarn },
  "adaptive, yarn rotary scaling": { shapes: differingShapes, ropeScaling: yarn },
  "head size 12": { headSize: 12 },
  "one head of keys and values": { keyValueHeads: 1 },
  "one neuron": { ffnWidth: 1 },
  "mistral, a window shorter than the text": {
    modelType: "mistral",
    config: { sliding_window: 26 },
  },
};

Deno.test({
  name: "exportGguf() writes what llama.cpp computes alike, for every kind of model",
  ignore,
  fn: () =>
    withTemporaryFolder((folder) =>
      withEngine(async (engine) => {
        const tokens = Array.from({ length: 26 }, (_, index) => (index * 37 + 5) % 250);
        const positions = [0, 3, 25];
        const expected: number[][][] = [];
        const questions = [];
        for (const options of Object.values(variants)) {
          const model = await randomModel(`${folder}/${questions.length}`, options);
          const file = await exportGguf(model, folder, {
            name: `variant-${questions.length}`,
            quantize: "f32",
          });
          assertEquals(file.architecture, options.shapes === undefined ? "llama" : "deci");
          expected.push(await predictions(engine, model, tokens, positions));
          questions.push({ path: file.path, tokens, positions });
        }
        const answers = await askLlama(questions);
        for (const [index, name] of Object.keys(variants).entries()) {
          const { error, logProbabilities } = answers[index];
          assertEquals(error, undefined, name);
          const difference = largestDifference(expected[index], logProbabilities);
          assert(difference < 5e-5, `${name}: off by ${difference}`);
        }
        // The comparison sees what it should: another scaling, or none, is no rounding error.
        const [plain, , , , , , , , scaled, , linear, stretched] = expected;
        for (const other of [scaled, linear, stretched]) {
          assert(largestDifference(plain, other) > 1e-2);
        }
      })
    ),
});

const texts = [
  "Once upon a time, there was a girl and then an other time in there.",
  "the  there   then\n\n other\ttime once. a",
  " leading and trailing ",
  "Numbers 12345 and 3.14, it's we'll THEY'RE",
  "café ☃ 😀 日本語 — “quotes” \u00a0 end",
  "",
];

/** Models for tokens and quantized numbers: what they are made of, and where they come from. */
const trained: readonly {
  readonly name: string;
  readonly ignore?: boolean;
  /** Whether a text that starts with a space gets none in front: llama.cpp always puts one. */
  readonly spaceIsEnough?: boolean;
  readonly open: (folder: string) => Promise<Model>;
}[] = [
  { name: "the embedded model", open: () => openModel() },
  {
    name: "an adaptive model, byte-level",
    open: (folder) => randomModel(folder, { shapes: differingShapes, hidden: 64 }),
  },
  {
    name: "an adaptive model, sentencepiece-style",
    open: (folder) =>
      randomModel(folder, { shapes: differingShapes, hidden: 64 }, sentencepieceTokenizer()),
  },
  {
    name: "a sentencepiece-style model without a space in front",
    open: (folder) => randomModel(folder, { hidden: 64 }, sentencepieceTokenizer("never")),
  },
  {
    name: "a sentencepiece-style model that prepares texts while it cuts them",
    spaceIsEnough: true,
    open: (folder) => randomModel(folder, { hidden: 64 }, sentencepieceTokenizer("pretokenizer")),
  },
  {
    name: "stories260K",
    ignore: sharedIsMissing(),
    open: () => openModel(new URL("models/stories260K", SHARED).pathname),
  },
];

/** How far llama.cpp may be from the same weights: it rounds activations to 16 bits, or to 8 beside quantized weights. */
const limits: Readonly<Record<GgufQuantization, number>> = {
  f32: 1e-5,
  f16: 1e-5,
  q8_0: 5e-3,
  q4_0: 5e-3,
};

for (const { name, ignore: missing = false, spaceIsEnough, open } of trained) {
  Deno.test({
    name:
      `exportGguf() writes ${name} so that llama.cpp reads its texts and predicts and writes as gprune`,
    ignore: ignore || missing,
    fn: () =>
      withTemporaryFolder((folder) =>
        withEngine(async (engine) => {
          const model = await open(`${folder}/model`);
          const tokenizer = await model.tokenizer();
          const read = texts.filter((text) => !(spaceIsEnough && text.startsWith(" ")));
          const tokens = tokenizer.encode(texts.join(" ")).slice(0, 60);
          const positions = [1, 2, 5, 9, 14, 20, 30, 40, 50, 59];
          const files = [];
          for (const quantize of quantizations) {
            files.push(await exportGguf(model, folder, { name: "model", quantize }));
          }
          const answers = await askLlama(files.map(({ path }) => ({
            path,
            texts: read,
            tokens,
            positions,
            prompt: "Once upon a time",
          })));
          for (const [index, quantize] of quantizations.entries()) {
            const answer = answers[index];
            assertEquals(answer.error, undefined);
            for (const [at, text] of read.entries()) {
              assertEquals(answer.encoded[at], tokenizer.encode(text), JSON.stringify(text));
            }
            assertEquals(answer.specials.eos, tokenizer.endToken);
            const opened = await openGguf(files[index].path, model);
            const expected = await predictions(engine, opened, tokens, positions);
            await opened.close();
            const off = meanDivergence(expected, answer.logProbabilities);
            assert(off < limits[quantize], `${quantize}: diverges by ${off} nats`);
            if (quantize === "f16") {
              const difference = largestDifference(
                expected.map(likely),
                answer.logProbabilities.map(likely),
              );
              assert(difference < 1e-2, `f16: off by ${difference}`);
            }
            assert(answer.generated !== undefined && answer.generated.length > 0);
          }
        })
      ),
  });
}

Deno.test({
  name: "openGguf() has the perplexity of the file in llama.cpp",
  ignore,
  fn: () =>
    withTemporaryFolder((folder) =>
      withEngine(async (engine) => {
        const model = await openModel();
        const text = embeddedTexts("held-out")[0].text;
        const tokens = (await model.tokenizer()).encode(text).slice(0, 200);
        const positions = Array.from({ length: 190 }, (_, index) => index + 5);
        const perplexity = (rows: readonly (readonly number[])[]) =>
          Math.exp(
            -positions.slice(0, -1).reduce((sum, at, i) => sum + rows[i][tokens[at + 1]], 0) /
              (positions.length - 1),
          );
        const dense = await predictions(engine, model, tokens, positions);
        for (const quantize of ["q8_0", "q4_0"] as const) {
          const { path } = await exportGguf(model, folder, { quantize });
          const [answer] = await askLlama([{ path, tokens, positions }]);
          const opened = await openGguf(path, model);
          const own = await predictions(engine, opened, tokens, positions);
          await opened.close();
          const theirs = answer.logProbabilities;
          const ratio = perplexity(own) / perplexity(theirs);
          assert(Math.abs(ratio - 1) < 3e-3, `${quantize}: ${ratio} times`);
          // What four bits change is no rounding of activations, and is seen through them.
          if (quantize === "q4_0") {
            assert(meanDivergence(own, theirs) < meanDivergence(dense, own) / 10);
            assert(meanDivergence(own, theirs) < meanDivergence(dense, theirs) / 10);
          }
        }
      })
    ),
});

const digits = { type: "Digits", individual_digits: true };

/** Ways to cut words, and whether a word that is a token stays whole. */
const splittings = {
  "SmolLM": { steps: [digits, { ...byteLevel, use_regex: true }], ignoreMerges: false },
  "Llama 3": { steps: [split(llama3Pattern), byteLevel], ignoreMerges: true },
  "Llama 3, by merges": { steps: [split(llama3Pattern), byteLevel], ignoreMerges: false },
  "Qwen 2": { steps: [split(qwen2Pattern), byteLevel], ignoreMerges: false },
  "Mistral Nemo": { steps: [split(tekkenPattern), byteLevel], ignoreMerges: true },
} as const;

Deno.test({
  name: "exportGguf() names every way to cut words as llama.cpp knows it",
  ignore,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const questions = [];
      const expected: number[][][] = [];
      const words = [
        ...texts.filter((text) => text !== ""),
        "I'll SAY: 'Don't!' 1234567 times;\r\n\r\n  then\t\tstop… ÀÉ éà x²  ",
      ];
      for (const { steps, ignoreMerges } of Object.values(splittings)) {
        const copy = `${folder}/${questions.length}`;
        await exportHuggingFace(await openModel(), copy);
        await replaceJson(`${copy}/tokenizer.json`, (rules) => {
          rules.pre_tokenizer = { type: "Sequence", pretokenizers: steps };
          rules.model.ignore_merges = ignoreMerges;
        });
        const model = await openModel(copy);
        const { path } = await exportGguf(model, copy);
        questions.push({ path, texts: words });
        const tokenizer = await model.tokenizer();
        expected.push(words.map((text) => tokenizer.encode(text)));
      }
      const answers = await askLlama(questions);
      for (const [index, name] of Object.keys(splittings).entries()) {
        assertEquals(answers[index].error, undefined, name);
        for (const [at, text] of words.entries()) {
          assertEquals(answers[index].encoded[at], expected[index][at], `${name}: ${text}`);
        }
      }
      // The ways differ on these texts: a wrong name would show.
      assert(new Set(expected.map((each) => each.join())).size >= 3);
    }),
});
