/**
 * Encyclopaedia-like paragraphs on invented places, animals, plants, people and works.
 *
 * @module
 */

import type { RandomStream } from "./random.ts";
import {
  capitalise,
  colours,
  enumerate,
  familyNames,
  menNames,
  months,
  numberWord,
  withArticle,
  womenNames,
} from "./words.ts";

const openings = [
  "Bel",
  "Car",
  "Dor",
  "El",
  "Fal",
  "Gor",
  "Hal",
  "Ist",
  "Kar",
  "Lun",
  "Mor",
  "Nor",
  "Or",
  "Pel",
  "Quin",
  "Ros",
  "Sal",
  "Tor",
  "Ul",
  "Var",
  "Wes",
  "Yor",
  "Zan",
  "Bran",
  "Cal",
  "Tam",
  "Ver",
  "Min",
] as const;
const middles = ["a", "e", "i", "o", "u", "ami", "eri", "ando", "ol", "ent", "", ""] as const;
const townEndings = ["ville", "burg", "ton", "stad", "mouth", "haven", "dale", "wick"] as const;
const landEndings = ["ia", "land", "or", "eth", "una", "aria", "esh"] as const;
const directions = ["north", "south", "east", "west", "north-east", "south-west"] as const;
const industries = [
  "fishing",
  "glass making",
  "mining",
  "weaving",
  "ship building",
  "tourism",
  "paper making",
  "wine growing",
  "forestry",
  "salt production",
  "cheese making",
  "printing",
] as const;
const habitats = [
  "marshes",
  "pine forests",
  "rocky shores",
  "dry grassland",
  "high valleys",
  "coral reefs",
  "river banks",
  "caves",
  "salt lakes",
  "old orchards",
] as const;
const diets = [
  "beetles",
  "seeds",
  "small fish",
  "berries",
  "moss",
  "snails",
  "roots",
  "pollen",
  "worms",
  "leaves",
] as const;
const animalClasses = [
  "bird",
  "lizard",
  "frog",
  "fish",
  "beetle",
  "bat",
  "rodent",
  "moth",
] as const;
const fields = [
  "astronomy",
  "botany",
  "geometry",
  "medicine",
  "painting",
  "music",
  "law",
  "navigation",
  "chemistry",
  "architecture",
  "poetry",
  "geology",
] as const;
const buildings = [
  "cathedral",
  "castle",
  "library",
  "bridge",
  "lighthouse",
  "theatre",
  "mill",
] as const;
const stones = ["limestone", "granite", "sandstone", "marble", "basalt", "red brick"] as const;

function root(random: RandomStream): string {
  return random.pickSkewed(openings) + random.pick(middles);
}

function townName(random: RandomStream): string {
  return root(random) + random.pick(townEndings);
}

function landName(random: RandomStream): string {
  return root(random) + random.pick(landEndings);
}

