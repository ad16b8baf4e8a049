import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { TextError } from "../../core/errors.ts";
import { domainOf, openDomains } from "../../core/text/domains.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

Deno.test("openDomains() reads a text file and hashes its text", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "a.txt");
    await Deno.writeTextFile(path, "hello");
    const [domain] = await openDomains({ greeting: path });
    assertEquals(domain, {
      name: "greeting",
      text: "hello",
      sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    });
  }));

Deno.test("openDomains() joins the field 'text' of JSON Lines", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "a.jsonl");
    await Deno.writeTextFile(path, '{"text":"one"}\n\n{"text":"two","id":2}\n');
    assertEquals((await openDomains({ a: path }))[0].text, "one\ntwo");
  }));

Deno.test("openDomains() reads a folder in the order of its paths and passes over what is no text", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.mkdir(join(folder, "sub"));
    await Deno.mkdir(join(folder, ".git"));
    await Deno.writeTextFile(join(folder, "b.ts"), "second");
    await Deno.writeTextFile(join(folder, "a.md"), "first");
    await Deno.writeTextFile(join(folder, "sub", "c.jsonl"), '{"text":"third"}');
    await Deno.writeTextFile(join(folder, ".git", "config"), "hidden");
    await Deno.writeFile(join(folder, "image.png"), Uint8Array.of(137, 0, 1));
    assertEquals((await openDomains({ code: folder }))[0].text, "first\nsecond\nthird");
  }));

const bad: Readonly<Record<string, readonly [string, string | Uint8Array, string]>> = {
  "an empty file": ["a.txt", "", "is empty"],
  "a file of blanks": ["a.txt", " \n\t\n", "is empty"],
  "a binary file": ["a.bin", Uint8Array.of(1, 0, 2), "binary"],
  "broken UTF-8": ["a.txt", Uint8Array.of(0x61, 0xff, 0xfe), "UTF-8"],
  "a line that is no JSON": ["a.jsonl", '{"text":"x"}\n{oops', "line 2 of 'a.jsonl' is not JSON"],
  "a record without text": ["a.jsonl", '{"body":"x"}', "line 1 of 'a.jsonl' has no string field"],
  "a record that is null": ["a.jsonl", "null", "no string field 'text'"],
  "a text that is a number": ["a.jsonl", '{"text":5}', "no string field 'text'"],
};
for (const [what, [name, content, message]] of Object.entries(bad)) {
  Deno.test(`openDomains() refuses ${what}`, () =>
    withTemporaryFolder(async (folder) => {
      const path = join(folder, name);
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      await Deno.writeFile(path, bytes);
      await assertRejects(() => openDomains({ a: path }), TextError, message);
    }));
}

Deno.test("openDomains() refuses a path that does not exist", async () => {
  await assertRejects(() => openDomains({ a: "/nowhere.txt" }), TextError, "no such file");
});

Deno.test("openDomains() refuses a folder without text", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.writeFile(join(folder, "x.bin"), Uint8Array.of(0));
    await assertRejects(() => openDomains({ a: folder }), TextError, "holds no text files");
  }));

Deno.test("openDomains() refuses two texts of one name", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "a.txt");
    await Deno.writeTextFile(path, "x");
    const twice = [{ name: "a", path }, { name: "a", path }];
    await assertRejects(() => openDomains(twice), TextError, "two texts named 'a'");
  }));

Deno.test("domainOf() gives texts of the same words the same hash", () => {
  assertEquals(domainOf("a", "x y").sha256, domainOf("b", "x y").sha256);
});
