/**
 * Multiple-choice tasks from files: JSON Lines of `{ "context", "choices": […], "answer": index }`.
 *
 * Texts become tokens as in EleutherAI's lm-evaluation-harness (`_encode_pair`): spaces at the end of the context move
 * to the start of the choice; context and choice are encoded as one text, the context alone as well, and the choice's
 * tokens are those past as many as the context alone has. No space is put between context and choice, and no special
 * token before them; an empty context becomes the model's start token, or its end token where it has no other.
 * @module
 */
import { basename } from "@std/path";
import { TextError } from "../errors.ts";
import type { TextTokenizer } from "../model/types.ts";
import type { Choice, ChoiceItem, ChoiceTask } from "./tasks.ts";

/** A question as a file has it. */
export interface TaskRecord {
  /** What stands before the choices. */
  readonly context: string;
  /** Two texts or more. */
  readonly choices: readonly string[];
  /** Which one is right, counted from 0. */
  readonly answer: number;
  /** The line of the file, counted from 1. */
  readonly line: number;
}

/** A task as a file has it. */
export interface TaskFile {
  /** The task's name. */
  readonly name: string;
  /** The file's name without its folder, for messages. */
  readonly file: string;
  /** The questions; at least one. */
  readonly records: readonly TaskRecord[];
}

/**
 * Reads task files.
 *
 * @param paths Files by name
 * @returns The tasks in the order given
 * @throws {TextError} if a name comes twice, or a file is missing, empty, or not what this module's head says
 * @example
 * ```ts
 * import { openTaskFiles } from "./task_files.ts";
 * const path = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(path, '{"context": "1 + 1 =", "choices": [" 2", " 3"], "answer": 0}');
 * console.log((await openTaskFiles([{ name: "sums", path }]))[0].records.length); // 1
 * ```
 */
export async function openTaskFiles(
  paths: readonly { readonly name: string; readonly path: string }[],
): Promise<readonly TaskFile[]> {
  const seen = new Set<string>();
  const files: TaskFile[] = [];
  for (const { name, path } of paths) {
    if (seen.has(name)) throw new TextError(`Cannot use two tasks named '${name}': rename one`);
    seen.add(name);
    files.push(parseTaskFile(name, basename(path), await readText(name, path)));
  }
  return files;
}

async function readText(name: string, path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    const { isFile, isDirectory } = await Deno.stat(path);
    // A pipe or a device may never end.
    if (!isFile && !isDirectory) throw new Error("it is not a regular file");
    bytes = await Deno.readFile(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "no such file"
      : cause instanceof Deno.errors.PermissionDenied
      ? "no permission to read it"
      : cause instanceof Deno.errors.IsADirectory
      ? "it is a folder"
      : (cause as Error).message;
    throw new TextError(`Cannot read task '${name}' at '${path}': ${reason}`, { cause });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new TextError(`Cannot use task '${name}': '${path}' is not UTF-8 text`, { cause });
  }
}

/**
 * Parses the content of a task file.
 *
 * @param name The task's name
 * @param file The file's name, for messages
 * @param content JSON Lines; empty lines are passed over
 * @returns The questions
 * @throws {TextError} if there are none, or a line is not one; the message names file and line
 */
export function parseTaskFile(name: string, file: string, content: string): TaskFile {
  const records: TaskRecord[] = [];
  content.split("\n").forEach((text, index) => {
    if (text.trim() === "") return;
    const line = index + 1;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw taskError(name, file, line, "is not JSON", { cause });
    }
    const problem = problemOf(value);
    if (problem !== undefined) throw taskError(name, file, line, problem);
    const { context, choices, answer } = value as TaskRecord;
    // JSON can hold halves of characters, which no UTF-8 text has.
    records.push({
      context: context.toWellFormed(),
      choices: choices.map((choice) => choice.toWellFormed()),
      answer,
      line,
    });
  });
  if (records.length === 0) {
    throw new TextError(`Cannot use task '${name}': '${file}' has no questions`);
  }
  return { name, file, records };
}

