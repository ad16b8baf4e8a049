import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ExportError } from "../../core/errors.ts";
import { withOutputLock } from "../../core/export/lock.ts";
import { writeFolder } from "../../core/export/folder.ts";
import { exportJob } from "../../core/session.ts";
import { embeddedIsMissing } from "../helpers/embedded.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const names = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
const nothing = () => Promise.resolve();

/** Starts a process that holds the lock of an output, and kills it when the work with it is done. */
async function whileHeld(out: string, work: (process: number) => Promise<void>): Promise<void> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", new URL("./holding_process.ts", import.meta.url).href, out],
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.getReader();
  try {
    const { value } = await reader.read();
    assertEquals(new TextDecoder().decode(value), "holding\n");
    await work(process.pid);
  } finally {
    process.kill("SIGKILL");
    await process.status;
    await reader.cancel();
  }
}

Deno.test("withOutputLock() refuses a second run on the same output, by whatever name, and leaves nothing", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = `${folder}/a/b/result`;
    await withOutputLock(out, {}, async () => {
      await Deno.symlink(`${folder}/a`, `${folder}/link`);
      for (const name of [out, `${out}/`, `${folder}/a/../a/b/result`, `${folder}/link/b/result`]) {
        const error = await assertRejects(() => withOutputLock(name, {}, nothing), ExportError);
        assertMatch(error.message, /another run \(process \d+ on '.+'\) is at work/);
      }
      // Another output in the same folder is no one's.
      await withOutputLock(`${folder}/a/b/other`, {}, nothing);
    });
    assertEquals(names(folder), ["link"]);
    const notes: string[] = [];
    await withOutputLock(out, { onNote: (note) => notes.push(note) }, nothing);
    assertEquals(notes, []);
  });
});

Deno.test("withOutputLock() is released when the work fails", async () => {
  await withTemporaryFolder(async (folder) => {
    const fail = () => Promise.reject(new RangeError("broken"));
    await assertRejects(() => withOutputLock(`${folder}/result`, {}, fail), RangeError, "broken");
    assertEquals(await withOutputLock(`${folder}/result`, {}, () => Promise.resolve(7)), 7);
    assertEquals(names(folder), []);
  });
});

Deno.test("withOutputLock() keeps processes apart, and takes over what a killed one held", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = `${folder}/result`;
    await whileHeld(out, async (process) => {
      const error = await assertRejects(() => withOutputLock(out, {}, nothing), ExportError);
      assert(error.message.includes(`process ${process} `), error.message);
    });
    assertEquals(names(folder).length, 2, "a lock and a half-made folder are left by the kill");
    const notes: string[] = [];
    await withOutputLock(out, { onNote: (note) => notes.push(note) }, async () => {
      assertEquals(names(folder), [".result.lock"]);
      await Promise.resolve();
    });
    assertEquals(names(folder), []);
    assertEquals(notes.length, 1);
    assertMatch(notes[0], /^An earlier run \(process \d+ on '.+'\) did not end cleanly/);
  });
});

Deno.test("withOutputLock() puts back a folder that a kill caught in the middle of its replacement", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = `${folder}/result`;
    await Deno.mkdir(`${folder}/.result.old-0123abcd`);
    await Deno.writeTextFile(`${folder}/.result.old-0123abcd/file.txt`, "whole");
    await Deno.mkdir(`${folder}/.result.partial-0123abcd`);
    await Deno.mkdir(`${folder}/.result.partial-mine`);
    const notes: string[] = [];
    const failure = () => Promise.reject(new ExportError("Cannot go on"));
    await assertRejects(
      () => withOutputLock(out, { onNote: (note) => notes.push(note) }, failure),
      ExportError,
    );
    assertEquals(names(folder), [".result.partial-mine", "result"]);
    assertEquals(await Deno.readTextFile(`${out}/file.txt`), "whole");
    assertMatch(notes[0], /killed while it replaced/);
    // The old folder of a replacement that came about is of no more use.
    await Deno.mkdir(`${folder}/.result.old-0123abcd`);
    await withOutputLock(out, {}, nothing);
    assertEquals(await Deno.readTextFile(`${out}/file.txt`), "whole");
    assertEquals(names(folder), [".result.partial-mine", "result"]);
  });
});

Deno.test("withOutputLock() lets one of many at a time through", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = `${folder}/result`;
    let inside = 0;
    const run = () =>
      withOutputLock(out, {}, async () => {
        assertEquals(++inside, 1);
        await writeFolder(
          out,
          { force: true },
          (path) => Deno.writeTextFile(`${path}/file.txt`, "x"),
        );
        inside--;
      });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, run));
    assert(outcomes.some(({ status }) => status === "fulfilled"));
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") {
        assert(outcome.reason instanceof ExportError, outcome.reason.stack);
      }
    }
    assertEquals(names(folder), ["result"]);
  });
});

Deno.test({
  name: "jobs that write refuse an output that another process is at work on",
  ignore: embeddedIsMissing(),
  fn: async () => {
    await withTemporaryFolder(async (folder) => {
      const out = `${folder}/result`;
      await whileHeld(out, async () => {
        await assertRejects(() => exportJob({ out }), ExportError, "is at work on it");
      });
      await exportJob({ out });
      assertEquals(names(folder), ["result"]);
    });
  },
});
