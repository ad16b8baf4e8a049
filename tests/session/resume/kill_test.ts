import { assert, assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { join } from "@std/path";
import { Random } from "../../../core/random.ts";
import { assertSameResult } from "../../helpers/resume.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";

const main = fileURLToPath(new URL("../../../main.ts", import.meta.url));
const options = [
  ...["prune", "--samples", "4", "--seq-len", "64", "--eval-windows", "2", "--no-choice"],
  ...["--shape", "adaptive", "--sparsity", "0.4"],
];

interface Run {
  readonly code: number;
  readonly err: string;
}

/** A run of the embedded model in a process of its own, with a signal after a while, if it lasts that long. */
async function gprune(
  folder: string,
  args: readonly string[],
  interruption?: { readonly signal: Deno.Signal; readonly milliseconds: number },
): Promise<Run> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, ...options, ...args],
    cwd: folder,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const timer = interruption && setTimeout(() => {
    try {
      child.kill(interruption.signal);
    } catch {
      // It has ended by itself.
    }
  }, interruption.milliseconds);
  const err = await new Response(child.stderr).text();
  const { code } = await child.status;
  clearTimeout(timer);
  return { code, err };
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** An uninterrupted run, how long it took, and a folder for more. */
async function withPlain(
  use: (folder: string, plain: string, milliseconds: number) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    // The same command in both, since the card names it.
    const there = join(folder, "plain");
    await Deno.mkdir(there);
    const start = performance.now();
    const { code, err } = await gprune(there, ["--out", "o"]);
    assertEquals(code, 0, err);
    await use(folder, join(there, "o"), performance.now() - start);
  });
}

Deno.test({
  name:
    "gprune prune killed (-9) at random moments, interrupted by ctrl-C, and out of disk ends with the same bytes",
  ignore: Deno.build.os === "windows",
  fn: async (t) => {
    await withPlain(async (folder, plain, milliseconds) => {
      await t.step("kill -9", async () => {
        const random = Random.of("kills");
        const place = join(folder, "killed");
        await Deno.mkdir(place);
        let kills = 0;
        for (let run = 0;; run++) {
          // Every run is given more time than the one before, so that it ends at last.
          const limit = milliseconds * (0.2 + 0.2 * run) * (0.5 + random.next() / 2);
          const resume = run > 0 ? ["--resume"] : [];
          const { code, err } = await gprune(place, ["--out", "o", ...resume], {
            signal: "SIGKILL",
            milliseconds: limit,
          });
          if (code === 0) break;
          assertEquals(code, 137, err);
          assertEquals(await exists(join(place, "o")), false);
          kills++;
        }
        assert(kills >= 2, `${kills} kills`);
        await assertSameResult(join(place, "o"), plain, `${kills} kills`);
        const left = await Array.fromAsync(Deno.readDir(place));
        assertEquals(left.map(({ name }) => name), ["o"]);
      });
      await t.step("ctrl-C", async () => {
        const place = join(folder, "interrupted");
        await Deno.mkdir(place);
        const interruption = { signal: "SIGINT", milliseconds: milliseconds * 0.6 } as const;
        const { code, err } = await gprune(place, ["--out", "o"], interruption);
        if (code !== 0) assertMatch(err, /Interrupted; go on with --resume\n$/);
        if (code !== 0) assertEquals(code, 130);
        else await Deno.remove(join(place, "o"), { recursive: true });
        const again = await gprune(place, ["--out", "o", "--resume"]);
        assertEquals(again.code, 0, again.err);
        await assertSameResult(join(place, "o"), plain, "ctrl-C");
      });
      await t.step("a full disk", async () => {
        const disk = join(folder, "disk");
        await Deno.mkdir(disk);
        if (!await mount(disk, "6m")) {
          console.log("Left out: no small disk can be mounted here (that takes root on Linux)");
          return;
        }
        try {
          const { code, err } = await gprune(disk, ["--out", "o"]);
          assertEquals(code, 1, err);
          assertMatch(err, /the disk is full/);
          assertEquals(await exists(join(disk, "o")), false);
          assert(await mount(disk, "200m", "remount,"));
          const again = await gprune(disk, ["--out", "o", "--resume"]);
          assertEquals(again.code, 0, again.err);
          assert(!again.err.includes("Sampling"), "self was sampled again");
          await assertSameResult(join(disk, "o"), plain, "a full disk");
        } finally {
          await new Deno.Command("umount", { args: [disk] }).output();
        }
      });
    });
  },
});

/** Mounts a disk in memory, or gives one that is mounted another size. */
async function mount(path: string, size: string, how = ""): Promise<boolean> {
  try {
    const args = ["-t", "tmpfs", "-o", `${how}size=${size}`, "tmpfs", path];
    return (await new Deno.Command("mount", { args }).output()).success;
  } catch {
    return false;
  }
}