/** Writes large numbers with a comma, as encyclopaedias do. */
function figure(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

function town(random: RandomStream): string[] {
  const name = townName(random);
  const land = landName(random);
  const founded = random.integer(600, 1800);
  const inhabitants = random.integer(8, 900) * 100;
  const trade = random.sample(industries, 2);
  const river = `${root(random)}a`;
  const building = random.pick(buildings);
  const built = founded + random.integer(20, 200);
  return [
    `${name} is a ${random.pick(["town", "city", "port"])} in the ${
      random.pick(directions)
    } of ${land} with about ${figure(inhabitants)} inhabitants.`,
    random.pick([
      `It lies on the river ${river}, ${random.integer(5, 300)} kilometres from the coast.`,
      `The river ${river} divides ${name} into ${numberWord(random.integer(2, 6))} districts.`,
    ]),
    random.pick([
      `${name} was founded in ${founded} by settlers from ${townName(random)}.`,
      `The town was first mentioned in ${founded}.`,
    ]),
    `Its ${building}, built of ${random.pick(stones)} in ${built}, is ${
      random.integer(15, 120)
    } metres ${building === "bridge" ? "long" : "high"}.`,
    random.pick([
      `The economy depends on ${trade[0]} and ${trade[1]}.`,
      `Until ${random.integer(1850, 1990)} most people worked in ${trade[0]}; today ${
        trade[1]
      } is more important.`,
    ]),
    `A fire in ${built + random.integer(10, 100)} destroyed ${
      random.pick(["half of the town", "the harbour", `the ${building}`, "the old market"])
    }, but it was rebuilt within ${numberWord(random.integer(2, 20))} years.`,
    `Every ${random.pick(months)} the people of ${name} celebrate the ${
      random.pick(["lantern", "harvest", "river", "bread", "winter"])
    } festival.`,
  ];
}

function animal(random: RandomStream): string[] {
  const kind = random.pick(animalClasses);
  const colour = random.pickSkewed(colours);
  const adjective = random.pick([
    "crested",
    "spotted",
    "striped",
    "common",
    "lesser",
    "great",
    "dwarf",
  ]);
  const name = `${adjective} ${landName(random)} ${kind}`;
  const land = landName(random);
  const length = random.integer(2, 90);
  const diet = random.sample(diets, random.integer(1, 3));
  const eggs = random.integer(1, 12);
  return [
    `The ${name} is ${withArticle(kind)} that lives in the ${random.pick(habitats)} of ${land}.`,
    `Adults reach a length of ${length} centimetres and weigh up to ${
      length * random.integer(2, 9)
    } grams.`,
    random.pick([
      `The back is ${colour}, while the belly is ${random.pickSkewed(colours)}.`,
      `Males are ${colour}; females are ${random.pickSkewed(colours)} with ${colour} spots.`,
    ]),
    `It feeds on ${enumerate(diet)}.`,
    random.pick([
      `In ${random.pick(months)} the female lays ${numberWord(eggs)} ${
        eggs === 1 ? "egg" : "eggs"
      }, which hatch after ${random.integer(9, 60)} days.`,
      `The ${kind} is active at ${random.pick(["night", "dawn", "dusk"])} and sleeps in ${
        random.pick(["hollow trees", "burrows", "dense grass", "cracks of rocks"])
      }.`,
    ]),
    `It was first described by ${random.pickSkewed(familyNames)} in ${random.integer(1750, 1980)}.`,
    random.chance(0.5)
      ? `About ${
        figure(random.integer(2, 80) * 100)
      } animals are left, and the species is protected in ${land}.`
      : "The species is not considered to be in danger.",
  ];
}

function person(random: RandomStream): string[] {
  const woman = random.chance(0.5);
  const family = random.pickSkewed(familyNames);
  const name = `${random.pickSkewed(woman ? womenNames : menNames)} ${family}`;
  const born = random.integer(1500, 1930);
  const age = random.integer(34, 91);
  const field = random.pick(fields);
  const teacher = random.pickSkewed(familyNames);
  const subject = woman ? "She" : "He";
  const home = townName(random);
  const moved = born + random.integer(19, 33);
  const work = `On ${
    random.pick([
      "the Motion of",
      "the Nature of",
      "the Colours of",
      "the Laws of",
      "the History of",
    ])
  } ${random.pick(["Stars", "Rivers", "Plants", "Light", "Stones", "Winds", "Numbers", "Towns"])}`;
  return [
    `${name} (${born}-${born + age}) was ${
      random.pick(["a scholar", "a teacher", "an explorer", "a master", "a student"])
    } of ${field} from ${home}.`,
    `Born as the ${random.pick(["first", "second", "third", "fourth", "only"])} child of ${
      random.pick(["a baker", "a sailor", "a judge", "a farmer", "a merchant", "a smith"])
    }, ${subject.toLowerCase()} studied under ${teacher} and moved to ${
      townName(random)
    } in ${moved}.`,
    `${capitalise(woman ? "her" : "his")} best-known work, "${work}", appeared in ${
      moved + random.integer(1, 12)
    } and was translated into ${numberWord(random.integer(2, 12))} languages.`,
    random.pick([
      `${family} showed that earlier tables of ${field} were wrong by ${
        random.integer(2, 40)
      } per cent.`,
      `${family} quarrelled with ${teacher} about ${field} for ${
        numberWord(random.integer(2, 12))
      } years.`,
      `${subject} founded the school of ${field} in ${home}.`,
    ]),
    `${subject} died at the age of ${age} in ${born + age}.`,
    random.chance(0.5) ? `A street in ${home} is named after ${family}.` : "",
  ];
}

function mountain(random: RandomStream): string[] {
  const name = `Mount ${root(random)}${random.pick(["us", "ak", "or", "im"])}`;
  const land = landName(random);
  const height = random.integer(900, 6900);
  const climbed = random.integer(1780, 1960);
  return [
    `${name} is the ${
      random.pick(["highest", "second highest", "third highest", "best known"])
    } mountain of ${land}.`,
    `Its summit stands ${figure(height)} metres above the sea.`,
    `The mountain consists of ${random.pick(stones.slice(0, 5))} that is about ${
      random.integer(2, 400)
    } million years old.`,
    `It was first climbed on ${random.integer(1, 28)} ${random.pick(months)} ${climbed} by ${
      random.pickSkewed(familyNames)
    } and ${random.pickSkewed(familyNames)}, ${
      numberWord(random.integer(2, 12))
    } years after a failed attempt.`,
    random.pick([
      `Snow covers ${name} for ${numberWord(random.integer(3, 11))} months of the year.`,
      `The river ${root(random)}a rises on its ${random.pick(directions)} side.`,
      `A hut at ${figure(height - random.integer(3, 8) * 100)} metres offers ${
        random.integer(8, 90)
      } beds.`,
    ]),
    `The town of ${townName(random)} lies at its foot.`,
  ];
}

function plant(random: RandomStream): string[] {
  const land = landName(random);
  const name = `${root(random)} ${
    random.pick(["tree", "grass", "lily", "thistle", "vine", "fern", "rose"])
  }`;
  const colour = random.pickSkewed(colours);
  return [
    `The ${name} is a plant of the ${random.pick(habitats)} in ${land}.`,
    `It grows ${random.integer(5, 400)} centimetres tall and lives for ${
      numberWord(random.integer(1, 30))
    } years.`,
    `The ${colour} flowers open in ${random.pick(months)} and smell of ${
      random.pick(["honey", "pepper", "lemon", "wet earth", "vanilla"])
    }.`,
    random.pick([
      `Its leaves are ${random.pick(["narrow", "round", "hairy", "thick"])} and ${
        random.pickSkewed(colours)
      } below.`,
      `Each fruit contains ${numberWord(random.integer(2, 30))} seeds, which ${
        random.pick(["birds", "ants", "the wind", "the rain"])
      } spread.`,
    ]),
    random.pick([
      `Healers in ${land} have used the roots against ${
        random.pick(["fever", "cough", "burns"])
      } since ${random.integer(900, 1800)}.`,
      `The ${colour} dye made from its flowers was traded as far as ${townName(random)}.`,
    ]),
  ];
}

function war(random: RandomStream): string[] {
  const [first, second] = [landName(random), landName(random)];
  const began = random.integer(900, 1890);
  const years = random.integer(2, 12);
  const field = townName(random);
  return [
    `The war of ${field} was fought between ${first} and ${second} from ${began} to ${
      began + years
    }.`,
    `It began when ${
      random.pick([
        "a toll on salt",
        "a royal marriage",
        "the control of a river",
        "a stolen crown",
      ])
    } divided the two countries.`,
    `In ${random.pick(months)} ${began + 1} an army of ${
      figure(random.integer(2, 60) * 500)
    } soldiers from ${first} crossed the border.`,
    random.pick([
      `The siege of ${field} lasted ${random.integer(20, 400)} days.`,
      `At ${field} general ${random.pickSkewed(familyNames)} lost ${
        figure(random.integer(2, 60) * 100)
      } men in one day.`,
    ]),
    `After ${numberWord(years)} years both sides signed a treaty in ${townName(random)}, and ${
      random.pick([first, second])
    } paid ${figure(random.integer(2, 90) * 1000)} gold coins.`,
  ];
}

/**
 * Writes one descriptive paragraph.
 *
 * @param random The stream that makes every choice.
 * @returns Four or more sentences without blank lines.
 * @example
 * ```ts
 * import { writeArticle } from "./articles.ts";
 * import { RandomStream } from "./random.ts";
 *
 * const text = writeArticle(new RandomStream("an example"));
 * ```
 */
export function writeArticle(random: RandomStream): string {
  const sentences = random.pick([town, town, animal, person, person, mountain, plant, war])(random);
  // Leaving sentences out keeps the order of facts from being a fixed sequence.
  return sentences
    .filter((sentence, index) => sentence !== "" && (index === 0 || random.chance(0.85)))
    .join(" ");
}
