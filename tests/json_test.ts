import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseJson, repeatedKey, UnusableError } from "../core/json.ts";

Deno.test("parseJson() gives what JSON.parse() gives", () => {
  fc.assert(fc.property(fc.json({ maxDepth: 6 }), (text) => {
    assertEquals(parseJson(text), JSON.parse(text));
  }));
});

Deno.test("parseJson() goes 128 levels deep, and braces in strings are none", () => {
  const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  parseJson(nested(128));
  assertThrows(() => parseJson(nested(129)), UnusableError, "128 levels");
  assertEquals(parseJson(JSON.stringify(`\\"${nested(500)}`)), `\\"${nested(500)}`);
  for (const broken of ["", "{", '{"a":1', '"', '"\\', "nul", "[1,]"]) {
    assertThrows(() => parseJson(broken), SyntaxError);
  }
});

Deno.test("repeatedKey() finds a key that stands twice in one object, at any depth and however it is written", () => {
  assertEquals(repeatedKey('{"a": {"b": 1}, "c": [{"b": 1}, {"b": 2}], "b": "b"}'), undefined);
  assertEquals(repeatedKey('{"a": [1, {"x": 1, "y": "x", "\\u0078": 2}]}'), "x");
  assertEquals(repeatedKey('{"": 1, "": 2}'), "");
  const objects = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 });
  fc.assert(fc.property(objects, fc.nat(), (object, index) => {
    const text = JSON.stringify(object);
    assertEquals(repeatedKey(text), undefined);
    const keys = Object.keys(object);
    const key = keys[index % keys.length];
    assertEquals(repeatedKey(`${text.slice(0, -1)},${JSON.stringify(key)}:0}`), key);
  }));
});
