import { assert, assertEquals } from "@std/assert";
import { dependencyList } from "../../bench/dependencies.ts";

/** Licences that a program under MIT may depend on without more duties than to name them. */
const permissive = /^\(?(MIT|ISC|0BSD|Apache-2\.0|BSD-[23]-Clause|CC0-1\.0)\b/;

Deno.test("DEPENDENCIES.md lists the packages of the lock file, all of them permissive", async () => {
  const listed = await Deno.readTextFile(
    new URL("../../bench/DEPENDENCIES.md", import.meta.url),
  );
  const cells = (text: string) =>
    [...text.matchAll(/^\| *(\S+) *\| *(\S+) *\| *(.*?) *\|$/gm)].map(([, ...row]) => row)
      .filter(([name]) => name !== "package" && !name.startsWith("-"));
  const rows = cells(await dependencyList());
  assertEquals(cells(listed), rows, "run bench/dependencies.ts and deno fmt");
  assert(rows.length > 50);
  for (const [name, , license] of rows) assert(permissive.test(license), `${name}: ${license}`);
});
