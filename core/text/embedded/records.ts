/**
 * Records in JSON, of several schemas, nested, compact or indented.
 *
 * @module
 */

import type { RandomStream } from "./random.ts";
import { colours, familyNames, foods, menNames, things, towns, womenNames } from "./words.ts";

/** What a record may hold. */
type Value = string | number | boolean | null | readonly Value[] | {
  readonly [key: string]: Value;
};

const streets = ["Mill", "Church", "Station", "Garden", "River", "High", "Park", "Bridge"] as const;
const materials = ["wood", "steel", "glass", "cotton", "leather", "paper", "clay", "wool"] as const;
const subjects = [
  "mathematics",
  "history",
  "biology",
  "music",
  "geography",
  "chemistry",
  "drawing",
  "physics",
  "grammar",
] as const;
const services = ["mail", "search", "billing", "storage", "login", "report", "cache"] as const;
const genres = ["novel", "poetry", "travel", "cookery", "science", "crime", "biography"] as const;
const titleAdjectives = [
  "Silent",
  "Lost",
  "Golden",
  "Last",
  "Hidden",
  "Broken",
  "Distant",
] as const;
const titleNouns = ["Garden", "River", "Winter", "Letter", "Island", "Mirror", "Voyage"] as const;

function fullName(random: RandomStream): string {
  const given = random.pickSkewed(random.chance(0.5) ? womenNames : menNames);
  return `${given} ${random.pickSkewed(familyNames)}`;
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}

function date(random: RandomStream, from = 1990, to = 2029): string {
  return `${random.integer(from, to)}-${padded(random.integer(1, 12), 2)}-${
    padded(random.integer(1, 28), 2)
  }`;
}

function time(random: RandomStream): string {
  return `${padded(random.integer(0, 23), 2)}:${padded(random.integer(0, 59), 2)}`;
}

function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}

function address(random: RandomStream): Value {
  return {
    street: `${random.pick(streets)} Street`,
    number: random.integer(1, 120),
    town: random.pick(towns),
    postcode: padded(random.integer(10000, 99999), 5),
  };
}

function person(random: RandomStream, depth = 1): Value {
  const name = fullName(random);
  const record: Record<string, Value> = {
    type: "person",
    id: random.integer(1000, 9999),
    name,
    // Built from the name, so that a reader who remembers the name can predict it.
    email: `${name.toLowerCase().replace(" ", ".")}@${
      random.pick(["mail", "post", "work"])
    }.example`,
    born: date(random, 1940, 2012),
    address: address(random),
    active: random.chance(0.7),
  };
  if (depth > 0 && random.chance(0.5)) {
    record.contacts = Array.from({ length: random.integer(1, 2) }, () => person(random, depth - 1));
  }
  return record;
}

function order(random: RandomStream): Value {
  const goods = random.sample(things, random.integer(1, 4));
  const items = goods.map(([name]) => {
    const quantity = random.integer(1, 9);
    const price = random.integer(1, 40);
    return {
      product: name,
      colour: random.pickSkewed(colours),
      quantity,
      price,
      sum: quantity * price,
    };
  });
  return {
    type: "order",
    id: `A-${padded(random.integer(1, 99999), 5)}`,
    date: date(random, 2015),
    customer: fullName(random),
    items,
    total: items.reduce((total, item) => total + item.sum, 0),
    paid: random.chance(0.6),
    delivery: random.chance(0.5) ? address(random) : null,
  };
}

function station(random: RandomStream): Value {
  const mean = random.integer(-10, 30);
  const readings = Array.from({ length: random.integer(2, 6) }, () => ({
    time: time(random),
    temperature: rounded(mean + random.unit() * 4, 1),
    humidity: random.integer(30, 95),
  })).sort((left, right) => left.time < right.time ? -1 : 1);
  return {
    type: "station",
    town: random.pick(towns),
    height: random.integer(1, 90) * 10,
    readings,
    wind: {
      speed: random.integer(0, 60),
      direction: random.pick(["north", "east", "south", "west"]),
    },
  };
}

function book(random: RandomStream): Value {
  return {
    type: "book",
    title: `The ${random.pick(titleAdjectives)} ${random.pick(titleNouns)}`,
    authors: Array.from({ length: random.integer(1, 2) }, () => fullName(random)),
    year: random.integer(1850, 2024),
    pages: random.integer(60, 900),
    genre: random.pick(genres),
    copies: Array.from({ length: random.integer(0, 3) }, (_, index) => ({
      number: index + 1,
      lent: random.chance(0.4),
      due: random.chance(0.4) ? date(random, 2024) : null,
    })),
  };
}

