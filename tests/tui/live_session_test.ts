import { assert, assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { embeddedIsMissing } from "../helpers/embedded.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { Tmux, tmuxIsMissing } from "../helpers/tmux.ts";

const project = fileURLToPath(new URL("../../", import.meta.url));
const withoutTmux = tmuxIsMissing();
const ignore = embeddedIsMissing() || withoutTmux;
const program = [Deno.execPath(), "run", "-A", "-q", `${project}main.ts`];
const small = ["--samples", "4", "--seq-len", "64", "--eval-windows", "2"];

function start(folder: string, args: readonly string[]): Promise<Tmux> {
  return Tmux.start({
    command: [...program, ...args],
    columns: 80,
    rows: 24,
    folder,
    environment: { GPRUNE_CACHE: `${folder}/cache` },
  });
}

/** The terminal as it was: its own screen, a cursor, lines that are echoed. */
async function assertRestored(terminal: Tmux): Promise<void> {
  assertEquals([await terminal.value("alternate_on"), await terminal.value("cursor_flag")], [
    "0",
    "1",
  ]);
  const screen = await terminal.until(/icanon/);
  assertMatch(screen, /^icanon\s*$/m);
  assertMatch(screen, /^echo\s*$/m);
}

Deno.test({
  name: "gprune tui in a terminal: three Enters, arrows, a measurement, a written model, the end",
  ignore,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const terminal = await start(folder, ["tui", ...small]);
      try {
        await terminal.until(/1 of 3.*Which model/);
        await terminal.press("Enter", "Enter", "Enter");
        await terminal.until(/Calibrating/);
        await terminal.until(/▸ 30 %/);
        await terminal.press("u", "Right", "Right", "Down", "S-Right", "Left");
        await terminal.until(/Cut 36 %.*adaptive/);
        await terminal.until(/Layer 1 of 0–5/);
        // Measured: the row of the choice without the sign of a prediction.
        await terminal.until(/▸ 36 %[ …] +\d[^~\n]*\n/);
        await terminal.resize(120, 40);
        await terminal.until(/Perplexity ratio against cut/);
        await terminal.resize(60, 20);
        await terminal.until(/needs 80 × 24/);
        await terminal.resize(80, 24);
        await terminal.until(/▸ 36 %/);
        await terminal.press("w", "Down");
        for (let at = 0; at < "gprune-out/tiny-0.36".length; at++) await terminal.press("BSpace");
        await terminal.type("mine");
        await terminal.until(/Folder +mine/);
        await terminal.press("Enter");
        await terminal.until(/Written to .*mine/);
        await terminal.press("q");
        const end = await terminal.until(/EXIT/);
        assertMatch(end, /EXIT 0/);
        await assertRestored(terminal);
        // The command that was printed makes the same files.
        const [, command] = /\n {2}gprune (prune [\s\S]*?)\nEXIT/.exec(end)!;
        const words = command.replaceAll("\n", "").split(" ");
        assertEquals(words.at(-1), "mine");
        const { code, stderr } = await new Deno.Command(program[0], {
          args: [...program.slice(1), ...words.slice(0, -1), "other", "--quiet"],
          cwd: folder,
          env: { GPRUNE_CACHE: `${folder}/cache` },
          stdout: "null",
        }).output();
        assertEquals(code, 0, new TextDecoder().decode(stderr));
        const weights = (name: string) => Deno.readFile(`${folder}/${name}/model.safetensors`);
        assertEquals(await weights("mine"), await weights("other"));
        const report = async (name: string) =>
          JSON.parse(await Deno.readTextFile(`${folder}/${name}/report.json`));
        const [mine, other] = [await report("mine"), await report("other")];
        assertEquals(mine.perplexity, other.perplexity);
        assertEquals([mine.request.sparsity, mine.request.shape], [0.36, "adaptive"]);
        assert(mine.perplexity.every(({ pruned }: { pruned: number }) => pruned > 1));
      } finally {
        await terminal.close();
      }
    }),
});

Deno.test({
  name: "gprune tui leaves the terminal as it was on ctrl-C in the middle of a calibration",
  ignore,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const terminal = await start(folder, ["tui", "embedded"]);
      try {
        await terminal.until(/Sampling the model's own words +█/);
        assertEquals(await terminal.value("alternate_on"), "1");
        await terminal.press("C-c");
        assertMatch(await terminal.until(/EXIT/), /EXIT 130/);
        await assertRestored(terminal);
      } finally {
        await terminal.close();
      }
    }),
});

Deno.test({
  name: "gprune tui says what is wrong with a model and asks again",
  ignore,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      const terminal = await start(folder, ["tui", "./nowhere"]);
      try {
        assertMatch(await terminal.until(/did not work/), /nowhere/);
        await terminal.press("Enter");
        await terminal.until(/1 of 3.*Which model/);
        await terminal.press("q");
        assertMatch(await terminal.until(/EXIT/), /EXIT 0/);
      } finally {
        await terminal.close();
      }
    }),
});

for (
  const [key, what, message] of [
    ["d", "the screen cannot be drawn", "The screen broke"],
    ["t", "something else breaks", "Something broke in between"],
  ]
) {
  Deno.test({
    name: `gprune tui leaves the terminal as it was where ${what}`,
    ignore: withoutTmux,
    fn: () =>
      withTemporaryFolder(async (folder) => {
        const script = fileURLToPath(new URL("crashing_screen.ts", import.meta.url));
        const terminal = await Tmux.start({
          command: [Deno.execPath(), "run", "-A", "-q", "--config", `${project}deno.json`, script],
          columns: 80,
          rows: 24,
          folder,
        });
        try {
          await terminal.until(/All is well/);
          assertEquals(await terminal.value("alternate_on"), "1");
          await terminal.press(key);
          const screen = await terminal.until(/EXIT/);
          assertMatch(screen, /EXIT 1/);
          assert(screen.includes(`ended with ${message}`), screen);
          await assertRestored(terminal);
        } finally {
          await terminal.close();
        }
      }),
  });
}
