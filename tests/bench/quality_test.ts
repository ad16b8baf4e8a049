import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { join } from "@std/path";
import { codeHash, keyOf, RowCache } from "../../bench/quality/cache.ts";
import { markdownTable, spread, withParts, worstOf } from "../../bench/quality/markdown.ts";
import { qualityOptions } from "../../bench/quality/options.ts";
import { sections } from "../../bench/quality/sections.ts";
import type { CompareRow } from "../../core/evaluate/report.ts";
import { resolveRequest } from "../../core/plan/request.ts";
import { ratiosOf } from "../../core/session/compare_row.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { sampleComparison } from "../tui/samples.ts";

const [sample] = sampleComparison.rows;

Deno.test("spread() is mean and sample standard deviation", () => {
  assertEquals(spread([1.25]), "1.250");
  // Of 1, 2 and 3 the sample's standard deviation is 1.
  assertEquals(spread([1, 2, 3]), "2.000 ± 1.000");
  assertEquals(spread([12.5, 13.5]), "13.00 ± 0.71");
  assertEquals([spread([]), spread([1, undefined])], ["–", "–"]);
});

Deno.test("worstOf() names every text that is worst at some seed", () => {
  const other = { ...sample, worst: { name: "drama", ratio: 1.5 } };
  assertEquals(worstOf([sample, other]), "1.400 ± 0.141 (python, drama)");
});

Deno.test("markdownTable() has as many cells in every line, bars or not", () => {
  const cell = fc.string({ unit: fc.constantFrom("a", "|", " ", "±") });
  fc.assert(fc.property(fc.array(fc.tuple(cell, cell, cell)), (rows) => {
    const table = markdownTable({ left: ["a", "b"], right: ["c"], rows });
    const lines = table.trimEnd().split("\n");
    assertEquals(lines.length, rows.length + 2);
    for (const line of lines) {
      assertEquals(line.replaceAll("\\|", "").split("|").length, 5, line);
    }
  }));
});

Deno.test("withParts() replaces a part and leaves the others and what people wrote", () => {
  const first = withParts("", "# Head\n", [{ name: "a", text: "one" }, { name: "b", text: "two" }]);
  assertEquals(withParts(first, "# Other\n", [{ name: "a", text: "one" }]), first);
  const second = withParts(`${first}\nA note.\n`, "", [{ name: "a", text: "new" }]);
  assertStringIncludes(second, "# Head");
  assertStringIncludes(second, "new");
  assertStringIncludes(second, "two");
  assertStringIncludes(second, "A note.");
  assert(!second.includes("one"));
});

Deno.test("RowCache keeps rows over a line that was cut off", () =>
  withTemporaryFolder(async (folder) => {
    const path = join(folder, "deep", "rows.jsonl");
    const cache = await RowCache.open(path);
    await cache.put(keyOf({ a: 1 }), { row: sample, seconds: 2 });
    await Deno.writeTextFile(path, '{"key": "cut', { append: true });
    const again = await RowCache.open(path);
    assertEquals(again.get(keyOf({ a: 1 })), { row: sample, seconds: 2 });
    assertEquals(again.get(keyOf({ a: 2 })), undefined);
  }));

Deno.test("codeHash() changes with the content and the place of code, and with nothing else", () =>
  withTemporaryFolder(async (folder) => {
    await Deno.mkdir(join(folder, "deep"));
    await Deno.writeTextFile(join(folder, "deep", "a.ts"), "1");
    const before = await codeHash(folder);
    await Deno.writeTextFile(join(folder, "notes.txt"), "x");
    assertEquals(await codeHash(folder), before);
    await Deno.writeTextFile(join(folder, "deep", "a.ts"), "2");
    const changed = await codeHash(folder);
    await Deno.rename(join(folder, "deep", "a.ts"), join(folder, "a.ts"));
    assertEquals(new Set([before, changed, await codeHash(folder)]).size, 3);
  }));

Deno.test("qualityOptions() fills in what is left out and refuses what makes no sense", () => {
  const plain = qualityOptions([]);
  assertEquals([plain.models, plain.seeds, plain.samples], [["embedded"], [0, 1, 2], 32]);
  const chosen = qualityOptions([
    ..."--model m --calib a=1.txt --calib b=2.txt --eval c=3.txt --seeds 4 --sparsity 0.3".split(
      " ",
    ),
    ..."--structures ffn --only claim,table".split(" "),
  ]);
  assertEquals(chosen.calibration?.map(({ name }) => name), ["a", "b"]);
  assertEquals([chosen.structures, chosen.only], [[["ffn"]], ["claim", "table"]]);
  const wrong = [
    "--seeds x",
    "--seeds 0.5",
    "--samples 0",
    "--calib wiki",
    "--sparsity 1",
    "--only tables",
    "--structures neurons",
    "--window 3",
    "model",
  ];
  for (const words of wrong) {
    assertThrows(() => qualityOptions(words.split(" ")), Error, undefined, words);
  }
});

/** A row whose ratio says what was asked for, so that tables can be checked without a model. */
function pretend(request: Parameters<typeof resolveRequest>[0], calibrated: number): CompareRow {
  const layers = [{ ffnWidth: 576, keyValueHeads: 3, queryHeads: 6 }];
  const perplexity = [
    { name: "wiki", dense: 10, pruned: 10 * calibrated, calibrated: true },
    { name: "drama", dense: 10, pruned: 20 * calibrated, calibrated: false },
  ];
  const { method, metric, refit, shape, sparsity } = resolveRequest(request, layers);
  const row = { method, metric, refit, shape, sparsity, reachedSparsity: sparsity, perplexity };
  return { ...row, ...ratiosOf(perplexity) };
}

Deno.test("sections() ask for rows that can be planned and write a line for each", () => {
  const list = sections(qualityOptions([]), "wiki");
  assertEquals(list.map(({ name }) => name), ["table", "ablation", "never-worse", "claim"]);
  for (const section of list) {
    const text = section.write(({ request }) => [pretend(request, 1.5), pretend(request, 1.6)]);
    assert(section.trials.length > 10, section.name);
    assert(!text.includes("NaN") && !text.includes("undefined"), text);
  }
});

Deno.test("the section never-worse counts every loss, and a tie is none", () => {
  const [duel] = sections(qualityOptions(["--sparsity", "0.5"]), "wiki")
    .filter(({ name }) => name === "never-worse");
  const tie = duel.write(({ request }) => [pretend(request, 1.5)]);
  assertStringIncludes(tie, "No loss in 96 comparisons.");
  const lost = duel.write(({ request }) => [
    pretend(request, request.method === "flap" && request.refit === "lsq" ? 1.2 : 1.5),
  ]);
  // Two shapes, three measures each.
  assertStringIncludes(lost, "12 losses in 96 comparisons");
  assertStringIncludes(lost, "uniform: worst, gprune 3.000, flap + lsq 2.400");
});
