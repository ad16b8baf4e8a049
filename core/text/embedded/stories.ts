/**
 * Short children's stories whose plots come from a small recursive grammar.
 *
 * @module
 */

import type { RandomStream } from "./random.ts";
import { capitalise, colours, inventPeople, type Person, withArticle } from "./words.ts";

const animals = (
  "fox owl hedgehog badger rabbit otter crow tortoise goat mouse " +
  "squirrel heron donkey beetle snail bear frog swan mole cricket"
).split(" ");
const traits = (
  "brave shy curious clever lazy gentle proud cheerful " +
  "stubborn patient careless quiet greedy kind restless grumpy"
).split(" ");
const places = [
  "the old mill",
  "the dark forest",
  "the river bank",
  "the market square",
  "the windy hill",
  "the lighthouse",
  "the rose garden",
  "the stone bridge",
  "the frozen pond",
  "the baker's shop",
  "the ruined tower",
  "the apple orchard",
  "the harbour",
  "the deep cave",
  "the village school",
  "the watchmaker's attic",
  "the meadow",
  "the castle kitchen",
] as const;
const treasures = (
  "lantern key drum kite bell mirror spoon cloak flute map " +
  "boat ring hat basket clock scarf umbrella ladder teapot compass"
).split(" ");
const weathers = [
  "The sun was warm",
  "Rain fell softly",
  "Snow lay on every roof",
  "A cold wind blew",
  "Fog hid the hills",
  "The stars were out",
  "Thunder rolled far away",
  "The leaves were turning gold",
] as const;
const morals = [
  "a small kindness goes a long way",
  "it is better to ask than to guess",
  "a promise is worth more than gold",
  "nobody is too small to help",
  "patience opens many doors",
  "the truth is lighter to carry than a lie",
  "friends are found where help is given",
  "good things taste best when they are shared",
] as const;

/** Somebody who acts in a story. */
interface Character extends Person {
  readonly noun: string;
  readonly trait: string;
}

/** The characters of one story, handed out one after another. */
class Cast {
  readonly #random: RandomStream;
  readonly #people: Person[];
  readonly #animals: string[];
  readonly #treasures: string[];
  readonly #places: string[];

  constructor(random: RandomStream) {
    this.#random = random;
    this.#people = inventPeople(random, 6);
    this.#animals = random.sample(animals, 6);
    this.#treasures = random.sample(treasures, 6);
    this.#places = random.sample(places, 6);
  }

