import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import stringWidth from "string-width";
import { comparisonCsv, comparisonMarkdown, comparisonText } from "../../tui/tables/comparison.ts";
import { diagnosisText } from "../../tui/tables/diagnosis.ts";
import { modulesTable } from "../../tui/tables/modules.ts";
import { planText, statisticsSummary, statisticsText } from "../../tui/tables/plan.ts";
import { reportText } from "../../tui/tables/report.ts";
import { summaryText } from "../../tui/tables/summary.ts";
import { geometricMean, perplexityTable, tasksTable } from "../../tui/tables/texts.ts";
import {
  sampleChoiceComparison,
  sampleComparison,
  sampleDiagnosis,
  sampleEvaluation,
  sampleFilesReport,
  sampleLargeReport,
  sampleModules,
  samplePlan,
  sampleReport,
  sampleStatistics,
  sampleSummary,
} from "./samples.ts";

const drawings: Readonly<Record<string, (width: number) => string>> = {
  "reportText() of prune": (width) => reportText(sampleReport, { width, folder: "small" }),
  "reportText() of a large model": (width) =>
    reportText(sampleLargeReport, { width, folder: "/somewhere/else" }),
  "reportText() with files in other formats": (width) =>
    reportText(sampleFilesReport, { width, folder: "small" }),
  "reportText() of evaluate": (width) => reportText(sampleEvaluation, { width }),
  "comparisonText()": (width) => comparisonText(sampleComparison, width),
  "comparisonText() with tasks": (width) => comparisonText(sampleChoiceComparison, width),
  "planText()": (width) => planText(samplePlan, "half.plan.json", width),
  "statisticsText()": (width) => statisticsText(sampleStatistics, "mixlm.stats", width),
  "summaryText()": (width) => summaryText(sampleSummary, width),
  "diagnosisText()": (width) => diagnosisText(sampleDiagnosis, width),
};

for (const [name, draw] of Object.entries(drawings)) {
  for (const width of [80, 120]) {
    Deno.test(`${name} draws the same at ${width} columns`, async (t) => {
      await t.assertSnapshot(draw(width));
    });
  }
  Deno.test(`${name} keeps to every width and ends lines cleanly`, () => {
    for (let width = 80; width <= 160; width++) {
      for (const line of draw(width).split("\n")) {
        assert(stringWidth(line) <= width, `${stringWidth(line)} columns of ${width}: ${line}`);
        assertEquals(line, line.trimEnd());
      }
    }
  });
}

Deno.test("modulesTable() has a row for each layer and kind up to 16 layers", () => {
  for (const layers of [1, 6, 16]) {
    const lines = modulesTable(sampleModules(layers, 576, 3), 80).split("\n");
    assertEquals(lines.filter((line) => / (ffn|heads) /.test(line)).length, 2 * layers);
  }
});

Deno.test("modulesTable() adds neighbours up beyond 16 layers and loses no unit", () => {
  for (const layers of [17, 24, 32, 80]) {
    const rows = modulesTable(sampleModules(layers, 576, 3), 120).split("\n")
      .filter((line) => line.includes(" ffn "));
    assert(rows.length <= 16);
    const units = rows.map((row) => Number(row.trim().split(/\s{2,}/)[2].replace(",", "")));
    assertEquals(units.reduce((sum, each) => sum + each, 0), layers * 576);
  }
});

Deno.test("modulesTable() is empty without modules and shows a dash for what is no number", () => {
  assertEquals(modulesTable([], 80), "");
  const [module] = sampleModules(1, 64, 2);
  assertStringIncludes(modulesTable([{ ...module, reliability: NaN }], 80), "–");
});

Deno.test("reportText() leaves out notes that stand on the screen already", () => {
  const [first, second] = sampleReport.notes;
  const text = reportText(sampleReport, { width: 80, folder: "x", seenNotes: new Set([first]) });
  assert(!text.includes(first.slice(0, 30)));
  assertStringIncludes(text, second.slice(0, 30));
});

