import fc from "fast-check";
import { openTaskFiles } from "../../../core/evaluate/task_files.ts";
import { encodeTask } from "../../../core/evaluate/task_files.ts";
import { openDomains } from "../../../core/text/domains.ts";
import { type Bytes, bytesOf, hostileBytes, hostileJson } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { writeSmallModel } from "./small_model.ts";

const linesOf = (records: readonly unknown[]) => records.map((each) => JSON.stringify(each));

function hostileLines(records: readonly unknown[]): fc.Arbitrary<Bytes> {
  const lines = fc.array(
    fc.oneof(fc.constantFrom(...linesOf(records), "", "\r", "\ufeff"), hostileJson(records)),
    { maxLength: 6 },
  ).map((each) => bytesOf(each.join("\n")));
  return fc.oneof(lines, hostileBytes([bytesOf(linesOf(records).join("\n"))]));
}

/** Records of text, and their tokens. */
export async function textLines(folder: string): Promise<OpenReader> {
  const model = await writeSmallModel(folder);
  const tokenizer = await model.tokenizer();
  const path = `${folder}/text.jsonl`;
  return {
    files: hostileLines([
      { text: "Once upon a time" },
      { text: "naïve 🦙\n", id: 3, meta: { a: [1] } },
      { text: "" },
    ]),
    read: async (file) => {
      await Deno.writeFile(path, file);
      for (const { text } of await openDomains({ text: path })) {
        tokenizer.encode(text.slice(0, 2000));
      }
    },
  };
}

/** Questions, and their tokens. */
export async function taskLines(folder: string): Promise<OpenReader> {
  const model = await writeSmallModel(folder);
  const encoding = { tokenizer: await model.tokenizer(), maxPositions: 32 };
  const path = `${folder}/task.jsonl`;
  return {
    files: hostileLines([
      { context: "1 + 1 =", choices: [" 2", " 3"], answer: 0 },
      { context: "", choices: ["a", "b", "c"], answer: 2, id: "x" },
    ]),
    read: async (file) => {
      await Deno.writeFile(path, file);
      for (const task of await openTaskFiles([{ name: "task", path }])) encodeTask(task, encoding);
    },
  };
}
