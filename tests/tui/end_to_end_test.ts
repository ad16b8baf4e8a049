import { assert, assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../../", import.meta.url));
/** The embedded model is made by its recipe; without it there is nothing to run on. */
const ignore = !exists(`${project}models/tiny/config.json`);
const small = ["--samples", "4", "--seq-len", "64", "--eval-windows", "2"];

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function start(args: readonly string[], folder: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", "--cwd", project, "gprune", ...args],
    env: { NO_COLOR: "1", INIT_CWD: folder },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function gprune(
  folder: string,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const { code, stdout, stderr } = await start(args, folder).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "gprune prune writes the report that --json prints, where the user typed",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const { code, out, err } = await gprune(folder, "prune", ...small, "--out", "o", "--json");
      assertEquals(code, 0, err);
      const report = JSON.parse(out);
      assertEquals(report.schema, "gprune.report/1");
      assertEquals(JSON.parse(await Deno.readTextFile(`${folder}/o/report.json`)), report);
      assert(Math.abs(report.result.sparsity - 0.3) < 0.06, String(report.result.sparsity));
      assert(report.perplexity.every((row: { pruned: number }) => Number.isFinite(row.pruned)));
      const again = await gprune(folder, "prune", ...small, "--out", "o");
      assert(again.code === 1 || again.code === 2);
      assertMatch(again.err.trimEnd().split("\n").at(-1) ?? "", /^error: .*--force/);
    }),
});

Deno.test({
  name: "gprune calibrate, plan, apply and evaluate follow each other",
  ignore,
  fn: () =>
    inFolder(async (folder) => {
      const steps = [
        ["calibrate", "--samples", "4", "--seq-len", "64", "--save", "s.stats"],
        ["plan", "--stats", "s.stats", "--sparsity", "0.4", "--save", "p.json"],
        ["apply", "--plan", "p.json", "--stats", "s.stats", "--out", "o"],
        ["evaluate", "./o", "--seq-len", "64", "--eval-windows", "2"],
        ["inspect", "./o"],
        ["export", "./o", "--dtype", "bf16", "--out", "half"],
      ];
      for (const step of steps) {
        const { code, out, err } = await gprune(folder, ...step);
        assertEquals(code, 0, `${step[0]}: ${err}`);
        assert(out.length > 0);
      }
      assert(exists(`${folder}/o/config.json`) && exists(`${folder}/half/config.json`));
    }),
});

Deno.test({
  name: "gprune prune exits 130 on SIGINT and leaves no output folder",
  ignore: ignore || Deno.build.os === "windows",
  fn: () =>
    inFolder(async (folder) => {
      // Without the task in between, so that the signal reaches the program itself.
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", `${project}main.ts`, "prune", "--samples", "64", "--out", "o"],
        cwd: folder,
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).spawn();
      const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
      let err = (await reader.read()).value ?? "";
      child.kill("SIGINT");
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        err += next.value;
      }
      assertEquals((await child.status).code, 130, err);
      assertMatch(err, /Interrupted; go on with --resume\n$/);
      assert(!exists(`${folder}/o`));
    }),
});

Deno.test({
  name: "gprune names a model that is not there, in one sentence",
  fn: () =>
    inFolder(async (folder) => {
      const { code, err } = await gprune(folder, "inspect", "./nowhere");
      assertEquals(code, 1);
      assertEquals(err.trimEnd().split("\n").length, 1);
      assert(err.includes(`${folder}/nowhere`), err);
    }),
});

Deno.test("gprune ends quietly where nobody reads its output", async () => {
  const child = start(["help", "prune"], project);
  await child.stdout.cancel();
  const err = await new Response(child.stderr).text();
  assertEquals([(await child.status).code, err], [0, ""]);
});
