/**
 * Dialogues in which a user books something and an agent repeats what was agreed.
 *
 * @module
 */

import type { RandomStream } from "./random.ts";
import {
  capitalise,
  days,
  familyNames,
  menNames,
  months,
  numberWord,
  towns,
  withArticle,
  womenNames,
} from "./words.ts";

/** One fact that a booking needs. */
interface Slot {
  readonly name: string;
  readonly question: readonly string[];
  readonly value: (random: RandomStream) => string;
  /** How the value is said, with `#` where it stands. */
  readonly phrase: string;
}

/** What can be booked. */
interface Domain {
  readonly thing: string;
  readonly providers: readonly string[];
  readonly slots: readonly Slot[];
  readonly extras: readonly (readonly [string, string])[];
}

function slot(
  name: string,
  phrase: string,
  value: (random: RandomStream) => string,
  ...question: string[]
): Slot {
  return { name, phrase, value, question };
}

const day = slot(
  "day",
  "on #",
  (random) =>
    random.chance(0.6) ? random.pick(days) : `${random.pick(months)} ${random.integer(1, 28)}`,
  "Which day would suit you?",
  "On what day, please?",
  "When would you like to come?",
);
const hour = slot(
  "time",
  "at #",
  (random) => `${random.integer(7, 21)}:${random.pick(["00", "15", "30", "45"])}`,
  "At what time?",
  "What time would you like?",
  "And the time, please?",
);
const place = slot(
  "place",
  "in #",
  (random) => random.pickSkewed(towns),
  "In which town?",
  "Where should it be?",
);

/** Slots that count something differ only in the noun. */
function count(name: string, one: string, several: string, highest: number): Slot {
  return slot(
    name,
    "for #",
    (random) => {
      const number = random.integer(1, highest);
      return `${numberWord(number)} ${number === 1 ? one : several}`;
    },
    `For how many ${several}?`,
    `How many ${several} will it be?`,
  );
}

const domains: readonly Domain[] = [
  {
    thing: "table",
    providers: [
      "the Golden Spoon",
      "Bella Vista",
      "the Old Harbour",
      "Green Garden",
      "Tandoor House",
    ],
    slots: [day, hour, count("guests", "person", "people", 10)],
    extras: [
      ["Do you have vegetarian dishes?", "Yes, half of our menu is vegetarian."],
      ["Is there a terrace?", "Yes, the terrace is open in summer."],
      ["Can we bring a dog?", "Dogs are welcome outside."],
    ],
  },
  {
    thing: "room",
    providers: ["the Grand Hotel", "Hotel Lakeside", "the Swan Inn", "Pension Rosa", "City Lodge"],
    slots: [day, place, count("nights", "night", "nights", 9)],
    extras: [
      ["Is breakfast included?", "Breakfast is included and starts at seven."],
      ["Is there parking?", "Parking behind the house is free."],
      ["Do the rooms have a bath?", "Every room has a shower, and some have a bath."],
    ],
  },
  {
    thing: "taxi",
    providers: ["Swift Cabs", "Blue Taxi", "Night Owl Cars"],
    slots: [
      day,
      hour,
      slot("start", "from #", (random) => random.pickSkewed(towns), "Where do we pick you up?"),
      count("passengers", "passenger", "passengers", 6),
    ],
    extras: [
      ["Can I pay by card?", "Yes, every car takes cards."],
      ["Is there space for a bicycle?", "Only in our large cars."],
    ],
  },
  {
    thing: "appointment",
    providers: ["Doctor Marlow", "the dental practice", "the eye clinic", "Doctor Okafor"],
    slots: [
      day,
      hour,
      slot(
        "reason",
        "because of #",
        (random) =>
          random.pick([
            "a sore throat",
            "a toothache",
            "a check-up",
            "a broken tooth",
            "new glasses",
            "back pain",
            "a vaccination",
          ]),
        "What is the reason for your visit?",
        "May I ask what it is about?",
      ),
    ],
    extras: [
      ["Should I bring anything?", "Please bring your insurance card."],
      ["Will it take long?", "It usually takes half an hour."],
    ],
  },
  {
    thing: "bicycle",
    providers: ["Pedal Point", "City Wheels", "the cycle shop"],
    slots: [
      day,
      slot(
        "model",
        "of the # kind",
        (random) => random.pick(["mountain", "racing", "electric", "folding", "cargo"]),
        "Which kind of bicycle?",
        "What model would you like?",
      ),
      count("days", "day", "days", 7),
    ],
    extras: [
      ["Do I get a helmet?", "A helmet and a lock are included."],
      ["What if it breaks?", "Call us and we bring another one."],
    ],
  },
  {
    thing: "ticket",
    providers: ["the Royal Theatre", "Cinema Lux", "the concert hall", "the city museum"],
    slots: [
      day,
      hour,
      slot(
        "seat",
        "with a seat in the #",
        (random) => random.pick(["front row", "balcony", "middle", "last row", "box"]),
        "Where would you like to sit?",
      ),
      count("visitors", "adult", "adults", 8),
    ],
    extras: [
      ["Is there a discount for students?", "Students pay half."],
      ["When do the doors open?", "The doors open one hour before."],
    ],
  },
];

