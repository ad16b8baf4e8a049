import { assert, assertEquals, assertMatch } from "@std/assert";
import stringWidth from "string-width";
import { renderToString } from "ink";
import { firstState } from "../../core/session/live/state.ts";
import { firstWizard, pressWizard } from "../../tui/keys/wizard.ts";
import type { Overlay } from "../../tui/keys/reducer.ts";
import type { WriteForm } from "../../tui/keys/write_form.ts";
import { Lines, styled } from "../../tui/screens/lines.tsx";
import { screenOf } from "../../tui/screens/screen.ts";
import { fitLine, type Line, lineWidth } from "../../tui/screens/spans.ts";
import type { View } from "../../tui/screens/view.ts";
import { wizardScreen } from "../../tui/screens/wizard_screen.ts";
import { readyState, viewOf } from "./live_samples.ts";

const sizes = [[80, 24], [120, 40], [200, 60]] as const;
const commands = (width: number) => [{
  title: "The model as it is chosen:",
  lines: [`gprune prune --sparsity 0.35 ${"x".repeat(width)}`],
}];
const linesOf = (view: View) => screenOf(view, commands);

function drawn(lines: readonly Line[], columns: number, rows: number): string {
  const text = renderToString(
    <Lines lines={lines} columns={columns} rows={rows} colors={false} />,
    { columns },
  );
  // deno-lint-ignore no-control-regex -- escape codes are control characters
  return text.replace(/\x1b\[[\d;]*m/g, "");
}

const form: WriteForm = {
  what: "model",
  folder: "gprune-out/my-model-0.35",
  planFile: "gprune-out/my-model-0.35.plan.json",
  formats: [
    { format: "hf", storages: ["keep", "f16"], storage: 1, chosen: true },
    { format: "gguf", storages: ["f16", "q8_0"], storage: 0, chosen: false },
  ],
  force: false,
  field: 1,
};
const overlays: readonly Overlay[] = [
  { type: "help" },
  { type: "command", copied: true },
  { type: "prompt", prompt: "Once upon" },
  { type: "sample" },
  { type: "write", form },
  { type: "quit" },
];
const ready = readyState({}, { protectedLayers: [0], layerBudgets: [{ layer: 3, factor: 1.56 }] }, {
  baseline: "flap",
  unsaved: true,
  notice: { message: "Written to gprune-out/my-model-0.3", isError: false },
  activity: {
    kind: "measure",
    label: "measuring 50 %",
    progress: { stage: "apply", done: 3, total: 12, unit: "blocks" },
  },
  sample: {
    prompt: "Once upon a time",
    dense: " there was a fox who liked\nthe rain.",
    pruned: " there was a dog.",
    sparsity: 0.35,
    running: true,
  },
});
const calibrating = {
  ...firstState,
  phase: "calibrating" as const,
  model: ready.model,
  engine: ready.engine,
  calibration: {
    domains: ["code", "self", "wiki"],
    windows: { samples: 32, seqLen: 512 },
    stages: [
      { stage: "sample" as const, done: 100, total: 100, unit: "tokens" },
      {
        stage: "calibrate" as const,
        done: 40,
        total: 100,
        unit: "tokens",
        layer: 5,
        domain: "self",
      },
    ],
  },
};

for (const [columns, rows] of sizes) {
  Deno.test(`Screens at ${columns} × ${rows} draw the same`, async (t) => {
    const view = (part: Partial<View> = {}) => ({ ...viewOf(ready, columns, rows), ...part });
    await t.assertSnapshot(drawn(linesOf(view()), columns, rows));
    await t.assertSnapshot(drawn(linesOf(view({ live: calibrating })), columns, rows));
    for (const overlay of overlays) {
      const ui = { ...view().ui, overlay };
      await t.assertSnapshot(drawn(linesOf(view({ ui })), columns, rows));
    }
    const asked = firstWizard(["org/name", "embedded"], "Cannot open 'x': it is missing");
    await t.assertSnapshot(drawn(wizardScreen(asked, columns, rows), columns, rows));
  });
}

Deno.test("Every screen fits every size from 80 × 24 on, and a smaller one says so", () => {
  const states = [ready, calibrating, { ...firstState, phase: "failed" as const, failure: "No" }];
  for (const live of [...states, readyState({ layers: 3, ffnWidth: 96, heads: 2 })]) {
    for (const columns of [40, 80, 81, 97, 119, 149, 150, 151, 233]) {
      for (const rows of [10, 24, 25, 31, 77]) {
        for (const overlay of [undefined, ...overlays]) {
          const lines = linesOf(viewOf(live, columns, rows, { overlay }));
          assertEquals(lines.length, rows, `${columns} × ${rows} ${overlay?.type}`);
          for (const line of lines) assertEquals(lineWidth(fitLine(line, columns)), columns);
        }
      }
    }
  }
});

Deno.test("What Ink draws is as large as the terminal", () => {
  for (const [columns, rows] of [[80, 24], [151, 31]]) {
    const text = drawn(linesOf(viewOf(ready, columns, rows)), columns, rows).split("\n");
    assertEquals(text.length, rows);
    assert(text.every((line) => stringWidth(line) <= columns));
  }
});

Deno.test("The main screen tells measured from predicted without colour", () => {
  const text = drawn(linesOf(viewOf(ready, 120, 40)), 120, 40);
  const table = text.slice(text.indexOf("Ratio"));
  const row = (percent: string) => table.split("\n").find((line) => line.includes(`${percent} %`))!;
  assert(!row(" 30").includes("~"), row(" 30"));
  assertMatch(row(" 35"), /▸ 35 %.*~\d/);
  assertMatch(row(" 50"), /50 %….*~\d.* 2\.000/);
});

Deno.test("styled() colours where that is allowed, and marks what matters without", () => {
  const line: Line = [{ text: "a", color: "red" }, { text: "b", bold: true, inverse: true }];
  assertEquals(styled(line, true), "\x1b[31ma\x1b[39m\x1b[1m\x1b[7mb\x1b[27m\x1b[22m");
  assertEquals(styled(line, false), "a\x1b[1m\x1b[7mb\x1b[27m\x1b[22m");
});

Deno.test("At 80 × 24 the main screen shows all texts, the choice and how to get help", () => {
  const text = drawn(linesOf(viewOf({ ...ready, baseline: undefined }, 80, 24)), 80, 24);
  for (const word of ["code", "talk", "wiki", "°drama", "Ratio", "▸ 35 %", "70 %", "? help"]) {
    assert(text.includes(word), word);
  }
});

Deno.test("wizardScreen() shows what was answered and what is typed", () => {
  let state = firstWizard([]);
  for (const key of ["enter", "down", "enter"] as const) {
    state = pressWizard(state, { type: key }).state;
  }
  state = pressWizard(state, { type: "text", text: "~/texts" }).state;
  const text = drawn(wizardScreen(state, 80, 24), 80, 24);
  for (const part of ["Which model?  The embedded model", "2 of 3", "Folder: ~/texts"]) {
    assert(text.includes(part), part);
  }
});
