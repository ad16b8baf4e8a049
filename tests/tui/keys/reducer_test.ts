import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { firstState, type LiveState } from "../../../core/session/live/state.ts";
import {
  type Action,
  firstUi,
  type Key,
  type KeyContext,
  type Outcome,
  press,
  type UiState,
} from "../../../tui/keys/reducer.ts";
import { changeForm, formFields, type WriteForm } from "../../../tui/keys/write_form.ts";
import { firstWizard, pressWizard } from "../../../tui/keys/wizard.ts";

const layers = Array.from(
  { length: 12 },
  () => ({ ffnWidth: 96, keyValueHeads: 4, queryHeads: 8 }),
);
const model = { name: "m", source: "m", family: "llama", layers, parameters: 1, bytes: 1 };
const ready: LiveState = { ...firstState, phase: "ready", model };
const form: WriteForm = {
  what: "model",
  folder: "out",
  planFile: "out.json",
  formats: [
    { format: "hf", storages: ["keep", "f16"], storage: 0, chosen: true },
    { format: "gguf", storages: ["f16", "q8_0", "q4_0"], storage: 0, chosen: false },
  ],
  force: false,
  field: 0,
};
const contextOf = (live: LiveState = ready): KeyContext => ({
  live,
  baselines: ["wanda-sp", "flap"],
  newForm: () => form,
  page: 8,
});
const text = (letter: string): Key => ({ type: "text", text: letter });
const ui = (part: Partial<UiState> = {}): UiState => ({ ...firstUi, ...part });
const actionsOf = (key: Key, live?: LiveState, state = ui()): readonly Action[] =>
  press(state, key, contextOf(live)).actions;

/** Presses keys one after the other. */
function pressed(keys: readonly Key[], state = ui(), live = ready): Outcome {
  let outcome: Outcome = { ui: state, actions: [] };
  for (const key of keys) {
    const next = press(outcome.ui, key, contextOf(live));
    outcome = { ui: next.ui, actions: [...outcome.actions, ...next.actions] };
  }
  return outcome;
}

Deno.test("press() moves the sparsity with arrows, by more with shift or brackets", () => {
  const moved = (key: Key) => {
    const [action] = actionsOf(key);
    assert(action.type === "change" && action.change.type === "sparsity");
    return action.change.by;
  };
  assertEquals(moved({ type: "left" }), -0.01);
  assertEquals(moved({ type: "right" }), 0.01);
  assertEquals(moved({ type: "left", shift: true }), -0.05);
  assertEquals(moved({ type: "right", shift: true }), 0.05);
  assertEquals([moved(text("[")), moved(text("]"))], [-0.05, 0.05]);
});

Deno.test("press() walks layers and stops at the ends", () => {
  const layer = (...keys: readonly Key["type"][]) =>
    pressed(keys.map((type) => ({ type }) as Key)).ui.layer;
  assertEquals(layer("down", "down", "up"), 1);
  assertEquals(layer("up"), 0);
  assertEquals(layer("page-down"), 8);
  assertEquals(layer("page-down", "page-down"), 11);
  assertEquals(layer("end", "down"), 11);
  assertEquals(layer("end", "page-up", "home"), 0);
});

Deno.test("press() asks the session for what every letter means", () => {
  const change = (letter: string) => {
    const [action] = actionsOf(text(letter), ready, ui({ layer: 5 }));
    return action.type === "change" ? action.change : undefined;
  };
  assertEquals(change("s"), { type: "structures" });
  assertEquals(change("m"), { type: "modules" });
  assertEquals(change("b"), { type: "metric" });
  assertEquals(change("r"), { type: "refit" });
  assertEquals(change("u"), { type: "shape" });
  assertEquals(change("p"), { type: "protect", layer: 5 });
  assertEquals(change("+"), { type: "budget", layer: 5, direction: 1 });
  assertEquals(change("-"), { type: "budget", layer: 5, direction: -1 });
  assertEquals(actionsOf(text("z")), [{ type: "undo" }]);
  assertEquals(actionsOf(text("Z")), [{ type: "redo" }]);
  assertEquals(actionsOf(text("e")), [{ type: "measure" }]);
  assertEquals(actionsOf(text("a")), [{ type: "measuring", on: false }]);
});

Deno.test("press() goes round the baselines and back to none", () => {
  const next = (baseline: LiveState["baseline"]) => actionsOf(text("c"), { ...ready, baseline });
  assertEquals(next(undefined), [{ type: "compare", baseline: "wanda-sp" }]);
  assertEquals(next("wanda-sp"), [{ type: "compare", baseline: "flap" }]);
  assertEquals(next("flap"), [{ type: "compare", baseline: undefined }]);
});

Deno.test("press() asks before quitting where something was chosen and not written", () => {
  assertEquals(actionsOf(text("q")), [{ type: "quit" }]);
  const unsaved = { ...ready, unsaved: true };
  const asked = press(ui(), text("q"), contextOf(unsaved));
  assertEquals([asked.ui.overlay?.type, asked.actions.length], ["quit", 0]);
  assertEquals(pressed([text("q"), text("n")], ui(), unsaved).ui.overlay, undefined);
  assertEquals(pressed([text("q"), text("y")], ui(), unsaved).actions, [{ type: "quit" }]);
  assertEquals(pressed([text("q"), text("w")], ui(), unsaved).ui.overlay?.type, "write");
  const writing = { ...ready, activity: { kind: "write" as const, label: "writing" } };
  assertEquals(press(ui(), text("q"), contextOf(writing)).ui.overlay?.type, "quit");
});

