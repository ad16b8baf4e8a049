/**
 * Records a live session on the embedded model in a real terminal, as a new user would go through it: the frames as
 * text, and the main screen as a picture for the README.
 *
 * ```sh
 * deno run -A bench/live_session.ts
 * ```
 * @module
 */
import { fileURLToPath } from "node:url";
import { Tmux } from "../tests/helpers/tmux.ts";
import { terminalSvg } from "./terminal_svg.ts";

const project = fileURLToPath(new URL("../", import.meta.url));
const results = `${project}bench/session`;
const size = { columns: 120, rows: 36 } as const;

const folder = await Deno.makeTempDir({ prefix: "gprune-recording-" });
const terminal = await Tmux.start({
  command: [Deno.execPath(), "run", "-A", "-q", `${project}main.ts`, "tui"],
  ...size,
  folder,
  environment: { GPRUNE_CACHE: `${folder}/cache`, NO_COLOR: "" },
});
const start = performance.now();
const frames: string[] = [];

/** Keeps what is on the screen, and says when that was. */
async function frame(what: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 400));
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const screen = (await terminal.screen()).trimEnd().replaceAll(folder, "~");
  frames.push(`=== ${seconds} s: ${what}\n\n${screen}\n`);
  console.log(`${seconds} s: ${what}`);
}

try {
  await terminal.until(/Which model/);
  await frame("gprune tui asks which model");
  await terminal.press("Enter", "Enter");
  await frame("what may be cut");
  await terminal.press("Enter");
  await terminal.until(/Running texts, layer by layer +█/);
  await frame("calibrating");
  await terminal.until(/▸ 30 %/, 900);
  await terminal.until(/dense +1\.\d/, 600);
  await frame("the main screen: predictions before the first measurement");
  await terminal.press("u", "S-Right", "S-Right", "Down", "Down");
  await terminal.until(/▸ 40 %[ …] +\d[^~\n]*\n/, 900);
  await frame("adaptive, 40 %: measured");
  await terminal.press("c");
  // Six texts, the ratio, the baseline's ratio.
  await terminal.until(/▸ 40 %[ …](?: +[\d.]+){8} +\d/, 900);
  await terminal.until(/ 50 %[ …](?: +[\d.]+){8} +\d/, 900);
  await frame("compared with Wanda-sp; other rows filled in");
  await Deno.mkdir(results, { recursive: true });
  const picture = terminalSvg(
    await terminal.screen({ styles: true }),
    size,
    "The live session of gprune on its embedded model",
  );
  await Deno.writeTextFile(`${results}/screen.svg`, picture);
  await terminal.press("x");
  await frame("the command that does the same");
  await terminal.press("Escape", "g", "Enter");
  await terminal.until(/^g another prompt/m, 600);
  await frame("a prompt continued by both models");
  await terminal.press("Escape", "w");
  await frame("what to write");
  await terminal.press("Enter");
  await terminal.until(/Written to/, 900);
  await frame("written");
  await terminal.press("q");
  await terminal.until(/EXIT/, 30);
  await frame("the end");
  await Deno.writeTextFile(`${results}/frames.txt`, frames.join("\n"));
} finally {
  await terminal.close();
  await Deno.remove(folder, { recursive: true });
}
