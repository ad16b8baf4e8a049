import { assertEquals } from "@std/assert";
import {
  bar,
  formatBytes,
  formatClock,
  formatCount,
  formatFigure,
  formatFixed,
  formatPercent,
  formatSeconds,
  pad,
  shareCell,
  truncate,
  wrap,
} from "../../tui/format.ts";
import { nearest } from "../../tui/suggest.ts";

Deno.test("formatCount() marks thousands and shows a dash for no number", () => {
  assertEquals([0, 999, 1000, 2457936].map(formatCount), ["0", "999", "1,000", "2,457,936"]);
  assertEquals(formatCount(NaN), "–");
});

Deno.test("formatFixed() never shows a negative zero", () => {
  assertEquals(formatFixed(-0.0001, 2), "0.00");
  assertEquals(formatFixed(-0.01, 2), "-0.01");
  assertEquals([undefined, null, Infinity].map((value) => formatFixed(value, 2)), ["–", "–", "–"]);
});

Deno.test("formatFigure() keeps about four digits", () => {
  assertEquals(
    [1.2344, 12.344, 123.44, 1234.4, 12345678].map(formatFigure),
    ["1.234", "12.34", "123.4", "1,234", "1.23e+7"],
  );
});

Deno.test("formatPercent() shows a share", () => {
  assertEquals([0, 0.5, 1, NaN].map((share) => formatPercent(share)), [
    "0.0 %",
    "50.0 %",
    "100.0 %",
    "–",
  ]);
});

Deno.test("formatBytes() changes units before a number has four digits", () => {
  assertEquals([0, 999, 999.6, 1000, 999_949, 99_960, 4.9e6, 16e9].map(formatBytes), [
    "0 B",
    "999 B",
    "1.0 kB",
    "1.0 kB",
    "1.0 MB",
    "100 kB",
    "4.9 MB",
    "16.0 GB",
  ]);
});

Deno.test("formatClock() and formatSeconds() carry over", () => {
  assertEquals([0, 59.6, 605, 3723].map(formatClock), ["0:00", "1:00", "10:05", "1:02:03"]);
  assertEquals([0.04, 9.94, 9.96, 59.4, 59.6, 125, 3720].map(formatSeconds), [
    "0.0 s",
    "9.9 s",
    "10 s",
    "59 s",
    "1 min 00 s",
    "2 min 05 s",
    "1 h 02 min",
  ]);
});

Deno.test("bar() is as wide as it is told for every share", () => {
  for (const share of [-1, 0, 0.01, 0.33, 0.5, 0.999, 1, 2, NaN]) {
    for (const width of [1, 6, 20]) assertEquals([...bar(share, width)].length, width);
  }
  assertEquals(bar(0, 4), "░░░░");
  assertEquals(bar(0.5, 4), "██░░");
  assertEquals(bar(1, 4), "████");
});

Deno.test("shareCell() keeps nothing and everything apart from nearly so", () => {
  assertEquals([0, 0.001, 0.5, 0.999, 1].map(shareCell), ["·", "▁", "▄", "▇", "█"]);
});

Deno.test("pad() and truncate() count columns of wide characters", () => {
  assertEquals(pad("日本", 6), "日本  ");
  assertEquals(pad("日本", 6, "right"), "  日本");
  assertEquals(truncate("日本語", 5), "日本…");
  assertEquals(truncate("日本語", 6), "日本語");
  assertEquals(truncate("abc", 1), "…");
});

Deno.test("wrap() breaks at spaces and never inside a word", () => {
  assertEquals(wrap("a bb ccc", 4), "a bb\nccc");
  assertEquals(wrap("longer than four", 4), "longer\nthan\nfour");
});

Deno.test("nearest() finds slips and refuses other words", () => {
  const methods = ["gprune", "flap", "wanda-sp", "magnitude", "random"];
  assertEquals(nearest("wnda-sp", methods), "wanda-sp");
  assertEquals(nearest("wnda", methods), undefined);
  assertEquals(nearest("FLAP", methods), "flap");
  assertEquals(nearest("falp", methods), "flap");
  assertEquals(nearest("transformers", methods), undefined);
});