/** What is wrong with a record; undefined where nothing is. */
function problemOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return "is not an object with 'context', 'choices' and 'answer'";
  }
  const { context, choices, answer } = value as Readonly<Record<string, unknown>>;
  if (typeof context !== "string") return "has no string field 'context'";
  if (!Array.isArray(choices)) return "has no list field 'choices'";
  const strange = choices.findIndex((choice) => typeof choice !== "string" || choice === "");
  if (strange >= 0) {
    return typeof choices[strange] === "string"
      ? `has an empty text as choice ${strange}`
      : `has a choice ${strange} that is not a string`;
  }
  if (choices.length < 2) return "has fewer than two choices";
  if (typeof answer !== "number" || !Number.isInteger(answer)) {
    return "has no whole number as field 'answer'";
  }
  if (answer < 0 || answer >= choices.length) {
    return `has the answer ${answer} where its choices are 0 to ${choices.length - 1}`;
  }
  return undefined;
}

function taskError(
  name: string,
  file: string,
  line: number,
  problem: string,
  options?: ErrorOptions,
): TextError {
  return new TextError(`Cannot use task '${name}': line ${line} of '${file}' ${problem}`, options);
}

/**
 * Encodes a context and what follows it, as `_encode_pair` of lm-evaluation-harness does.
 *
 * @param encode Text to token numbers, without special tokens
 * @param context What stands before; spaces at its end are scored with what follows
 * @param continuation What follows
 * @returns Token numbers of both; either may be empty
 * @example
 * ```ts
 * import { encodePair } from "./task_files.ts";
 * const encode = (text: string) => [...text].map((letter) => letter.charCodeAt(0));
 * console.log(encodePair(encode, "a ", "b")); // { context: [97], continuation: [32, 98] }
 * ```
 */
export function encodePair(
  encode: (text: string) => readonly number[],
  context: string,
  continuation: string,
): { readonly context: readonly number[]; readonly continuation: readonly number[] } {
  const before = context.trimEnd();
  const whole = encode(context + continuation);
  const contextTokens = before === "" ? [] : encode(before);
  return { context: contextTokens, continuation: whole.slice(contextTokens.length) };
}

/** What encoding needs to know of a model. */
export interface TaskEncoding {
  /** Its tokenizer. */
  readonly tokenizer: TextTokenizer;
  /** Longest text that it can take, in tokens. */
  readonly maxPositions: number;
}

/**
 * Encodes a task for a model. A context that is too long for the model is cut from the left, as lm-evaluation-harness
 * does.
 *
 * @param task The task
 * @param encoding Tokenizer and limit of the model
 * @returns The task in token numbers
 * @throws {TextError} if a choice has no token of its own after the context, is longer than the model can take, or
 * has neither a context nor a start token before it; the message names file and line
 */
export function encodeTask(task: TaskFile, encoding: TaskEncoding): ChoiceTask {
  return {
    name: task.name,
    items: task.records.map((record) => encodeItem(task, record, encoding)),
  };
}

function encodeItem(
  { name, file }: TaskFile,
  { context, choices, answer, line }: TaskRecord,
  encoding: TaskEncoding,
): ChoiceItem {
  return {
    choices: choices.map((choice, index) => {
      const encoded = encodeChoice(context, choice, encoding);
      if (typeof encoded !== "string") return encoded;
      throw taskError(name, file, line, `has a choice ${index} ${encoded}`);
    }),
    answer,
  };
}

/** The choice, or what is wrong with it. */
function encodeChoice(
  text: string,
  choice: string,
  { tokenizer, maxPositions }: TaskEncoding,
): Choice | string {
  const pair = encodePair(tokenizer.encode, text, choice);
  const { continuation } = pair;
  if (continuation.length === 0) {
    return "that merges into the last token of its context; put a space between them";
  }
  if (continuation.length > maxPositions) {
    return `of ${continuation.length} tokens where the model takes at most ${maxPositions}`;
  }
  const start = tokenizer.startToken ?? tokenizer.endToken;
  const context = pair.context.length > 0 ? pair.context : start === undefined ? [] : [start];
  if (context.length === 0) {
    return "without a context, which this model needs because it has no start token";
  }
  // The last token is predicted and not read, so that one more than the limit goes in.
  const tokens = Int32Array.from([...context, ...continuation].slice(-(maxPositions + 1)));
  const bytes = new TextEncoder().encode(choice).length;
  return { tokens, scored: continuation.length, bytes };
}
