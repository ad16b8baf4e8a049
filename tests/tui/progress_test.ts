import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { stripAnsiCode } from "@std/fmt/colors";
import stringWidth from "string-width";
import type { Progress } from "../../core/progress.ts";
import { processTerminal } from "../../tui/terminal.ts";
import { openProgress } from "../../tui/progress.ts";
import {
  advance,
  plainLine,
  progressLine,
  type ProgressState,
  secondsLeft,
} from "../../tui/progress_line.ts";

const at = (done: number, detail?: string): Progress => ({
  stage: "calibrate",
  done,
  total: 24_000,
  unit: "tokens",
  detail,
});

/** A stage that goes at 1,000 tokens per second for some seconds. */
function steady(seconds: number, detail?: string): ProgressState {
  let state = advance(undefined, at(0), 0);
  for (let second = 1; second <= seconds; second++) {
    state = advance(state, at(1000 * second, detail), 1000 * second);
  }
  return state;
}

/** A terminal whose clock is set by hand. */
function fakeTerminal(live: boolean, columns = 80) {
  const written: string[] = [];
  const clock = { time: 0 };
  return {
    written,
    clock,
    terminal: {
      writeError: (text: string) => void written.push(text),
      errorIsTerminal: live,
      columns: () => columns,
      now: () => clock.time,
    },
  };
}

Deno.test("advance() gives the rate of steady work", () => {
  assertEquals(Math.round(steady(10).rate ?? 0), 1000);
  assertEquals(Math.round(secondsLeft(steady(10), 10_000) ?? 0), 14);
});

Deno.test("advance() smooths a rate that jumps", () => {
  const jumped = advance(steady(10), at(20_000), 11_000).rate ?? 0;
  assert(jumped > 1000 && jumped < 4000, String(jumped));
});

Deno.test("advance() takes no rate from less than a quarter of a second", () => {
  const state = advance(advance(undefined, at(0), 0), at(5000), 100);
  assertEquals(state.rate, undefined);
  assertEquals(state.progress.done, 5000);
});

Deno.test("advance() starts anew where work goes backwards or is other work", () => {
  assertEquals(advance(steady(5), { ...at(6000), total: 48_000 }, 7000).startedAt, 7000);
  assertEquals(advance(steady(5), at(10), 7000).startedAt, 7000);
});

Deno.test("progressLine() says stage, share, time, rate and detail", async (t) => {
  const state = steady(12, "layer 3, wiki");
  await t.assertSnapshot([60, 80, 120].map((width) => progressLine(state, 12_500, width)));
});

Deno.test("progressLine() keeps to every width", () => {
  const state = steady(12, "layer 3, 日本語の文章 with a very long name that does not fit at all");
  for (let width = 1; width <= 160; width++) {
    assert(stringWidth(progressLine(state, 12_500, width)) <= width, `width ${width}`);
  }
});

Deno.test("progressLine() does without a total", () => {
  const state = advance(undefined, { stage: "plan", done: 0, total: 0, unit: "steps" }, 0);
  assertEquals(progressLine(state, 1000, 80), "Planning  0:01");
});

Deno.test("progressLine() says 100 % of complete work alone", () => {
  const state = advance(undefined, at(23_999), 0);
  assertStringIncludes(progressLine(state, 0, 80), "99 %");
  assertStringIncludes(progressLine(advance(undefined, at(24_000), 0), 0, 80), "100 %");
});

Deno.test("plainLine() has a start, a middle and an end", () => {
  assertEquals(plainLine(steady(0), 0, "start"), "Calibrating: 24,000 tokens");
  assertEquals(
    plainLine(steady(12, "layer 3, wiki"), 12_000, "during"),
    "Calibrating: 50 %, 0:12, about 0:12 left, 1,000 tokens/s, layer 3, wiki",
  );
  assertEquals(plainLine(steady(24), 24_000, "end"), "Calibrating: done, 24,000 tokens in 0:24");
});

Deno.test("openProgress() draws one line on a terminal and clears it at the end", () => {
  const { terminal, written, clock } = fakeTerminal(true);
  const display = openProgress(terminal, { quiet: false, colors: false });
  for (let step = 0; step <= 1000; step++) {
    clock.time = step;
    display.report(at(step));
  }
  display.close();
  assert(written.length < 20, `${written.length} drawings in a second`);
  assert(written.every((text) => text.startsWith("\r\x1b[K") && !text.includes("\n")));
  assertEquals(written.at(-1), "\r\x1b[K");
});

