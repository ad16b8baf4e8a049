import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ExportError } from "../../core/errors.ts";
import { ScratchFile } from "../../core/engine/scratch_file.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

Deno.test("ScratchFile gives back what was last written at a place, waiting or not", async () => {
  const file = ScratchFile.open("test");
  try {
    await file.write(0, Uint8Array.of(1, 2, 3, 4));
    file.writeSync(2, Uint8Array.of(9));
    await file.write(4, Uint8Array.of(5, 6));
    const [waited, once] = [new Uint8Array(6), new Uint8Array(3)];
    await file.read(0, waited);
    file.readSync(1, once);
    assertEquals([...waited], [1, 2, 9, 4, 5, 6]);
    assertEquals([...once], [2, 9, 4]);
    await assertRejects(() => file.read(3, new Uint8Array(4)), ExportError, "shorter");
    assertThrows(() => file.readSync(6, new Uint8Array(1)), ExportError, "shorter");
  } finally {
    file.close();
  }
  file.close();
});

Deno.test("ScratchFile leaves nothing in TMPDIR, and what is open has no name where the system allows it", () =>
  withTemporaryFolder((folder) => {
    const before = Deno.env.get("TMPDIR");
    Deno.env.set("TMPDIR", folder);
    try {
      const file = ScratchFile.open("test");
      file.writeSync(0, new Uint8Array(10));
      if (Deno.build.os !== "windows") assertEquals([...Deno.readDirSync(folder)], []);
      file.close();
      assertEquals([...Deno.readDirSync(folder)], []);
      Deno.env.set("TMPDIR", `${folder}/missing`);
      assertThrows(() => ScratchFile.open("test"), ExportError, "TMPDIR");
    } finally {
      if (before === undefined) Deno.env.delete("TMPDIR");
      else Deno.env.set("TMPDIR", before);
    }
    return Promise.resolve();
  }));

Deno.test("ScratchFile says that the disk is full, and closes its file once", async () => {
  const full = () => {
    throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
  };
  let closed = 0;
  const file = new ScratchFile({
    seekSync: () => 0,
    write: () => Promise.resolve().then(full),
    writeSync: full,
    read: () => Promise.resolve(null),
    readSync: () => null,
    close: () => closed++,
  });
  const bytes = new Uint8Array(100);
  const error = await assertRejects(() => file.write(0, bytes), ExportError, "the disk is full");
  assert(error.message.includes("TMPDIR"));
  assertThrows(() => file.writeSync(0, bytes), ExportError, "the disk is full");
  file.close();
  file.close();
  assertEquals(closed, 1);
});
