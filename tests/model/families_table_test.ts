import { assert } from "@std/assert";
import { familiesTable } from "../../bench/families_table.ts";

/** Cells without the spaces that the formatter aligns them with. */
function cells(line: string): string {
  return line.split("|").map((cell) => cell.trim().replace(/^-+$/, "---")).join("|");
}

Deno.test("README.md has the table that bench/families_table.ts prints", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const lines = new Set(readme.split("\n").map(cells));
  for (const line of familiesTable()) assert(lines.has(cells(line)), line);
});
