/**
 * Word problems with worked and correct answers.
 *
 * @module
 */

import type { RandomStream } from "./random.ts";
import {
  capitalise,
  foods,
  inventPeople,
  numberWord,
  things,
  towns,
  withArticle,
} from "./words.ts";

const holders = [
  "box",
  "bag",
  "basket",
  "drawer",
  "crate",
  "jar",
  "shelf",
  "tray",
  "wagon",
  "cupboard",
] as const;
const vehicles = ["train", "bus", "bicycle", "boat", "lorry", "balloon", "tram"] as const;

/** A problem as it is being told: the sentences, the steps and the running value. */
interface Problem {
  readonly sentences: string[];
  readonly steps: string[];
}

/** Writes one step and returns its value, so that told answers can not differ from computed ones. */
function step(
  problem: Problem,
  left: number,
  operator: "+" | "-" | "*" | "/",
  right: number,
): number {
  const value = operator === "+"
    ? left + right
    : operator === "-"
    ? left - right
    : operator === "*"
    ? left * right
    : left / right;
  problem.steps.push(`${left} ${operator} ${right} = ${value}`);
  return value;
}

function plural(noun: readonly [string, string], count: number): string {
  return count === 1 ? noun[0] : noun[1];
}

function pluralHolder(holder: string): string {
  return holder === "box" ? "boxes" : holder === "shelf" ? "shelves" : `${holder}s`;
}

/** Written as a word now and then, so that both forms of a number are learned. */
function told(random: RandomStream, value: number): string {
  return random.chance(0.3) ? numberWord(value) : String(value);
}

function chainOfEvents(random: RandomStream, problem: Problem): string {
  const [owner, other, third] = inventPeople(random, 3);
  const noun = random.chance(0.5) ? random.pick(foods) : random.pick(things);
  let value = random.integer(3, 40);
  problem.sentences.push(random.pick([
    `${owner.name} has ${told(random, value)} ${noun[1]}.`,
    `In the morning ${owner.name} had ${told(random, value)} ${noun[1]}.`,
    `There are ${told(random, value)} ${noun[1]} in ${owner.name}'s ${random.pick(holders)}.`,
  ]));
  const events = random.integer(1, 4);
  for (let event = 0; event < events; event++) {
    const kind = random.unit();
    if (kind < 0.4 || value < 2) {
      const more = random.integer(1, 25);
      problem.sentences.push(random.pick([
        `${other.name} gives ${owner.object} ${told(random, more)} more.`,
        `Then ${owner.subject} buys another ${told(random, more)}.`,
        `${capitalise(owner.subject)} finds ${told(random, more)} ${plural(noun, more)} in ${
          random.pick(towns)
        }.`,
      ]));
      value = step(problem, value, "+", more);
    } else if (kind < 0.8) {
      const fewer = random.integer(1, value - 1);
      problem.sentences.push(random.pick([
        `${capitalise(owner.subject)} gives ${told(random, fewer)} of them to ${third.name}.`,
        `${third.name} takes ${told(random, fewer)} away.`,
        `After that ${owner.subject} loses ${told(random, fewer)} ${plural(noun, fewer)}.`,
      ]));
      value = step(problem, value, "-", fewer);
    } else if (value % 2 === 0 && random.chance(0.6)) {
      problem.sentences.push(
        `${capitalise(owner.subject)} gives half of the ${noun[1]} to ${third.name}.`,
      );
      value = step(problem, value, "/", 2);
    } else if (value < 60) {
      problem.sentences.push(`A fairy doubles the number of ${noun[1]}.`);
      value = step(problem, value, "*", 2);
    }
  }
  // A problem without any step would have nothing to work out.
  if (problem.steps.length === 0) {
    problem.sentences.push(`${other.name} adds one more.`);
    value = step(problem, value, "+", 1);
  }
  problem.sentences.push(random.pick([
    `How many ${noun[1]} does ${owner.name} have now?`,
    `How many ${noun[1]} are left?`,
    `What is the number of ${noun[1]} in the end?`,
  ]));
  return `${value} ${plural(noun, value)}`;
}

function shopping(random: RandomStream, problem: Problem): string {
  const [buyer] = inventPeople(random, 1);
  const kinds = random.sample([...foods, ...things], random.integer(1, 3));
  const costs: number[] = [];
  const wanted: string[] = [];
  for (const noun of kinds) {
    const count = random.integer(2, 12);
    const price = random.integer(1, 12);
    problem.sentences.push(random.pick([
      `One ${noun[0]} costs ${price} ${price === 1 ? "coin" : "coins"}.`,
      `The price of ${withArticle(noun[0])} is ${price}.`,
    ]));
    wanted.push(`${told(random, count)} ${noun[1]}`);
    costs.push(step(problem, count, "*", price));
  }
  problem.sentences.push(`${buyer.name} buys ${wanted.join(" and ")}.`);
  let total = costs[0];
  for (const cost of costs.slice(1)) total = step(problem, total, "+", cost);
  if (random.chance(0.5)) {
    const paid = total + random.integer(1, 50);
    problem.sentences.push(
      `${
        capitalise(buyer.subject)
      } pays with ${paid} coins. How much change does ${buyer.subject} get?`,
    );
    total = step(problem, paid, "-", total);
  } else {
    problem.sentences.push(`How much does ${buyer.subject} pay?`);
  }
  return total === 1 ? "1 coin" : `${total} coins`;
}