function phrase(part: Slot, value: string): string {
  return part.phrase.replace("#", value);
}

/** The facts of a booking as one phrase, always in the order of the domain. */
function summary(domain: Domain, values: ReadonlyMap<string, string>): string {
  return domain.slots.map((part) => phrase(part, values.get(part.name)!)).join(" ");
}

/**
 * Writes one dialogue.
 *
 * @param random The stream that makes every choice.
 * @returns Lines that start with `User:` or `Agent:`, without blank lines.
 * @example
 * ```ts
 * import { writeBooking } from "./bookings.ts";
 * import { RandomStream } from "./random.ts";
 *
 * const text = writeBooking(new RandomStream("an example"));
 * ```
 */
export function writeBooking(random: RandomStream): string {
  const domain = random.pick(domains);
  const provider = random.pick(domain.providers);
  const values = new Map(domain.slots.map((part) => [part.name, part.value(random)]));
  const surname = random.pickSkewed(familyNames);
  const name = `${random.pickSkewed(random.chance(0.5) ? womenNames : menNames)} ${surname}`;
  const lines: string[] = [];
  const user = (text: string): void => void lines.push(`User: ${text}`);
  const agent = (text: string): void => void lines.push(`Agent: ${text}`);

  if (random.chance(0.5)) {
    agent(random.pick([
      `Welcome to ${provider}. How can I help?`,
      `Good ${random.pick(["morning", "afternoon", "evening"])}, this is ${provider}.`,
      `${capitalise(provider)}, what can I do for you?`,
    ]));
  }
  const given = domain.slots.filter(() => random.chance(0.4));
  const facts = given.map((part) => ` ${phrase(part, values.get(part.name)!)}`).join("");
  user(random.pick([
    `Hello, I would like to book ${withArticle(domain.thing)} at ${provider}${facts}.`,
    `I need ${withArticle(domain.thing)}${facts}, please.`,
    `Can I reserve ${withArticle(domain.thing)}${facts}?`,
    `Hi! ${capitalise(withArticle(domain.thing))}${facts} at ${provider}, if possible.`,
  ]));
  for (const part of domain.slots) {
    if (given.includes(part)) continue;
    agent(
      `${random.pick(["", "", "Of course. ", "Sure. ", "Gladly. "])}${random.pick(part.question)}`,
    );
    user(
      random.pick([
        `${capitalise(phrase(part, values.get(part.name)!))}, please.`,
        `${capitalise(values.get(part.name)!)}.`,
        `It should be ${phrase(part, values.get(part.name)!)}.`,
      ]),
    );
  }
  if (random.chance(0.3)) {
    const [question, answer] = random.pick(domain.extras);
    user(question);
    agent(answer);
  }
  if (random.chance(0.35)) {
    const changed = random.pick(domain.slots);
    const refused = random.chance(0.5);
    const other = changed.value(random);
    if (refused) {
      agent(
        `I am sorry, ${phrase(changed, values.get(changed.name)!)} we have nothing left. Would ${
          phrase(changed, other)
        } work?`,
      );
      user(
        random.pick([
          "Yes, that works.",
          "That is fine too.",
          `All right, ${phrase(changed, other)}.`,
        ]),
      );
    } else {
      user(
        random.pick([
          `Sorry, I meant ${phrase(changed, other)}, not ${
            phrase(changed, values.get(changed.name)!)
          }.`,
          `Could we make it ${phrase(changed, other)} instead?`,
        ]),
      );
      agent(random.pick(["No problem.", "I have changed it.", "Certainly."]));
    }
    values.set(changed.name, other);
  }
  agent(random.pick(["What name is it under?", "May I have your name?", "And your name, please?"]));
  user(
    random.pick([`${name}.`, `My name is ${name}.`, `It is ${name}, with ${surname.charAt(0)}.`]),
  );
  const code = `${surname.slice(0, 2).toUpperCase()}${random.integer(100, 999)}`;
  agent(
    `${random.pick(["So", "To confirm", "Let me repeat", "Thank you"])}, ${name}: ${
      withArticle(domain.thing)
    } at ${provider} ${summary(domain, values)}. ${
      random.pick([`Your code is ${code}.`, `The reference is ${code}.`])
    }`,
  );
  user(
    random.pick([
      "Thank you!",
      "Perfect, thanks.",
      `Great. ${code}, I will remember it.`,
      "Goodbye.",
    ]),
  );
  if (random.chance(0.5)) {
    agent(random.pick([
      "You are welcome. Goodbye!",
      `See you ${phrase(domain.slots[0], values.get(domain.slots[0].name)!)}.`,
      `Goodbye, ${name}.`,
    ]));
  }
  return lines.join("\n");
}
