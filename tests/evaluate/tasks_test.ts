import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { CancelledError } from "../../core/errors.ts";
import { makeChoiceTask } from "../../core/evaluate/choice_tasks.ts";
import {
  accuracy,
  type ChoiceItem,
  type ChoiceTask,
  type ItemScore,
  scoreTasks,
} from "../../core/evaluate/tasks.ts";
import type { Progress } from "../../core/progress.ts";
import { Random } from "../../core/random.ts";
import { wholeLogits } from "../engine/helpers.ts";
import { withSmallModel } from "../helpers/pipeline.ts";

Deno.test("accuracy() counts by sum and per byte, worked out by hand", () => {
  const scores: readonly ItemScore[] = [
    // By sum the first, per byte (−2, −1) the second.
    { logLikelihoods: [-4, -6], bytes: [2, 6], answer: 1 },
    // By sum and per byte the second.
    { logLikelihoods: [-9, -3, -5], bytes: [3, 3, 3], answer: 1 },
    // By sum the first, per byte (−5, −1, −2) the second.
    { logLikelihoods: [-5, -8, -6], bytes: [1, 8, 3], answer: 0 },
    // By sum the last, per byte (−2, −3) the first.
    { logLikelihoods: [-10, -9], bytes: [5, 3], answer: 0 },
  ];
  const { acc, accNorm, stderr } = accuracy(scores);
  assertEquals([acc, accNorm], [2 / 4, 3 / 4]);
  // Zeros and ones 0, 1, 1, 0: variance 4 · ¼ / 3, over 4 questions.
  assertAlmostEquals(stderr, Math.sqrt(1 / 3 / 4), 1e-15);
});

Deno.test("accuracy() takes the first of equally likely choices, and none where a score is no number", () => {
  const item = (logLikelihoods: readonly number[], answer: number) => ({
    logLikelihoods,
    bytes: logLikelihoods.map(() => 1),
    answer,
  });
  assertEquals(accuracy([item([-1, -1], 0)]).acc, 1);
  assertEquals(accuracy([item([-1, -1], 1)]).acc, 0);
  assertEquals(accuracy([item([NaN, NaN], 0), item([-1, NaN], 0)]).acc, 0);
  assertEquals(accuracy([item([-Infinity, -1], 1)]).acc, 1);
});

Deno.test("accuracy() has the standard error 0 for one question and no numbers for none", () => {
  assertEquals(accuracy([{ logLikelihoods: [-1, -2], bytes: [1, 1], answer: 0 }]).stderr, 0);
  assertEquals(Number.isNaN(accuracy([]).acc), true);
});

const score = fc.integer({ min: 2, max: 5 }).chain((count) =>
  fc.record({
    // Distinct sums, so that their order decides nothing.
    logLikelihoods: fc.uniqueArray(fc.integer({ min: -1000, max: -1 }), {
      minLength: count,
      maxLength: count,
    }),
    bytes: fc.constant(Array.from({ length: count }, () => 7)),
    answer: fc.integer({ min: 0, max: count - 1 }),
  })
);

Deno.test("accuracy() stays as it is when choices change places with their answer", () => {
  fc.assert(fc.property(fc.array(score, { minLength: 1 }), fc.string(), (scores, seed) => {
    const random = Random.of(seed);
    const permuted = scores.map(({ logLikelihoods, bytes, answer }) => {
      const order = [...random.permutation(logLikelihoods.length)];
      return {
        logLikelihoods: order.map((index) => logLikelihoods[index]),
        bytes: order.map((index) => bytes[index]),
        answer: order.indexOf(answer),
      };
    });
    assertEquals(accuracy(permuted), accuracy(scores));
  }));
});

Deno.test("accuracy() is 1 with the standard error 0 where the answer is always most likely", () => {
  fc.assert(fc.property(fc.array(score, { minLength: 1 }), (scores) => {
    const right = scores.map((each) => ({
      ...each,
      answer: each.logLikelihoods.indexOf(Math.max(...each.logLikelihoods)),
    }));
    assertEquals(accuracy(right), { acc: 1, accNorm: 1, stderr: 0 });
  }));
});

Deno.test("accuracy() has the standard error of the sample's zeros and ones", () => {
  fc.assert(fc.property(fc.array(score, { minLength: 2, maxLength: 50 }), (scores) => {
    const hits = scores.map(({ logLikelihoods, answer }) =>
      logLikelihoods[answer] === Math.max(...logLikelihoods) ? 1 : 0
    );
    const mean = hits.reduce((sum: number, hit) => sum + hit, 0) / hits.length;
    const squares = hits.reduce((sum: number, hit) => sum + (hit - mean) ** 2, 0);
    const expected = Math.sqrt(squares / (hits.length - 1)) / Math.sqrt(hits.length);
    assertAlmostEquals(accuracy(scores).stderr, expected, 1e-12);
  }));
});

function randomTask(name: string, items: number, longest: number): ChoiceTask {
  const random = Random.of(`task ${name}`);
  const item = (): ChoiceItem => ({
    choices: Array.from({ length: 2 + random.below(3) }, () => {
      const length = 2 + random.below(longest - 1);
      return {
        tokens: Int32Array.from({ length }, () => random.below(256)),
        scored: 1 + random.below(length - 1),
        bytes: 1 + random.below(9),
      };
    }),
    answer: random.below(2),
  });
  return { name, items: Array.from({ length: items }, item) };
}