function sharing(random: RandomStream, problem: Problem): string {
  const noun = random.chance(0.6) ? random.pick(foods) : random.pick(things);
  const holder = random.pick(holders);
  const holderCount = random.integer(2, 9);
  const inEach = random.integer(2, 12);
  const children = random.integer(2, 9);
  problem.sentences.push(
    `There are ${told(random, holderCount)} ${pluralHolder(holder)} with ${told(random, inEach)} ${
      noun[1]
    } in each ${holder}.`,
  );
  let total = step(problem, holderCount, "*", inEach);
  const rest = total % children;
  if (rest > 0) {
    problem.sentences.push(
      `${capitalise(told(random, rest))} of the ${noun[1]} ${rest === 1 ? "is" : "are"} broken.`,
    );
    total = step(problem, total, "-", rest);
  }
  problem.sentences.push(
    `${capitalise(told(random, children))} children share the ${
      rest > 0 ? "others" : noun[1]
    } equally. How many does each child get?`,
  );
  const each = step(problem, total, "/", children);
  return `${each} ${plural(noun, each)}`;
}

function travelling(random: RandomStream, problem: Problem): string {
  const [start, end] = random.sample(towns, 2);
  const vehicle = random.pick(vehicles);
  const speed = random.integer(2, 20) * 5;
  const hours = random.integer(2, 9);
  if (random.chance(0.5)) {
    problem.sentences.push(
      `A ${vehicle} leaves ${start} and travels ${speed} kilometres every hour. It reaches ${end} after ${
        told(random, hours)
      } hours.`,
    );
    let distance = step(problem, speed, "*", hours);
    if (random.chance(0.4)) {
      const more = random.integer(5, 60);
      problem.sentences.push(`Then it goes on for ${more} kilometres.`);
      distance = step(problem, distance, "+", more);
    }
    problem.sentences.push(
      random.pick(["How far does it travel?", `How long is the way of the ${vehicle}?`]),
    );
    return `${distance} kilometres`;
  }
  problem.sentences.push(
    `From ${start} to ${end} it is ${
      speed * hours
    } kilometres. A ${vehicle} covers ${speed} kilometres in an hour. How many hours does it need?`,
  );
  return `${step(problem, speed * hours, "/", speed)} hours`;
}

function comparing(random: RandomStream, problem: Problem): string {
  const [first, second] = inventPeople(random, 2);
  const noun = random.pick(things);
  const base = random.integer(4, 30);
  problem.sentences.push(`${first.name} owns ${told(random, base)} ${noun[1]}.`);
  let other: number;
  if (random.chance(0.5)) {
    const more = random.integer(2, 20);
    problem.sentences.push(`${second.name} owns ${told(random, more)} more than ${first.name}.`);
    other = step(problem, base, "+", more);
  } else {
    const factor = random.integer(2, 5);
    problem.sentences.push(
      `${second.name} owns ${numberWord(factor)} times as many as ${first.name}.`,
    );
    other = step(problem, base, "*", factor);
  }
  if (random.chance(0.5)) {
    problem.sentences.push(`How many ${noun[1]} do they own together?`);
    const sum = step(problem, base, "+", other);
    return `${sum} ${noun[1]}`;
  }
  problem.sentences.push(`How many ${noun[1]} does ${second.name} own?`);
  return `${other} ${noun[1]}`;
}

function ages(random: RandomStream, problem: Problem): string {
  const [young, old, oldest] = inventPeople(random, 3);
  const age = random.integer(3, 15);
  const gap = random.integer(2, 30);
  const further = random.integer(1, 12);
  problem.sentences.push(
    `${young.name} is ${told(random, age)} years old. ${old.name} is ${
      told(random, gap)
    } years older than ${young.name}, and ${oldest.name} is ${
      told(random, further)
    } years older than ${old.name}.`,
  );
  let value = step(problem, step(problem, age, "+", gap), "+", further);
  if (random.chance(0.5)) {
    const years = random.integer(2, 20);
    problem.sentences.push(`How old will ${oldest.name} be in ${numberWord(years)} years?`);
    value = step(problem, value, "+", years);
  } else {
    problem.sentences.push(`How old is ${oldest.name}?`);
  }
  return `${value} years`;
}

/**
 * Writes one word problem with its working and its answer.
 *
 * The last step of the working always equals the number in the answer.
 *
 * @param random The stream that makes every choice.
 * @returns Three lines that start with `Problem:`, `Working:` and `Answer:`.
 * @example
 * ```ts
 * import { writeArithmetic } from "./arithmetic.ts";
 * import { RandomStream } from "./random.ts";
 *
 * const text = writeArithmetic(new RandomStream("an example"));
 * ```
 */
export function writeArithmetic(random: RandomStream): string {
  const problem: Problem = { sentences: [], steps: [] };
  const writer = random.pick([
    chainOfEvents,
    chainOfEvents,
    shopping,
    sharing,
    travelling,
    comparing,
    ages,
  ]);
  const answer = writer(random, problem);
  return `Problem: ${problem.sentences.join(" ")}\nWorking: ${
    problem.steps.join("; ")
  }.\nAnswer: ${answer}.`;
}
