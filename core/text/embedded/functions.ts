/**
 * TypeScript functions on several themes, with types, comments, loops and conditions.
 *
 * @module
 */

import { pickLimit, type Theme, themes } from "./function-themes.ts";
import type { RandomStream } from "./random.ts";
import { capitalise, withArticle } from "./words.ts";

const operators = ["<", ">", "<=", ">="] as const;
/** A function as lines, with the sentence that describes it. */
interface Written {
  readonly description: string;
  readonly tags?: readonly string[];
  readonly signature: string;
  readonly body: readonly string[];
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

/** A condition on one element, together with how a comment says it. */
function condition(
  random: RandomStream,
  { numbers, texts, flags }: Theme,
  on: string,
  depth = 1,
): readonly [code: string, words: string] {
  const choice = random.unit();
  if (depth > 0 && choice < 0.2) {
    const first = condition(random, { numbers, texts, flags } as Theme, on, 0);
    const second = condition(random, { numbers, texts, flags } as Theme, on, 0);
    const both = random.chance(0.5);
    return [
      `${first[0]} ${both ? "&&" : "||"} ${second[0]}`,
      `${first[1]} ${both ? "and" : "or"} ${second[1]}`,
    ];
  }
  if (choice < 0.45) {
    const flag = random.pick(flags);
    return random.chance(0.6)
      ? [`${on}.${flag}`, `is ${flag}`]
      : [`!${on}.${flag}`, `is not ${flag}`];
  }
  if (choice < 0.6) {
    const text = random.pick(texts);
    return [`${on}.${text} !== ""`, `has ${withArticle(text)}`];
  }
  const number = random.pick(numbers);
  const operator = random.pick(operators);
  const limit = pickLimit(random);
  const words = { "<": "below", ">": "above", "<=": "at most", ">=": "at least" }[operator];
  return [`${on}.${number} ${operator} ${limit}`, `has ${withArticle(number)} ${words} ${limit}`];
}

function countIf(random: RandomStream, subject: Theme): Written {
  const [code, words] = condition(random, subject, subject.element);
  const { type, element, list } = subject;
  return {
    description: `Counts every ${element} that ${words}.`,
    signature: `count${capitalise(list)}(${list}: ${type}[]): number`,
    body: random.chance(0.5) ? [`return ${list}.filter((${element}) => ${code}).length;`] : [
      "let count = 0;",
      `for (const ${element} of ${list}) {`,
      `  if (${code}) count++;`,
      "}",
      "return count;",
    ],
  };
}

function sumOf(random: RandomStream, subject: Theme): Written {
  const { type, element, list } = subject;
  const number = random.pick(subject.numbers);
  const total = `total${capitalise(number)}`;
  const [code, words] = condition(random, subject, element);
  const skip = random.chance(0.5);
  return {
    description: skip
      ? `Adds up the ${number} of each ${element}, unless it ${words}.`
      : `Adds up the ${number} of all ${list}.`,
    signature: `${total}(${list}: ${type}[]): number`,
    body: [
      "let total = 0;",
      `for (const ${element} of ${list}) {`,
      ...(skip ? [`  if (${code}) continue;`] : []),
      `  total += ${element}.${number};`,
      "}",
      random.chance(0.7) ? "return total;" : "return Math.round(total);",
    ],
  };
}

function meanOf(random: RandomStream, subject: Theme): Written {
  const { type, element, list } = subject;
  const number = random.pick(subject.numbers);
  return {
    description: `The mean ${number} of the ${list}.`,
    tags: ["@throws If there are none."],
    signature: `mean${capitalise(number)}(${list}: ${type}[]): number`,
    body: [
      `if (${list}.length === 0) {`,
      `  throw new RangeError("no ${list}");`,
      "}",
      `const sum = ${list}.reduce((total, ${element}) => total + ${element}.${number}, 0);`,
      `return sum / ${list}.length;`,
    ],
  };
}

function bestOf(random: RandomStream, subject: Theme): Written {
  const { type, element, list } = subject;
  const number = random.pick(subject.numbers);
  const least = random.chance(0.5);
  const best = least ? "lowest" : "highest";
  return {
    description: `Finds the ${element} with the ${best} ${number}.`,
    tags: random.chance(0.4) ? [`@returns The ${element}, or null if there is none.`] : [],
    signature: `${best}${capitalise(number)}(${list}: ${type}[]): ${type} | null`,
    body: [
      `let ${best}: ${type} | null = null;`,
      `for (const ${element} of ${list}) {`,
      `  if (${best} === null || ${element}.${number} ${least ? "<" : ">"} ${best}.${number}) {`,
      `    ${best} = ${element};`,
      "  }",
      "}",
      `return ${best};`,
    ],
  };
}

function groupBy(random: RandomStream, subject: Theme): Written {
  const { type, element, list } = subject;
  const text = random.pick(subject.texts);
  if (random.chance(0.5)) {
    const number = random.pick(subject.numbers);
    return {
      description: `The ${number} of the ${list} for each ${text}.`,
      signature: `${number}By${capitalise(text)}(${list}: ${type}[]): Map<string, number>`,
      body: [
        "const sums = new Map<string, number>();",
        `for (const ${element} of ${list}) {`,
        `  const before = sums.get(${element}.${text}) ?? 0;`,
        `  sums.set(${element}.${text}, before + ${element}.${number});`,
        "}",
        "return sums;",
      ],
    };
  }
  return {
    description: `Groups the ${list} by ${text}.`,
    signature: `groupBy${capitalise(text)}(${list}: ${type}[]): Map<string, ${type}[]>`,
    body: [
      `const groups = new Map<string, ${type}[]>();`,
      `for (const ${element} of ${list}) {`,
      `  const group = groups.get(${element}.${text});`,
      "  if (group === undefined) {",
      `    groups.set(${element}.${text}, [${element}]);`,
      "  } else {",
      `    group.push(${element});`,
      "  }",
      "}",
      "return groups;",
    ],
  };
}

function describe(random: RandomStream, subject: Theme): Written {
  const { type, element } = subject;
  const text = random.pick(subject.texts);
  const number = random.pick(subject.numbers);
  const [code, words] = condition(random, subject, element, 0);
  return {
    description: `Describes one ${element} and says whether it ${words}.`,
    signature: `describe${type}(${element}: ${type}): string`,
    body: [
      `const start = \`\${${element}.${text}}: \${${element}.${number}}\`;`,
      ...random.pick([
        [`if (${code}) {`, '  return start + " (yes)";', "}", "return start;"],
        [`return ${code} ? \`\${start}!\` : start;`],
        [`const mark = ${code} ? "+" : "-";`, "return `${mark} ${start}`;"],
      ]),
    ],
  };
}

/** Nested blocks: conditions and loops inside each other, down to a single change. */
function block(random: RandomStream, subject: Theme, depth: number): string[] {
  const { element, numbers, flags } = subject;
  const number = random.pick(numbers);
  if (depth === 0) {
    return [random.pick([
      `${element}.${number} += ${pickLimit(random)};`,
      `${element}.${number} -= ${random.integer(1, 9)};`,
      `${element}.${number} *= ${random.integer(2, 9)};`,
      `${element}.${number} = ${pickLimit(random)};`,
      `${element}.${random.pick(flags)} = ${random.chance(0.5)};`,
      `changes.push("${number}");`,
    ])];
  }
  const [code, words] = condition(random, subject, element);
  const inner = indent(block(random, subject, depth - 1));
  const comment = random.chance(0.3) ? [`// The ${element} ${words}.`] : [];
  return random.oneOf<string[]>([
    () => [...comment, `if (${code}) {`, ...inner, "}"],
    () => [
      `if (${code}) {`,
      ...inner,
      "} else {",
      ...indent(block(random, subject, depth - 1)),
      "}",
    ],
    () => [
      `for (let step = 0; step < ${random.integer(2, 12)}; step++) {`,
      ...inner,
      "}",
    ],
    () => [
      `while (${element}.${number} > ${pickLimit(random)}) {`,
      `  ${element}.${number} -= ${random.integer(1, 9)};`,
      ...inner,
      "}",
    ],
    () => [...block(random, subject, depth - 1), ...block(random, subject, depth - 1)],
  ]);
}

function update(random: RandomStream, subject: Theme): Written {
  const { type, element } = subject;
  const verb = random.pick(["update", "adjust", "freshen", "correct", "reset", "repair"]);
  return {
    description: `${capitalise(verb)}s one ${element} in place.`,
    signature: `${verb}${type}(${element}: ${type}): string[]`,
    body: [
      "const changes: string[] = [];",
      ...block(random, subject, random.integer(1, 3)),
      "return changes;",
    ],
  };
}

function sorted(random: RandomStream, subject: Theme): Written {
  const { type, list } = subject;
  const number = random.pick(subject.numbers);
  const rising = random.chance(0.5);
  const count = random.integer(2, 20);
  return {
    description: `The ${count} ${list} with the ${rising ? "smallest" : "largest"} ${number}.`,
    signature: `${rising ? "first" : "top"}${capitalise(list)}(${list}: ${type}[]): ${type}[]`,
    body: [
      `const copy = [...${list}];`,
      rising
        ? `copy.sort((left, right) => left.${number} - right.${number});`
        : `copy.sort((left, right) => right.${number} - left.${number});`,
      `return copy.slice(0, ${count});`,
    ],
  };
}

function arithmeticHelper(random: RandomStream): Written {
  const name = random.pick(["value", "amount", "index", "size", "angle", "level"]);
  const low = random.integer(0, 12);
  const high = pickLimit(random) + 13;
  return random.oneOf<Written>([
    () => ({
      description: `Keeps the ${name} between ${low} and ${high}.`,
      signature: `clamp${capitalise(name)}(${name}: number): number`,
      body: random.chance(0.5) ? [`return Math.min(${high}, Math.max(${low}, ${name}));`] : [
        `if (${name} < ${low}) return ${low};`,
        `if (${name} > ${high}) return ${high};`,
        `return ${name};`,
      ],
    }),
    () => ({
      description: `Adds ${low} to the ${name} until it reaches ${high}.`,
      signature: `raise${capitalise(name)}(${name}: number): number`,
      body: [
        `while (${name} < ${high}) {`,
        `  ${name} += ${Math.max(1, low)};`,
        "}",
        `return ${name};`,
      ],
    }),
    () => ({
      description: `Computes the sum from 1 to the ${name} by recursion.`,
      signature: `sumTo${capitalise(name)}(${name}: number): number`,
      body: [
        `if (${name} <= 0) return 0;`,
        `return ${name} + sumTo${capitalise(name)}(${name} - 1);`,
      ],
    }),
  ]);
}

function typeDeclaration(subject: Theme): string[] {
  return [
    `interface ${subject.type} {`,
    ...subject.texts.map((text) => `  ${text}: string;`),
    ...subject.numbers.map((number) => `  ${number}: number;`),
    ...subject.flags.map((flag) => `  ${flag}: boolean;`),
    "}",
  ];
}

const functionWriters = [
  countIf,
  sumOf,
  meanOf,
  bestOf,
  groupBy,
  describe,
  update,
  update,
  sorted,
  arithmeticHelper,
] as const;

function withComment(random: RandomStream, written: Written): string[] {
  const { description, tags = [], signature, body } = written;
  const comment = tags.length > 0
    ? ["/**", ` * ${description}`, ...tags.map((tag) => ` * ${tag}`), " */"]
    : random.pick([[`/** ${description} */`], [`// ${description}`]]);
  return [
    ...comment,
    `${random.chance(0.6) ? "export " : ""}function ${signature} {`,
    ...indent(body),
    "}",
  ];
}

/**
 * Writes a few TypeScript functions on one theme, now and then after the type that they work on.
 *
 * @param random The stream that makes every choice.
 * @returns Source text without blank lines.
 * @example
 * ```ts
 * import { writeFunctions } from "./functions.ts";
 * import { RandomStream } from "./random.ts";
 *
 * const text = writeFunctions(new RandomStream("an example"));
 * ```
 */
export function writeFunctions(random: RandomStream): string {
  const subject = random.pick(themes);
  // At least two, because a single short function would often be drawn twice by chance.
  const writers = random.sample(functionWriters, random.integer(2, 4));
  return [
    ...(random.chance(0.2) ? typeDeclaration(subject) : []),
    ...writers.flatMap((writer) => withComment(random, writer(random, subject))),
  ].join("\n");
}
