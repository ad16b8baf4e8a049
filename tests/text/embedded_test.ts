import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  embeddedCalibrationKinds,
  embeddedKinds,
  type EmbeddedPart,
  generateEmbeddedText,
} from "../../core/text/embedded/mod.ts";

const parts: readonly EmbeddedPart[] = ["train", "calibration", "held-out"];

/** The whole documents of a text; the last one is cut by the length asked for. */
function documents(text: string): string[] {
  return text.split("\n\n").slice(0, -1);
}

Deno.test("embeddedCalibrationKinds leaves two of the six kinds uncovered", () => {
  assertEquals(embeddedKinds.length, 6);
  assertEquals(new Set(embeddedKinds).size, 6);
  assertEquals(embeddedCalibrationKinds.length, 4);
  assert(embeddedCalibrationKinds.every((kind) => embeddedKinds.includes(kind)));
});

for (const kind of embeddedKinds) {
  Deno.test(`generateEmbeddedText() gives the same text for the same seed: ${kind}`, () => {
    for (const part of parts) {
      const text = generateEmbeddedText(kind, part, 5_000, 7);
      assertEquals(text, generateEmbeddedText(kind, part, 5_000, 7));
      assertNotEquals(text, generateEmbeddedText(kind, part, 5_000, 8));
    }
  });

  Deno.test(`generateEmbeddedText() shares no documents between parts and seeds: ${kind}`, () => {
    const seen = new Map<string, string>();
    let total = 0;
    let shared = 0;
    for (const part of parts) {
      for (const seed of [0, 1]) {
        const source = `${part}/${seed}`;
        for (const document of documents(generateEmbeddedText(kind, part, 100_000, seed))) {
          total++;
          if ((seen.get(document) ?? source) !== source) shared++;
          seen.set(document, source);
        }
      }
    }
    assert(total > 500, `only ${total} documents`);
    // Short documents such as a one-step word problem may be drawn twice by chance.
    assert(shared / total < 0.01, `${shared} of ${total} documents are shared`);
  });

  Deno.test(`generateEmbeddedText() gives exactly the length asked for: ${kind}`, () => {
    for (const length of [0, 1, 2, 999, 12_345]) {
      assertEquals(generateEmbeddedText(kind, "calibration", length).length, length);
    }
  });

  Deno.test(`generateEmbeddedText() begins longer text with the shorter text: ${kind}`, () => {
    const long = generateEmbeddedText(kind, "held-out", 20_000);
    assert(long.startsWith(generateEmbeddedText(kind, "held-out", 4_000)));
  });

  Deno.test(`generateEmbeddedText() writes printable ASCII without gaps: ${kind}`, () => {
    const text = generateEmbeddedText(kind, "calibration", 100_000);
    assert(/^[\n -~]*$/.test(text));
    assert(!/NaN|\[object|\n\n\n/.test(text));
    assert(kind === "functions" || !text.includes("undefined"));
    if (kind !== "records" && kind !== "functions") assert(!/ {2}| \n/.test(text));
  });
}

Deno.test("generateEmbeddedText() throws a RangeError that names the kinds for an unknown kind", () => {
  for (const kind of ["poems", "", "constructor", "toString"]) {
    const error = assertThrows(() => generateEmbeddedText(kind, "train", 10), RangeError);
    assert(error.message.includes(`"${kind}"`));
    for (const known of embeddedKinds) assert(error.message.includes(known));
  }
});

Deno.test("generateEmbeddedText() throws a RangeError for a length that is no whole number from 0", () => {
  for (const length of [-1, 1.5, NaN, Infinity]) {
    assertThrows(() => generateEmbeddedText("stories", "train", length), RangeError);
  }
});

Deno.test("generateEmbeddedText() writes records that parse, with correct sums", () => {
  let orders = 0;
  for (const document of documents(generateEmbeddedText("records", "calibration", 200_000))) {
    const record = JSON.parse(document);
    assertEquals(typeof record.type, "string");
    if (record.type === "order") {
      orders++;
      let total = 0;
      for (const item of record.items) {
        assertEquals(item.sum, item.quantity * item.price);
        total += item.sum;
      }
      assertEquals(record.total, total);
    }
  }
  assert(orders > 20);
});

Deno.test("generateEmbeddedText() writes arithmetic whose steps and answers are right", () => {
  const problems = documents(generateEmbeddedText("arithmetic", "held-out", 200_000));
  assert(problems.length > 500);
  for (const problem of problems) {
    const [, working, answer] = problem.match(
      /^Problem: .+\nWorking: (.+)\.\nAnswer: (\d+) [a-z]+\.$/,
    )!;
    let last = NaN;
    for (const step of working.split("; ")) {
      const [left, operator, right, , value] = step.split(" ");
      const expected = {
        "+": Number(left) + Number(right),
        "-": Number(left) - Number(right),
        "*": Number(left) * Number(right),
        "/": Number(left) / Number(right),
      }[operator];
      last = Number(value);
      assertEquals(last, expected, problem);
      assert(Number.isSafeInteger(last) && last >= 0, problem);
    }
    assertEquals(Number(answer), last, problem);
  }
});

Deno.test("generateEmbeddedText() writes bookings that end with the name and code agreed", () => {
  for (const document of documents(generateEmbeddedText("bookings", "calibration", 100_000))) {
    const lines = document.split("\n");
    assert(lines.every((line) => /^(User|Agent): \S/.test(line)), document);
    const confirmation = lines.find((line) => / (code|reference) is [A-Z]{2}\d{3}\.$/.test(line));
    assert(confirmation !== undefined, document);
    const [, name] = confirmation.match(/, ([A-Z]\w+ [A-Z]\w+): an? /)!;
    assert(lines.some((line) => line.startsWith("User: ") && line.includes(name)), document);
  }
});

Deno.test("generateEmbeddedText() writes functions with balanced brackets", () => {
  for (const document of documents(generateEmbeddedText("functions", "calibration", 100_000))) {
    for (const [open, close] of ["{}", "()", "[]"]) {
      assertEquals(document.split(open).length, document.split(close).length, document);
    }
  }
});

Deno.test("generateEmbeddedText() writes kinds whose words differ clearly", () => {
  const vocabularies = embeddedKinds.map((kind) =>
    new Set(generateEmbeddedText(kind, "calibration", 50_000).match(/[A-Za-z]+/g))
  );
  vocabularies.forEach((first, left) => {
    vocabularies.forEach((second, right) => {
      if (left >= right) return;
      const common = first.intersection(second).size;
      const all = first.union(second).size;
      assert(common / all < 0.5, `${embeddedKinds[left]} and ${embeddedKinds[right]} are alike`);
    });
  });
});
