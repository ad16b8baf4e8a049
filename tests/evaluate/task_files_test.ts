import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { TextError } from "../../core/errors.ts";
import {
  encodePair,
  encodeTask,
  openTaskFiles,
  parseTaskFile,
} from "../../core/evaluate/task_files.ts";
import type { TextTokenizer } from "../../core/model/types.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const letters = (text: string) => Array.from(text, (letter) => letter.charCodeAt(0));
/** Words with the space before them, as byte-pair encodings have them: "a b" is "a", " b"; "ab" is one token. */
const words = (text: string) =>
  (text.match(/ ?[^ ]+| /g) ?? []).map((word) => letters(word).reduce((a, b) => 31 * a + b, 7));

Deno.test("encodePair() gives the tokens past as many as the context alone has", () => {
  assertEquals(encodePair(letters, "ab", "cd"), {
    context: letters("ab"),
    continuation: letters("cd"),
  });
  assertEquals(encodePair(words, "one two", " three four"), {
    context: words("one two"),
    continuation: words(" three four"),
  });
});

Deno.test("encodePair() moves spaces at the end of the context to what follows", () => {
  assertEquals(encodePair(words, "one ", "two"), encodePair(words, "one", " two"));
  assertEquals(encodePair(letters, "a \n\t", "b"), {
    context: letters("a"),
    continuation: letters(" \n\tb"),
  });
  assertEquals(encodePair(letters, "  ", "b"), { context: [], continuation: letters("  b") });
});

Deno.test("encodePair() keeps the context's own tokens where context and choice grow together", () => {
  // "on" + "e two" is "one two" in two tokens, of which the context's one is dropped.
  assertEquals(encodePair(words, "on", "e two"), {
    context: words("on"),
    continuation: words(" two"),
  });
  assertEquals(encodePair(words, "on", "e").continuation, []);
});

const good = '{"context": "1 + 1 =", "choices": [" 2", " 3"], "answer": 0}';

Deno.test("parseTaskFile() reads records with their lines and passes over empty ones", () => {
  const { name, file, records } = parseTaskFile(
    "sums",
    "sums.jsonl",
    `${good}\r\n\n{"context":"","choices":["a","b","c"],"answer":2,"more":1}\n`,
  );
  assertEquals([name, file], ["sums", "sums.jsonl"]);
  assertEquals(records, [
    { context: "1 + 1 =", choices: [" 2", " 3"], answer: 0, line: 1 },
    { context: "", choices: ["a", "b", "c"], answer: 2, line: 3 },
  ]);
});

const bad: Readonly<Record<string, readonly [line: string, says: string]>> = {
  "what is not JSON": ["context: 1", "is not JSON"],
  "half a record": [good.slice(0, 20), "is not JSON"],
  "a list": ["[1]", "is not an object"],
  "null": ["null", "is not an object"],
  "a number": ["3", "is not an object"],
  "no context": ['{"choices":["a","b"],"answer":0}', "no string field 'context'"],
  "a context that is a number": [
    '{"context":1,"choices":["a","b"],"answer":0}',
    "no string field 'context'",
  ],
  "no choices": ['{"context":"a","answer":0}', "no list field 'choices'"],
  "choices in a string": ['{"context":"a","choices":"ab","answer":0}', "no list field 'choices'"],
  "one choice": ['{"context":"a","choices":["b"],"answer":0}', "fewer than two choices"],
  "none of the choices": ['{"context":"a","choices":[],"answer":0}', "fewer than two choices"],
  "an empty choice": ['{"context":"a","choices":["b",""],"answer":0}', "empty text as choice 1"],
  "a choice that is a number": ['{"context":"a","choices":[4,"b"],"answer":0}', "choice 0"],
  "no answer": ['{"context":"a","choices":["b","c"]}', "field 'answer'"],
  "an answer in words": ['{"context":"a","choices":["b","c"],"answer":"b"}', "field 'answer'"],
  "half an answer": ['{"context":"a","choices":["b","c"],"answer":0.5}', "field 'answer'"],
  "an answer past the choices": [
    '{"context":"a","choices":["b","c"],"answer":2}',
    "has the answer 2 where its choices are 0 to 1",
  ],
  "a negative answer": ['{"context":"a","choices":["b","c"],"answer":-1}', "the answer -1"],
};
for (const [what, [line, says]] of Object.entries(bad)) {
  Deno.test(`parseTaskFile() refuses ${what} and names file and line`, () => {
    const error = assertThrows(
      () => parseTaskFile("quiz", "quiz.jsonl", `${good}\n\n${line}\n${good}`),
      TextError,
      says,
    );
    assert(error.message.startsWith("Cannot use task 'quiz': line 3 of 'quiz.jsonl' "));
    assert(!error.message.endsWith("."));
  });
}

