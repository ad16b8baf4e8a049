/**
 * Multiple choice: which of several ways to go on from a context a model finds most likely.
 *
 * Scores are those of EleutherAI's lm-evaluation-harness: `acc` chooses by the sum of the log-likelihoods of a choice's
 * tokens after the context; `accNorm` by that sum divided by the bytes of the choice's text in UTF-8, which the harness
 * calls `acc_bytes`. Its `acc_norm` divides by characters, which is the same in ASCII. `bench/harness.py` holds both
 * against the harness itself.
 * @module
 */
import { memoryOf } from "../engine/memory.ts";
import { numbersOf } from "../engine/streams.ts";
import type { Engine, Head } from "../engine/types.ts";
import type { Model } from "../model/types.ts";
import type { Accuracy } from "./report.ts";
import { runWholeModel, type WholeModelOptions } from "./whole_model.ts";

/** One way to go on from a context, as token numbers. */
export interface Choice {
  /** The context and then the choice; at least one token of each. */
  readonly tokens: Int32Array;
  /** How many tokens at the end are the choice's: those that are scored. */
  readonly scored: number;
  /** Bytes of the choice's text in UTF-8. */
  readonly bytes: number;
}

/** A question: choices after one context. */
export interface ChoiceItem {
  /** Two choices or more. */
  readonly choices: readonly Choice[];
  /** Which one is right, counted from 0. */
  readonly answer: number;
}

/** Questions under a name. */
export interface ChoiceTask {
  /** The name that reports show. */
  readonly name: string;
  /** The questions. */
  readonly items: readonly ChoiceItem[];
}

/** How likely a model finds the choices of a question. */
export interface ItemScore {
  /** Sum of the log-likelihoods of each choice's tokens, in nats. */
  readonly logLikelihoods: readonly number[];
  /** Bytes of each choice's text. */
  readonly bytes: readonly number[];
  /** Which choice is right, counted from 0. */
  readonly answer: number;
}

/**
 * Computes accuracy from scores. The first of equally likely choices counts as chosen, as `argmax` has it; where a
 * score is not a number, nothing is chosen. The standard error is that of lm-evaluation-harness (`mean_stderr`): the
 * sample standard deviation of the zeros and ones, with n − 1, divided by √n; 0 for a single question.
 *
 * @param scores One entry per question
 * @returns Shares from 0 to 1; NaN without questions
 * @example
 * ```ts
 * import { accuracy } from "./tasks.ts";
 * // The longer choice is less likely in all, and more likely per byte.
 * console.log(accuracy([{ logLikelihoods: [-4, -6], bytes: [2, 6], answer: 1 }]).accNorm); // 1
 * ```
 */
export function accuracy(scores: readonly ItemScore[]): Accuracy {
  const right = scores.map(({ logLikelihoods, answer }) => isFirstLargest(logLikelihoods, answer));
  const rightPerByte = scores.map(({ logLikelihoods, bytes, answer }) =>
    isFirstLargest(logLikelihoods.map((sum, index) => sum / bytes[index]), answer)
  );
  const count = scores.length;
  const share = (of: readonly boolean[]) => of.filter(Boolean).length / count;
  const acc = share(right);
  // Of zeros and ones, Σ (x − acc)² = n · acc · (1 − acc).
  const stderr = count === 1 ? 0 : Math.sqrt(acc * (1 - acc) / (count - 1));
  return { acc, accNorm: share(rightPerByte), stderr };
}

function isFirstLargest(values: readonly number[], index: number): boolean {
  return values.indexOf(Math.max(...values)) === index;
}

/**
 * Scores the choices of tasks with a model.
 *
 * @param engine What runs the model
 * @param model The model
 * @param tasks The tasks, in token numbers of this model
 * @param options Progress and cancelling
 * @returns For each task, the scores of its questions in their order
 * @throws {EngineError} if a block fails
 * @throws {CancelledError} if cancelled
 */
export async function scoreTasks(
  engine: Engine,
  model: Model,
  tasks: readonly ChoiceTask[],
  options: WholeModelOptions = {},
): Promise<readonly (readonly ItemScore[])[]> {
  const choices = tasks.flatMap(({ items }) => items.flatMap((item) => item.choices));
  const batches = batchesOf(choices, memoryOf(engine).limits.batchTokens);
  const sums = new Float64Array(choices.length);
  await runWholeModel(
    engine,
    model,
    batches.map((batch) => paddedInputs(batch.map((index) => choices[index]))),
    async (head, hidden, number) => {
      const batch = batches[number];
      const own = batch.map((index) => choices[index]);
      const scores = await logLikelihoodsOf(head, await numbersOf(hidden), own);
      batch.forEach((index, at) => sums[index] = scores[at]);
    },
    options,
  );
  let next = 0;
  return tasks.map(({ items }) =>
    items.map(({ choices, answer }) => ({
      logLikelihoods: choices.map(() => sums[next++]),
      bytes: choices.map(({ bytes }) => bytes),
      answer,
    }))
  );
}

/** Batches of the numbers of choices, longest first, so that neighbours need little padding. */
function batchesOf(
  choices: readonly Choice[],
  batchTokens: number,
): readonly (readonly number[])[] {
  const order = choices.map((_, index) => index)
    .sort((a, b) => choices[b].tokens.length - choices[a].tokens.length || a - b);
  const batches: number[][] = [];
  let free = 0;
  for (const index of order) {
    if (free < 1) {
      batches.push([]);
      free = Math.max(1, Math.floor(batchTokens / (choices[index].tokens.length - 1)));
    }
    batches[batches.length - 1].push(index);
    free--;
  }
  return batches;
}

/**
 * What the model reads: all tokens but the last, which it only predicts. Shorter rows are filled up on the right,
 * where no token that is scored can see it.
 */
function paddedInputs(choices: readonly Choice[]): readonly Int32Array[] {
  const length = Math.max(...choices.map(({ tokens }) => tokens.length)) - 1;
  return choices.map(({ tokens }) => {
    const row = new Int32Array(length).fill(tokens[0]);
    row.set(tokens.subarray(0, -1));
    return row;
  });
}

async function logLikelihoodsOf(
  head: Head,
  hidden: Float32Array,
  choices: readonly Choice[],
): Promise<readonly number[]> {
  const length = Math.max(...choices.map(({ tokens }) => tokens.length)) - 1;
  const width = hidden.length / choices.length / length;
  const count = choices.reduce((sum, { scored }) => sum + scored, 0);
  const rows = new Float32Array(count * width);
  const targets = new Int32Array(count);
  let at = 0;
  choices.forEach(({ tokens, scored }, index) => {
    // The token at position p is predicted from the row before it.
    const from = index * length + tokens.length - 1 - scored;
    rows.set(hidden.subarray(from * width, (from + scored) * width), at * width);
    targets.set(tokens.subarray(tokens.length - scored), at);
    at += scored;
  });
  const losses = await head.negativeLogLikelihoods(rows, targets);
  at = 0;
  return choices.map(({ scored }) => {
    let sum = 0;
    for (const end = at + scored; at < end; at++) sum -= losses[at];
    return sum;
  });
}