Deno.test("scoreTasks() gives the sums that softmax over the logits of each choice alone gives", () =>
  withSmallModel(async (model, engine) => {
    const tasks = [randomTask("a", 9, 40), { name: "none", items: [] }, randomTask("b", 5, 12)];
    const scores = await scoreTasks(engine, model, tasks);
    assertEquals(scores.map(({ length }) => length), [9, 0, 5]);
    const { vocabularySize } = model.architecture;
    for (const [task, { items }] of tasks.entries()) {
      for (const [number, { choices, answer }] of items.entries()) {
        const given = scores[task][number];
        assertEquals(given.answer, answer);
        assertEquals(given.bytes, choices.map(({ bytes }) => bytes));
        for (const [index, { tokens, scored }] of choices.entries()) {
          const logits = await wholeLogits(engine, model, [tokens]);
          let sum = 0;
          for (let at = tokens.length - scored; at < tokens.length; at++) {
            const row = logits.subarray((at - 1) * vocabularySize, at * vocabularySize);
            const largest = Math.max(...row);
            const total = row.reduce((all, logit) => all + Math.exp(logit - largest), 0);
            sum += row[tokens[at]] - largest - Math.log(total);
          }
          assertAlmostEquals(given.logLikelihoods[index], sum, 1e-4 * Math.abs(sum));
        }
      }
    }
  }));

Deno.test("scoreTasks() says how far it is and stops when cancelled", () =>
  withSmallModel(async (model, engine) => {
    const steps: Progress[] = [];
    const task = randomTask("a", 4, 20);
    await scoreTasks(engine, model, [task], { onProgress: (step) => steps.push(step) });
    assertEquals(steps.at(-1)!.done, steps.at(-1)!.total);
    assert(steps.every(({ stage }) => stage === "evaluate"));
    const stop = new AbortController();
    const { signal } = stop;
    await assertRejects(
      () => scoreTasks(engine, model, [task], { signal, onProgress: () => stop.abort() }),
      CancelledError,
    );
  }));

const decode = (tokens: readonly number[]) => tokens.map((token) => `${token} `).join("");
const source = {
  name: "text",
  tokens: Int32Array.from({ length: 900 }, (_, index) => index % 500),
};

/** Where a passage stands in a text that does not repeat itself within 500 tokens. */
function ends({ tokens, scored }: { readonly tokens: Int32Array; readonly scored: number }) {
  return [...tokens.subarray(tokens.length - scored)];
}

Deno.test("makeChoiceTask() asks for the true next 16 tokens after 64, against three other passages", () => {
  const task = makeChoiceTask(source, { decode, maxPositions: 256 });
  assertEquals([task.name, task.items.length], ["text-choice", 200]);
  const places = new Set<number>();
  for (const { choices, answer } of task.items) {
    assertEquals(choices.length, 4);
    const context = [...choices[0].tokens.subarray(0, 64)];
    for (const choice of choices) {
      assertEquals([choice.tokens.length, choice.scored], [80, 16]);
      assertEquals([...choice.tokens.subarray(0, 64)], context);
      assertEquals(choice.bytes, decode(ends(choice)).length);
    }
    const next = Array.from({ length: 16 }, (_, step) => (context[63] + 1 + step) % 500);
    assertEquals(ends(choices[answer]), next);
    assertEquals(new Set(choices.map((choice) => ends(choice).join())).size, 4);
    places.add(context[0]);
  }
  assert(places.size > 100, `${places.size} places`);
  assertEquals(new Set(task.items.map(({ answer }) => answer)).size, 4);
});

Deno.test("makeChoiceTask() follows seed and name alone", () => {
  const options = { decode, maxPositions: 256 };
  assertEquals(makeChoiceTask(source, options), makeChoiceTask(source, { ...options, seed: 0 }));
  const first = (task: ChoiceTask) => task.items[0].choices[0].tokens.join();
  assert(
    first(makeChoiceTask(source, options)) !==
      first(makeChoiceTask(source, { ...options, seed: 1 })),
  );
  assert(
    first(makeChoiceTask(source, options)) !==
      first(makeChoiceTask({ ...source, name: "other" }, options)),
  );
  const few = makeChoiceTask(source, { ...options, items: 8 });
  assertEquals(few.items.length, 8);
});

Deno.test("makeChoiceTask() takes a shorter context where the model cannot take 80 tokens", () => {
  const { items } = makeChoiceTask(source, { decode, maxPositions: 20 });
  assert(items.every(({ choices }) => choices.every(({ tokens }) => tokens.length === 20)));
  assertEquals(makeChoiceTask(source, { decode, maxPositions: 16 }).items, []);
});

Deno.test("makeChoiceTask() asks fewer questions of a short text, and none of one without passages", () => {
  const short = (count: number) => ({ name: "short", tokens: source.tokens.subarray(0, count) });
  const options = { decode, maxPositions: 256 };
  const some = makeChoiceTask(short(140), options).items.length;
  assert(some > 0 && some <= 61, `${some} questions`);
  for (const count of [0, 15, 79, 80]) {
    assertEquals(makeChoiceTask(short(count), options).items, []);
  }
  const same = { name: "same", tokens: new Int32Array(5000) };
  assertEquals(makeChoiceTask(same, options).items, []);
});
