/**
 * What lies over the main screen: help, the command, samples, the form for writing, the question before quitting.
 * @module
 */
import { wrap } from "../format.ts";
import { formFields, type WriteForm } from "../keys/write_form.ts";
import { beside, fitHeight, type Line, line } from "./spans.ts";
import type { View } from "./view.ts";

/** Every key, by what it is for. */
const helpKeys: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  ["The cut", [
    ["← →", "1 % less, 1 % more"],
    ["shift ← → or [ ]", "5 % less, 5 % more"],
    ["s", "what is cut: FFN neurons and KV heads, or one of them"],
    ["u", "uniform: layers alike, loads anywhere; adaptive: loses less"],
    ["z Z", "undo, redo"],
  ]],
  ["The method", [
    ["b m", "base metric (obs, wanda-sp, wifv, rms); modules (1, 2, 4, 8)"],
    ["r", "correction after the cut: lsq, bias, none"],
  ]],
  ["One layer (adaptive)", [
    ["↑ ↓ PgUp PgDn", "go to a layer"],
    ["p", "protect it from being cut, or release it"],
    ["+ -", "cut it more, cut it less than the curves say; others make up"],
  ]],
  ["Measuring", [
    ["e a", "measure the choice now; measure by itself, or only when asked"],
    ["c", "compare with a baseline: wanda-sp, flap, magnitude, random"],
    ["g", "continue a prompt, dense and pruned side by side"],
  ]],
  ["The result", [
    ["w", "write the model or the plan"],
    ["x", "the command that does the same"],
    ["Esc", "stop writing or sampling; close what is open"],
    ["q", "quit; ctrl-C quits at once"],
  ]],
];

/**
 * The help.
 *
 * @param width Columns
 * @param height Rows
 * @returns Exactly `height` lines
 */
export function helpScreen(width: number, height: number): readonly Line[] {
  const blocks = helpKeys.map(([title, keys]): readonly Line[] => [
    line(title, { bold: true }),
    ...keys.map(([key, does]): Line => [
      { text: `  ${key.padEnd(17)}`, bold: true },
      { text: does },
    ]),
  ]);
  const note: readonly Line[] = [
    line("Reading the tables", { bold: true }),
    line("  ~ predicted from learned damage and what was measured; no sign: measured"),
    line("  ° text that calibration did not cover;  Ratio: pruned / dense perplexity, mean"),
    line("  ▁ to █ how much of a module stays, · nothing;  … being measured"),
  ];
  const full = [...blocks.flatMap((block) => [...block, []]), ...note];
  if (full.length <= height) return fitHeight(full, height);
  if (width >= 150) {
    const half = Math.floor((width - 3) / 2);
    const right = [...blocks.slice(3).flatMap((block) => [...block, []]), ...note];
    const left = blocks.slice(0, 3).flatMap((block) => [...block, []]);
    const columns = [{ lines: left, width: half }, { lines: right, width: half }];
    return fitHeight(beside(columns, 3), height);
  }
  // Without titles and empty lines it fits 24 rows.
  return fitHeight([...blocks.flatMap((block) => block.slice(1)), ...note.slice(1)], height);
}

/**
 * The commands that do the same.
 *
 * @param commands Lines of each command, with a title
 * @param copied Whether the first was copied
 * @param width Columns
 * @param height Rows
 * @returns Exactly `height` lines
 */
export function commandScreen(
  commands: readonly { readonly title: string; readonly lines: readonly string[] }[],
  copied: boolean,
  width: number,
  height: number,
): readonly Line[] {
  // A path that is wider than the screen goes on below: cut off it would be of no use.
  const whole = (text: string) => text.match(new RegExp(`.{1,${width}}`, "gsu")) ?? [];
  return fitHeight([
    [],
    ...commands.flatMap(({ title, lines }) => [
      line(title, { dim: true }),
      ...lines.flatMap(whole).map((text) => line(text)),
      [],
    ]),
    [
      { text: copied ? "Copied the first (where the terminal allows it). " : "" },
      { text: "c", bold: true },
      { text: " copy the first   " },
      { text: "Enter", bold: true },
      { text: " close" },
    ],
  ], height);
}

/**
 * The line in which a prompt is written.
 *
 * @param prompt The prompt so far
 * @param height Rows
 * @returns Exactly `height` lines
 */
