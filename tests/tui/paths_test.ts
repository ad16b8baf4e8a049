import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { modelName, modelSource, pathOf, shownPath } from "../../tui/paths.ts";
import { userFolder } from "../../tui/terminal.ts";

Deno.test("pathOf() starts at the user's folder, and ~ leads home", () => {
  assertEquals(pathOf("a/b", "/project"), "/project/a/b");
  assertEquals(pathOf("/a", "/project"), "/a");
  assertEquals(pathOf("~/a", "/project", "/home/user"), "/home/user/a");
  assertEquals(pathOf("~a", "/project", "/home/user"), "/project/~a");
});

Deno.test("modelSource() tells folders from hub ids", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(`${folder}/org/there`, { recursive: true });
  assertEquals(modelSource(undefined, folder), undefined);
  assertEquals(modelSource("org/name", folder), "org/name");
  assertEquals(modelSource("org/there", folder), `${folder}/org/there`);
  assertEquals(modelSource("./org/name", folder), `${folder}/org/name`);
  assertEquals(modelSource("/a/b", folder), "/a/b");
  assertEquals(modelSource("embedded", folder), "embedded");
  assertEquals(modelSource("name", folder), `${folder}/name`);
  assertEquals(modelSource("a/b/c", folder), `${folder}/a/b/c`);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("modelName() is the last part", () => {
  assertEquals([undefined, "embedded", "org/name", "/a/b/"].map(modelName), [
    "tiny",
    "tiny",
    "name",
    "b",
  ]);
});

Deno.test("shownPath() is relative below the user's folder alone", () => {
  assertEquals(shownPath("/project/a/b", "/project"), "a/b");
  assertEquals(shownPath("/project/..a", "/project"), "..a");
  assertEquals(shownPath("/other", "/project"), "/other");
  assertEquals(shownPath("/project", "/project"), "/project");
});

Deno.test("userFolder() believes INIT_CWD where a task moved, and only there", () => {
  assertEquals(userFolder("/home/user", "/project", "/project"), "/home/user");
  assertEquals(userFolder("/home/user", "/elsewhere", "/project"), "/elsewhere");
  assertEquals(userFolder(undefined, "/project", "/project"), "/project");
  assertEquals(userFolder("", "/project", "/project"), "/project");
  const project = fileURLToPath(new URL("../..", import.meta.url));
  assertEquals(userFolder("/home/user", project), "/home/user");
  assert(userFolder("/home/user", "/").endsWith("/"));
});