Deno.test("press() quits at once on ctrl-C, wherever it is pressed", () => {
  for (const phase of ["opening", "calibrating", "paused", "ready", "failed"] as const) {
    assertEquals(actionsOf({ type: "interrupt" }, { ...ready, phase, unsaved: true }), [
      { type: "quit" },
    ]);
  }
  const typing = ui({ overlay: { type: "prompt", prompt: "x" } });
  assertEquals(actionsOf({ type: "interrupt" }, ready, typing), [{ type: "quit" }]);
});

Deno.test("press() pauses and resumes a calibration with the space bar", () => {
  assertEquals(actionsOf(text(" "), { ...ready, phase: "calibrating" }), [{ type: "pause" }]);
  assertEquals(actionsOf(text(" "), { ...ready, phase: "paused" }), [{ type: "resume" }]);
  assertEquals(actionsOf(text("s"), { ...ready, phase: "calibrating" }), []);
});

Deno.test("press() samples the prompt that was typed", () => {
  const keys = [text("g"), { type: "backspace" } as Key, text("s"), text("!"), {
    type: "enter",
  } as Key];
  const { ui: after, actions } = pressed(keys);
  assertEquals(actions, [{ type: "sample", prompt: "Once upon a tims!" }]);
  assertEquals(after.overlay, { type: "sample" });
  assertEquals(press(after, { type: "escape" }, contextOf()).actions, [{ type: "close-sample" }]);
  // Letters of a prompt are no commands.
  assertEquals(pressed([text("g"), text("q"), text("u")]).actions, []);
});

Deno.test("press() writes the form on Enter and forgets it on Esc", () => {
  assertEquals(pressed([text("w"), { type: "enter" }]).actions, [{ type: "write", form }]);
  const escaped = pressed([text("w"), { type: "escape" }]);
  assertEquals([escaped.ui.overlay, escaped.actions], [undefined, []]);
});

Deno.test("press() never throws, and never leaves the layers, whatever is pressed", () => {
  const key: fc.Arbitrary<Key> = fc.oneof(
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 2 }).map(text),
    fc.constantFrom("left", "right", "up", "down", "page-up", "page-down", "home", "end")
      .map((type) => ({ type })),
    fc.constantFrom("enter", "escape", "backspace", "tab").map((type) => ({ type })),
  );
  fc.assert(fc.property(fc.array(key, { maxLength: 60 }), (keys) => {
    const { layer } = pressed(keys).ui;
    assert(layer >= 0 && layer < layers.length);
  }));
});

Deno.test("changeForm() edits the path, turns storages and keeps one format chosen", () => {
  const change = (keys: readonly Key[], start = form) => keys.reduce(changeForm, start);
  const down: Key = { type: "down" }, right: Key = { type: "right" }, left: Key = { type: "left" };
  assertEquals(change([down, text("/x"), { type: "backspace" }]).folder, "out/");
  assertEquals(change([down, down, right]).formats[0].storage, 1);
  assertEquals(change([down, down, text(" ")]).formats[0].chosen, true);
  const both = change([down, down, down, left]);
  assertEquals([both.formats[1].chosen, both.formats[1].storage], [true, 2]);
  assertEquals(change([{ type: "up" }, text(" ")], both).formats[1].chosen, true);
  assertEquals(change([{ type: "up" }, text(" ")]).force, true);
  const plan = change([right]);
  assertEquals(formFields(plan).map(({ type }) => type), ["what", "path", "force"]);
  assertEquals(change([down, text("x")], plan).planFile, "out.jsonx");
});

Deno.test("pressWizard() takes three Enters for an answer", () => {
  let state = firstWizard([]);
  const enter: Key = { type: "enter" };
  state = pressWizard(state, enter).state;
  state = pressWizard(state, enter).state;
  assertEquals(
    pressWizard(state, enter).result,
    {
      model: undefined,
      textFolder: undefined,
      structures: ["ffn", "heads"],
    } as unknown as ReturnType<typeof pressWizard>["result"],
  );
});

Deno.test("pressWizard() offers recent models first, takes what is typed, and goes back", () => {
  const type = (letters: string) => [...letters].map(text);
  const run = (keys: readonly Key[]) => {
    let state = firstWizard(["org/name"]);
    let outcome = pressWizard(state, keys[0]);
    for (const key of keys.slice(1)) {
      state = outcome.state;
      outcome = pressWizard(state, key);
    }
    return outcome;
  };
  const enter: Key = { type: "enter" }, down: Key = { type: "down" };
  assertEquals(run([enter, enter, down, enter]).result?.model, "org/name");
  assertEquals(run([enter, enter, down, enter]).result?.structures, ["ffn"]);
  const typed = [down, down, enter, ...type("./m"), enter, down, enter, ...type("t"), enter, enter];
  assertEquals(run(typed).result, { model: "./m", textFolder: "t", structures: ["ffn", "heads"] });
  assertEquals(run([enter, { type: "escape" }]).state.step, 0);
  assertEquals(run([down, down, enter, enter]).state.typing?.text, "");
  assertEquals(run([text("q")]).quits, true);
});

Deno.test("firstWizard() leaves out what the command line has answered", () => {
  const state = firstWizard([], undefined, ["texts", "structures"]);
  assertEquals(state.questions.length, 1);
  const { result } = pressWizard(state, { type: "enter" });
  assertEquals(result, { model: undefined } as unknown as typeof result);
});