  character(): Character {
    const person = this.#people.pop()!;
    const child = this.#random.chance(0.35);
    const noun = child ? (person.subject === "she" ? "girl" : "boy") : this.#animals.pop()!;
    return { ...person, noun, trait: this.#random.pick(traits) };
  }

  treasure(): string {
    return `${this.#random.pickSkewed(colours)} ${this.#treasures.pop()!}`;
  }

  place(): string {
    return this.#places.pop()!;
  }
}

/** What every part of a plot needs. */
interface Telling {
  readonly random: RandomStream;
  readonly cast: Cast;
  readonly lines: string[];
}

function introduce(telling: Telling, hero: Character, home: string): void {
  const { random, lines } = telling;
  const kind = withArticle(`${hero.trait} ${hero.noun}`);
  lines.push(random.pick([
    `Once upon a time there was ${kind} called ${hero.name}. ${
      capitalise(hero.subject)
    } lived near ${home}.`,
    `${hero.name} was ${kind} who lived by ${home}.`,
    `Near ${home} lived ${kind}. ${capitalise(hero.possessive)} name was ${hero.name}.`,
    `Long ago, ${kind} named ${hero.name} had ${hero.possessive} home near ${home}.`,
  ]));
  if (random.chance(0.6)) {
    lines.push(
      `${random.pick(weathers)}, and ${hero.name} ${
        random.pick([
          "could not sleep",
          `felt ${random.pick(["happy", "lonely", "hungry", "bored", "full of hope"])}`,
          "was looking out of the window",
          `was humming ${hero.possessive} favourite song`,
        ])
      }.`,
    );
  }
}

function meet(telling: Telling, hero: Character, other: Character, place: string): void {
  telling.lines.push(telling.random.pick([
    `At ${place} ${hero.subject} met ${
      withArticle(`${other.trait} ${other.noun}`)
    } called ${other.name}.`,
    `${hero.name} walked to ${place}, where ${other.name} the ${other.noun} was ${
      telling.random.pick([
        "resting",
        "singing",
        "sweeping the floor",
        "counting acorns",
        "weeping",
      ])
    }.`,
    `So ${hero.subject} went to ${place} and found ${other.name}, ${
      withArticle(`${other.trait} ${other.noun}`)
    }.`,
  ]));
}

/** Hero gets a thing, for which its keeper may first ask another favour: the nested event. */
function fetch(telling: Telling, hero: Character, treasure: string, depth: number): void {
  const { random, cast, lines } = telling;
  const keeper = cast.character();
  const place = cast.place();
  meet(telling, hero, keeper, place);
  lines.push(random.pick([
    `"Please, may I have the ${treasure}?" asked ${hero.name}.`,
    `"I am looking for ${withArticle(treasure)}," said ${hero.name}.`,
    `${hero.name} asked ${keeper.object} about the ${treasure}.`,
  ]));
  if (depth > 0 && random.chance(0.6)) {
    const price = cast.treasure();
    lines.push(random.pick([
      `"You can have it," said ${keeper.name}, "if you bring me ${withArticle(price)}."`,
      `${keeper.name} shook ${keeper.possessive} head. "First bring me ${withArticle(price)}."`,
      `"I would trade it for ${withArticle(price)}," ${keeper.name} answered.`,
    ]));
    fetch(telling, hero, price, depth - 1);
    lines.push(random.pick([
      `${hero.name} carried the ${price} back to ${place} and gave it to ${keeper.name}.`,
      `When ${keeper.name} saw the ${price}, ${keeper.subject} clapped. "A promise is a promise," said the ${keeper.noun}.`,
      `Back at ${place}, ${keeper.name} took the ${price} and smiled.`,
    ]));
  } else {
    lines.push(random.pick([
      `"Take it," said ${keeper.name}, "I have no use for it."`,
      `${keeper.name} laughed and said yes at once.`,
      `"Only if you can ${
        random.pick(["make me laugh", "guess my age", "sing me a song", "dance with me"])
      }," said ${keeper.name}, and ${hero.name} did.`,
    ]));
  }
  lines.push(random.pick([
    `Now ${hero.name} had the ${treasure}.`,
    `So ${hero.subject} got the ${treasure} at last.`,
    `And ${keeper.name} the ${keeper.noun} handed over the ${treasure}.`,
  ]));
}

function questPlot(telling: Telling, hero: Character, home: string): void {
  const { random, cast, lines } = telling;
  const treasure = cast.treasure();
  lines.push(random.pick([
    `More than anything ${hero.subject} wanted ${withArticle(treasure)}.`,
    `One morning ${hero.possessive} ${treasure} was gone.`,
    `${hero.name} needed ${withArticle(treasure)} for the summer feast.`,
    `"Without ${withArticle(treasure)}," ${hero.name} sighed, "the winter will be long."`,
  ]));
  fetch(telling, hero, treasure, 2);
  lines.push(random.pick([
    `That evening ${hero.name} brought the ${treasure} home to ${home}.`,
    `${hero.name} ran all the way back to ${home} with the ${treasure}.`,
    `From that day on the ${treasure} stood by the door of ${hero.possessive} house.`,
  ]));
}

function rescuePlot(telling: Telling, hero: Character): void {
  const { random, cast, lines } = telling;
  const friend = cast.character();
  const place = cast.place();
  const tool = cast.treasure();
  const trouble = random.pick([
    "had fallen into a hole",
    "was stuck in the mud",
    "had lost the way home",
    "was caught in a net",
    "was sitting on a high branch and could not get down",
  ]);
  lines.push(
    random.pick([
      `One day a cry came from ${place}. ${friend.name} the ${friend.noun} ${trouble}.`,
      `News came that ${friend.name}, the ${friend.trait} ${friend.noun}, ${trouble} near ${place}.`,
    ]),
  );
  lines.push(random.pick([
    `"Do not worry, ${friend.name}!" called ${hero.name}.`,
    `"Hold on, ${friend.name}," said ${hero.name}, "I have an idea."`,
  ]));
  if (random.chance(0.4)) {
    lines.push(`But for that ${hero.subject} needed ${withArticle(tool)}.`);
    fetch(telling, hero, tool, 1);
    lines.push(`Then ${hero.subject} hurried to ${place}.`);
  } else {
    lines.push(
      `${capitalise(hero.subject)} took ${hero.possessive} ${tool} and hurried to ${place}.`,
    );
  }
  lines.push(random.pick([
    `With the ${tool} ${hero.subject} helped ${friend.name} out, and nobody was hurt.`,
    `It took all night, but the ${tool} did its work and ${friend.name} was safe.`,
    `"You saved me," said ${friend.name}, and hugged ${hero.object}.`,
  ]));
}

function quarrelPlot(telling: Telling, hero: Character): void {
  const { random, cast, lines } = telling;
  const other = cast.character();
  const treasure = cast.treasure();
  const place = cast.place();
  lines.push(random.pick([
    `${hero.name} and ${other.name} the ${other.noun} found ${withArticle(treasure)} at ${place}.`,
    `At ${place} there was ${
      withArticle(treasure)
    }, and both ${hero.name} and the ${other.noun} ${other.name} wanted it.`,
  ]));
  lines.push(random.pick([
    `"I saw it first," said ${hero.name}. "No, I did!" said ${other.name}.`,
    `They pulled and they shouted until the ${treasure} nearly broke.`,
  ]));
  const judge = cast.character();
  lines.push(
    `Then ${
      withArticle(`${judge.trait} ${judge.noun}`)
    } came along. "I am ${judge.name}," ${judge.subject} said. ${
      random.pick([
        `"Why not use the ${treasure} on different days?"`,
        `"Give the ${treasure} to the one who needs it more."`,
        `"If you cannot share it, I will keep the ${treasure} myself."`,
      ])
    }`,
  );
  lines.push(random.pick([
    `${hero.name} gave the ${treasure} to ${other.name}, and ${other.name} gave it back the next day.`,
    `So ${hero.name} and ${other.name} shared the ${treasure} and became friends.`,
    `${other.name} said sorry first, and then ${hero.name} did.`,
  ]));
}

function talePlot(telling: Telling, hero: Character): void {
  const { random, cast, lines } = telling;
  const elder = cast.character();
  const child = cast.character();
  lines.push(
    `In the evening ${hero.name} begged ${elder.name} the ${elder.noun} for a tale, and this is what ${elder.subject} told:`,
  );
  lines.push(
    `"When I was young I knew ${
      withArticle(`${child.trait} ${child.noun}`)
    } called ${child.name}, who wanted to ${
      random.pick([
        "touch the moon",
        "count the stars",
        "cross the sea",
        "learn to fly",
        "catch the wind",
      ])
    }. ${capitalise(child.subject)} climbed to ${cast.place()} and waited for ${
      random.integer(2, 9)
    } nights. ${
      random.pick([
        `In the end ${child.name} found that home was nicer.`,
        `And one night, ${child.name} did it.`,
        `Everybody laughed at ${child.name}, but ${child.subject} did not mind.`,
      ])
    }"`,
  );
  lines.push(random.pick([
    `"Is that true?" asked ${hero.name}. "As true as I am ${
      withArticle(elder.noun)
    }," said ${elder.name}.`,
    `${hero.name} dreamed of ${child.name} all night.`,
    `When the tale was over, ${hero.name} was already asleep.`,
  ]));
}

/**
 * Writes one short story.
 *
 * @param random The stream that makes every choice.
 * @returns One paragraph of prose without blank lines.
 * @example
 * ```ts
 * import { writeStory } from "./stories.ts";
 * import { RandomStream } from "./random.ts";
 *
 * const text = writeStory(new RandomStream("an example"));
 * ```
 */
export function writeStory(random: RandomStream): string {
  const telling: Telling = { random, cast: new Cast(random), lines: [] };
  const hero = telling.cast.character();
  const home = telling.cast.place();
  introduce(telling, hero, home);
  random.oneOf([
    () => questPlot(telling, hero, home),
    () => questPlot(telling, hero, home),
    () => rescuePlot(telling, hero),
    () => quarrelPlot(telling, hero),
    () => talePlot(telling, hero),
  ]);
  if (random.chance(0.7)) {
    telling.lines.push(random.pick([
      `And so ${hero.name} learned that ${random.pick(morals)}.`,
      `${hero.name} never forgot that ${random.pick(morals)}.`,
      `"You see," said ${hero.name}, "${random.pick(morals)}."`,
    ]));
  }
  return telling.lines.join(" ");
}
