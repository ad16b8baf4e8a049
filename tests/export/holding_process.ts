/** A process that holds the lock of the output that it is given, in the middle of writing, until it is killed. */
import { writeFolder } from "../../core/export/folder.ts";
import { withOutputLock } from "../../core/export/lock.ts";

const [out] = Deno.args;
await withOutputLock(out, {}, () =>
  writeFolder(out, { force: true }, async (partial) => {
    await Deno.writeTextFile(`${partial}/half.txt`, "half");
    console.log("holding");
    await new Promise(() => setInterval(() => {}, 1000));
  }));