export function promptScreen(prompt: string, height: number): readonly Line[] {
  return fitHeight([
    [],
    line("Continue a prompt from the dense and the pruned model", { bold: true }),
    [],
    [{ text: "Prompt: " }, { text: prompt, bold: true }, { text: " ", inverse: true }],
    [],
    [
      { text: "Enter", bold: true },
      { text: " sample   " },
      { text: "Backspace", bold: true },
      { text: " delete   " },
      { text: "Esc", bold: true },
      { text: " back" },
    ],
  ], height);
}

/**
 * Continuations side by side.
 *
 * @param view What is drawn
 * @param width Columns
 * @param height Rows
 * @returns Exactly `height` lines
 */
export function sampleScreen({ live }: View, width: number, height: number): readonly Line[] {
  const { sample } = live;
  if (sample === undefined) return fitHeight([], height);
  const half = Math.floor((width - 3) / 2);
  const text = (title: string, words: string): readonly Line[] => [
    line(title, { bold: true }),
    [],
    ...wrap(oneParagraph(sample.prompt + words), half).split("\n").map((row) => line(row)),
  ];
  const percent = `${Math.round(100 * sample.sparsity)} %`;
  const panes = beside([
    { lines: text("Dense", sample.dense), width: half },
    { lines: text(`Cut by ${percent}`, sample.pruned), width: half },
  ], 3);
  const keys: Line = [
    { text: sample.running ? "Sampling …   " : "" },
    { text: "g", bold: true },
    { text: " another prompt   " },
    { text: "Enter", bold: true },
    { text: " close" },
  ];
  return [[], ...fitHeight(panes, height - 2), keys];
}

/** Line breaks of a sample would break the two columns. */
function oneParagraph(text: string): string {
  return text.replace(/\s*\n\s*/g, " ¶ ");
}

/**
 * The form for writing.
 *
 * @param form The form
 * @param height Rows
 * @returns Exactly `height` lines
 */
export function writeScreen(form: WriteForm, height: number): readonly Line[] {
  const fields = formFields(form);
  const rows = fields.map((field, index): Line => {
    const [name, value] = fieldText(form, field);
    const here = index === form.field;
    const cursor = here && field.type === "path";
    return [
      { text: here ? "▸ " : "  ", bold: true },
      { text: name.padEnd(14), dim: !here },
      { text: value, bold: here },
      ...(cursor ? [{ text: " ", inverse: true }] : []),
    ];
  });
  return fitHeight([
    [],
    line("Write what is chosen", { bold: true }),
    [],
    ...rows,
    [],
    [
      { text: "Enter", bold: true },
      { text: " write   " },
      { text: "↑↓", bold: true },
      { text: " field   " },
      { text: "←→ space", bold: true },
      { text: " change   " },
      { text: "Esc", bold: true },
      { text: " back" },
    ],
  ], height);
}

function fieldText(
  form: WriteForm,
  field: ReturnType<typeof formFields>[number],
): readonly [string, string] {
  switch (field.type) {
    case "what":
      return ["What", form.what === "model" ? "the pruned model" : "the plan alone"];
    case "path":
      return form.what === "model" ? ["Folder", form.folder] : ["File", form.planFile];
    case "force":
      return ["If it exists", form.force ? "replace it" : "leave it, and say so"];
    case "format": {
      const { format, storages, storage, chosen } = form.formats[field.index];
      const stored = storages.length > 1 ? `, numbers: ${storages[storage]}` : "";
      return [`[${chosen ? "x" : " "}] ${format}`, chosen ? `written${stored}` : `not written`];
    }
  }
}

/**
 * The question before quitting.
 *
 * @param view What is drawn
 * @param height Rows
 * @returns Exactly `height` lines
 */
export function quitScreen({ live }: View, height: number): readonly Line[] {
  const why = live.activity?.kind === "write"
    ? "Something is being written; quitting stops it, and nothing half-written stays."
    : "What you chose was not written yet.";
  return fitHeight([
    [],
    line(why, { bold: true }),
    [],
    [{ text: "  y", bold: true }, { text: "  quit without writing (the command is printed)" }],
    [{ text: "  w", bold: true }, { text: "  write first" }],
    [{ text: "  n", bold: true }, { text: "  go on" }],
  ], height);
}