function recipe(random: RandomStream): Value {
  const parts = random.sample(foods, random.integer(2, 4));
  return {
    type: "recipe",
    name: `${parts[0][0]} ${random.pick(["soup", "pie", "salad", "tart", "stew"])}`,
    serves: random.integer(1, 8),
    minutes: random.integer(2, 24) * 5,
    ingredients: parts.map(([single, several]) => {
      const amount = random.integer(1, 12);
      return { amount, name: amount === 1 ? single : several };
    }),
    vegetarian: random.chance(0.8),
  };
}

function pupil(random: RandomStream): Value {
  const marks = random.sample(subjects, random.integer(2, 5)).map((subject) => ({
    subject,
    mark: random.integer(1, 6),
  }));
  return {
    type: "pupil",
    name: fullName(random),
    class: `${random.integer(1, 12)}${random.pick(["a", "b", "c"])}`,
    marks,
    mean: rounded(marks.reduce((sum, { mark }) => sum + mark, 0) / marks.length),
  };
}

function logEntry(random: RandomStream): Value {
  const failed = random.chance(0.3);
  const service = random.pick(services);
  return {
    type: "event",
    time: `${date(random, 2020)}T${time(random)}:${padded(random.integer(0, 59), 2)}Z`,
    level: failed ? "error" : random.pick(["info", "debug", "warning"]),
    service,
    message: failed
      ? `${service} ${random.pick(["timed out", "refused the connection", "ran out of memory"])}`
      : `${service} ${random.pick(["started", "stopped", "answered", "was reloaded"])}`,
    status: failed ? random.pick([500, 502, 503, 504]) : random.pick([200, 201, 204]),
    milliseconds: random.integer(1, 3000),
    tags: random.sample(["slow", "retry", "internal", "public", "batch"], random.integer(0, 3)),
  };
}

function settings(random: RandomStream, depth = 2): Value {
  const keys = random.sample(
    ["timeout", "retries", "colour", "verbose", "limit", "folder", "language", "cache", "ratio"],
    random.integer(2, 5),
  );
  const record: Record<string, Value> = depth === 2
    ? { type: "settings", version: random.integer(1, 9) }
    : {};
  for (const key of keys) {
    record[key] = key === "colour"
      ? random.pickSkewed(colours)
      : key === "verbose" || key === "cache"
      ? random.chance(0.5)
      : key === "folder"
      ? `/home/${random.pick(services)}/${random.pick(["data", "logs", "tmp"])}`
      : key === "language"
      ? random.pick(["en", "de", "fr", "es", "it", "pl"])
      : key === "ratio"
      ? rounded(random.unit())
      : random.integer(1, 20) * 10;
  }
  if (depth > 0 && random.chance(0.6)) {
    record[random.pick(["server", "client", "display", "network"])] = settings(random, depth - 1);
  }
  return record;
}

function parcel(random: RandomStream): Value {
  const [from, ...stops] = random.sample(towns, random.integer(3, 5));
  return {
    type: "parcel",
    code: `${random.pick(["XR", "QT", "LM", "PZ"])}${padded(random.integer(0, 999999), 6)}`,
    from,
    to: stops[stops.length - 1],
    route: [from, ...stops],
    kilograms: rounded(random.unit() * 30, 1),
    contents: { material: random.pick(materials), fragile: random.chance(0.3) },
  };
}

/**
 * Writes one JSON record.
 *
 * @param random The stream that makes every choice.
 * @returns JSON text, on one line or indented, without blank lines.
 * @example
 * ```ts
 * import { writeRecord } from "./records.ts";
 * import { RandomStream } from "./random.ts";
 *
 * const text = writeRecord(new RandomStream("an example"));
 * ```
 */
export function writeRecord(random: RandomStream): string {
  const record = random.oneOf<Value>([
    () => person(random),
    () => order(random),
    () => station(random),
    () => book(random),
    () => recipe(random),
    () => pupil(random),
    () => logEntry(random),
    () => settings(random),
    () => parcel(random),
  ]);
  return JSON.stringify(record, null, random.chance(0.35) ? 2 : undefined);
}