Deno.test("openProgress() says on a terminal that work has begun before the first report", () => {
  const { terminal, written } = fakeTerminal(true);
  openProgress(terminal, { quiet: false, colors: false }).close();
  assertEquals(written, ["\r\x1b[KPreparing", "\r\x1b[K"]);
});

Deno.test("openProgress() writes notes above the live line", () => {
  const { terminal, written } = fakeTerminal(true);
  const display = openProgress(terminal, { quiet: false, colors: false });
  display.report(at(10));
  display.note("Note: something");
  assertEquals(written.slice(2, 4), ["\r\x1b[K", "Note: something\n"]);
  assertStringIncludes(written[4], "Calibrating");
});

Deno.test("openProgress() uses colour only where it is allowed", () => {
  for (const colors of [true, false]) {
    const { terminal, written } = fakeTerminal(true);
    const display = openProgress(terminal, { quiet: false, colors });
    display.report(at(10));
    assertEquals(written[1].includes("\x1b[36m"), colors);
    assertMatch(stripAnsiCode(written[1]), /Calibrating/);
  }
});

Deno.test("openProgress() writes few plain lines where nobody watches", () => {
  const { terminal, written, clock } = fakeTerminal(false);
  const display = openProgress(terminal, { quiet: false, colors: true });
  for (let step = 0; step <= 240; step++) {
    clock.time = 100 * step;
    display.report(at(100 * step));
  }
  assertEquals(written.length, 4);
  clock.time = 25_000;
  display.report({ ...at(0), stage: "evaluate" });
  display.close();
  assertEquals(written, [
    "Calibrating: 24,000 tokens\n",
    "Calibrating: 41 %, 0:10, about 0:14 left, 1,000 tokens/s\n",
    "Calibrating: 83 %, 0:20, about 0:04 left, 1,000 tokens/s\n",
    "Calibrating: done, 24,000 tokens in 0:24\n",
    "Evaluating: 24,000 tokens\n",
  ]);
});

Deno.test("openProgress() writes nothing when quiet", () => {
  const { terminal, written } = fakeTerminal(true);
  const display = openProgress(terminal, { quiet: true, colors: true });
  display.report(at(10));
  display.note("Note: something");
  display.tick();
  display.close();
  assertEquals(written, []);
});

Deno.test("openProgress() does not take stages that take turns for new ones", () => {
  const { terminal, written, clock } = fakeTerminal(false);
  const display = openProgress(terminal, { quiet: false, colors: false });
  for (let layer = 1; layer <= 4; layer++) {
    clock.time = 1000 * layer;
    display.report(at(6000 * layer));
    display.report({ stage: "score", done: layer, total: 4, unit: "layers" });
  }
  assertEquals(written, [
    "Calibrating: 24,000 tokens\n",
    "Scoring units: 4 layers\n",
    "Calibrating: done, 24,000 tokens in 0:03\n",
    "Scoring units: done, 4 layers in 0:03\n",
  ]);
});

Deno.test("estimates do not move when the clock of the machine is put a day on or back", () => {
  const real = Date.now;
  let written = "";
  try {
    for (const jump of [86_400_000, -86_400_000]) {
      const { now } = processTerminal();
      let passed = 0;
      const display = openProgress({
        writeError: (text) => written += text,
        errorIsTerminal: true,
        columns: () => 100,
        // The true terminal's clock, with the seconds that this test does not wait for.
        now: () => now() + passed,
      }, { quiet: false, colors: false });
      for (let done = 0; done <= 50; done++) {
        if (done === 25) Date.now = () => real() + jump;
        passed += 1000;
        display.report({ stage: "calibrate", done, total: 100, unit: "tokens" });
      }
      display.close();
      const left = [...written.matchAll(/about (\d+):(\d+)(:\d+)? left/g)];
      assert(left.length > 10, written);
      for (const [text, minutes, , hours] of left) {
        assert(hours === undefined && Number(minutes) <= 2, text);
      }
      Date.now = real;
      written = "";
    }
  } finally {
    Date.now = real;
  }
});