Deno.test("perplexityTable() takes the calibration's names where rows say nothing", () => {
  const perplexity = sampleReport.perplexity.map(({ calibrated: _, ...row }) => row);
  assertEquals(
    perplexityTable({ ...sampleReport, perplexity }, 80),
    perplexityTable(sampleReport, 80),
  );
});

Deno.test("perplexityTable() shows infinite and missing numbers as dashes", () => {
  const perplexity = [{ ...sampleReport.perplexity[0], pruned: Infinity }];
  assertStringIncludes(perplexityTable({ ...sampleReport, perplexity }, 80), "–");
});

Deno.test("tasksTable() shows accuracy with its standard error", async (t) => {
  const accuracy = { acc: 0.735, accNorm: 0.71, stderr: 0.031 };
  assertEquals(tasksTable([], 80), "");
  await t.assertSnapshot(tasksTable([
    { name: "wiki-choice", items: 200, dense: accuracy, pruned: { ...accuracy, acc: 0.7 } },
  ], 80));
});

Deno.test("geometricMean() is exact on powers", () => {
  assertEquals(Math.round(geometricMean([1, 10, 100]) * 1e9) / 1e9, 10);
  assert(Number.isNaN(geometricMean([])));
});

Deno.test("comparisonCsv() has a line for each row and as many cells as headings", () => {
  const lines = comparisonCsv(sampleComparison).trimEnd().split("\n");
  assertEquals(lines.length, 1 + sampleComparison.rows.length);
  assertEquals(new Set(lines.map((line) => line.split(",").length)).size, 1);
  assertStringIncludes(lines[0], "geomean_ratio");
  assertStringIncludes(lines[0], "pruned_python");
});

Deno.test("comparisonCsv() quotes cells with commas and quotes", () => {
  const row = sampleComparison.rows[0];
  const odd = { ...row, worst: { name: 'a "b", c', ratio: 2 } };
  assertStringIncludes(comparisonCsv({ ...sampleComparison, rows: [odd] }), '"a ""b"", c"');
});

Deno.test("comparisonCsv() has the accuracies of every task", () => {
  const [heads, first] = comparisonCsv(sampleChoiceComparison).split("\n")
    .map((line) => line.split(","));
  assertEquals(heads.length, first.length);
  const task = sampleChoiceComparison.rows[0].tasks![2];
  assertEquals(first[heads.indexOf("dense_acc_quiz")], String(task.dense.acc));
  assertEquals(first[heads.indexOf("pruned_acc_quiz")], String(task.pruned!.acc));
  assertEquals(first[heads.indexOf("dense_stderr_quiz")], String(task.dense.stderr));
  assertEquals(first[heads.indexOf("pruned_acc_norm_quiz")], String(task.pruned!.accNorm));
});

Deno.test("comparisonCsv() writes the same", async (t) => {
  await t.assertSnapshot(comparisonCsv(sampleComparison));
  await t.assertSnapshot(comparisonCsv(sampleChoiceComparison));
});

Deno.test("comparisonMarkdown() escapes bars in names, and every line has as many cells", () => {
  const [row] = sampleComparison.rows;
  const odd = { ...row, worst: { name: "a|b", ratio: 2 } };
  const lines = comparisonMarkdown({ ...sampleComparison, rows: [odd] }).trimEnd().split("\n");
  assertStringIncludes(lines[2], "a\\|b");
  const cells = lines.map((line) => line.replaceAll("\\|", "").split("|").length);
  assertEquals(new Set(cells).size, 1);
});

Deno.test("comparisonMarkdown() draws the same", async (t) => {
  await t.assertSnapshot(comparisonMarkdown(sampleComparison));
  await t.assertSnapshot(comparisonMarkdown(sampleChoiceComparison));
});

Deno.test("statisticsSummary() leaves out the sums", () => {
  const summary = statisticsSummary(sampleStatistics, "mixlm.stats");
  assertEquals(Object.keys(summary), ["schema", "model", "seed", "domains", "learned", "file"]);
});