Deno.test("parseTaskFile() refuses a file without questions", () => {
  for (const content of ["", "\n \n"]) {
    assertThrows(() => parseTaskFile("q", "q.jsonl", content), TextError, "has no questions");
  }
});

Deno.test("openTaskFiles() refuses files that are missing, folders, binary or named twice", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "quiz.jsonl");
    await Deno.writeTextFile(path, `\ufeff${good}`);
    assertEquals((await openTaskFiles([{ name: "quiz", path }]))[0].records.length, 1);
    const refuses = async (paths: readonly string[], says: string) =>
      void await assertRejects(
        () => openTaskFiles(paths.map((path) => ({ name: "quiz", path }))),
        TextError,
        says,
      );
    await refuses([join(folder, "none.jsonl")], "no such file");
    await refuses([folder], "folder");
    await refuses([path, path], "two tasks named 'quiz'");
    const binary = join(folder, "binary.jsonl");
    await Deno.writeFile(binary, Uint8Array.of(0xff, 0xfe, 0x00));
    await refuses([binary], "is not UTF-8 text");
  }));

function encoded(
  record: { readonly context: string; readonly choices: readonly string[] },
  limit = 100,
  tokenizer: Partial<TextTokenizer> = {},
) {
  const records = [{ ...record, answer: 0, line: 7 }];
  const known = { encode: letters, decode: () => "", ...tokenizer };
  return encodeTask(
    { name: "quiz", file: "quiz.jsonl", records },
    { tokenizer: known, maxPositions: limit },
  ).items[0];
}

Deno.test("encodeTask() counts the bytes of the choice as it is written", () => {
  const { choices } = encoded({ context: "a ", choices: ["é", " bc"] });
  assertEquals(choices.map(({ bytes }) => bytes), [2, 3]);
  assertEquals(choices.map(({ scored }) => scored), [2, 4]);
  assertEquals([...choices[0].tokens], letters("a é"));
});

Deno.test("encodeTask() cuts a context that is too long from the left", () => {
  const { choices } = encoded({ context: "abcdefgh", choices: ["ij", "k"] }, 4);
  // Four tokens are read and the last one is predicted.
  assertEquals([...choices[0].tokens], letters("fghij"));
  assertEquals([...choices[1].tokens], letters("efghk"));
  assertEquals(choices.map(({ scored }) => scored), [2, 1]);
});

Deno.test("encodeTask() puts the start token, or else the end token, in place of an empty context", () => {
  const record = { context: "", choices: ["a", "b"] };
  const first = (tokenizer: Partial<TextTokenizer>) =>
    encoded(record, 100, tokenizer).choices[0].tokens[0];
  assertEquals(first({ startToken: 5, endToken: 6 }), 5);
  assertEquals(first({ endToken: 6 }), 6);
  assertThrows(() => first({}), TextError, "line 7 of 'quiz.jsonl' has a choice 0 without a");
});

Deno.test("encodeTask() refuses choices that are too long or have no token of their own", () => {
  assertThrows(
    () => encoded({ context: "a", choices: ["b", "cdefg"] }, 4),
    TextError,
    "line 7 of 'quiz.jsonl' has a choice 1 of 5 tokens where the model takes at most 4",
  );
  assertThrows(
    () => encoded({ context: "on", choices: ["e", " two"] }, 100, { encode: words }),
    TextError,
    "merges into the last token of its context",
  );
});
