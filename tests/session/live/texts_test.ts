import { assertEquals, assertRejects } from "@std/assert";
import { TextError } from "../../../core/errors.ts";
import { textsIn } from "../../../core/session/live/texts.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";

Deno.test("textsIn() makes a domain of every text file and folder, by name", () =>
  withTemporaryFolder(async (folder) => {
    for (const name of ["wiki.txt", "my notes.md", "chat.jsonl", "picture.png", ".hidden.txt"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "x");
    }
    await Deno.mkdir(`${folder}/code`);
    assertEquals(await textsIn(folder), [
      { name: "chat", path: `${folder}/chat.jsonl` },
      { name: "code", path: `${folder}/code` },
      { name: "my-notes", path: `${folder}/my notes.md` },
      { name: "wiki", path: `${folder}/wiki.txt` },
    ]);
  }));

Deno.test("textsIn() says what is wrong with a folder", () =>
  withTemporaryFolder(async (folder) => {
    await assertRejects(() => textsIn(`${folder}/nowhere`), TextError, "nowhere");
    await assertRejects(() => textsIn(folder), TextError, "Cannot find a text");
    await Deno.writeTextFile(`${folder}/a.txt`, "x");
    await Deno.mkdir(`${folder}/a`);
    await assertRejects(() => textsIn(folder), TextError, "two texts named 'a'");
  }));
