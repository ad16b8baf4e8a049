import { assert, assertEquals, assertRejects } from "@std/assert";
import { CancelledError, ExportError, ModelError, OptionError } from "../../core/errors.ts";
import { hashFiles, writeFolder } from "../../core/export/folder.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const names = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
const put = (text: string) => (partial: string) => Deno.writeTextFile(`${partial}/file.txt`, text);

Deno.test("writeFolder() makes the folder, and the folders above it, at the end", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = `${folder}/a/b/result/`;
    const answer = await writeFolder(out, {}, async (partial) => {
      await put("new")(partial);
      assertEquals(names(`${folder}/a/b`).some((name) => name === "result"), false);
      return 42;
    });
    assertEquals(answer, 42);
    assertEquals(names(`${folder}/a/b`), ["result"]);
    assertEquals(await Deno.readTextFile(`${out}/file.txt`), "new");
  });
});

Deno.test("writeFolder() leaves nothing behind when the work fails in the middle", async () => {
  await withTemporaryFolder(async (folder) => {
    const failure = new ModelError("Cannot read it");
    const thrown = await assertRejects(
      () =>
        writeFolder(`${folder}/a/result`, {}, async (partial) => {
          await put("half")(partial);
          throw failure;
        }),
      ModelError,
    );
    assertEquals(thrown as unknown, failure);
    assertEquals(names(folder), []);
  });
});

Deno.test("writeFolder() refuses an existing folder without force, before any work", async () => {
  await withTemporaryFolder(async (folder) => {
    await writeFolder(`${folder}/result`, {}, put("old"));
    let worked = false;
    await assertRejects(
      () =>
        writeFolder(`${folder}/result`, {}, () => {
          worked = true;
          return Promise.resolve();
        }),
      OptionError,
      "--force",
    );
    assert(!worked);
    assertEquals(await Deno.readTextFile(`${folder}/result/file.txt`), "old");
  });
});

Deno.test("writeFolder() with force swaps the old folder out whole, and only at the end", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = `${folder}/result`;
    await writeFolder(out, {}, async (partial) => {
      await put("old")(partial);
      await Deno.writeTextFile(`${partial}/only-old.txt`, "");
    });
    await assertRejects(
      () =>
        writeFolder(out, { force: true }, async (partial) => {
          await put("half")(partial);
          throw new TypeError("broken");
        }),
      ExportError,
      "broken",
    );
    assertEquals(names(out), ["file.txt", "only-old.txt"]);
    await writeFolder(out, { force: true }, async (partial) => {
      await put("new")(partial);
      assertEquals(await Deno.readTextFile(`${out}/file.txt`), "old");
    });
    assertEquals(names(folder), ["result"]);
    assertEquals(names(out), ["file.txt"]);
    assertEquals(await Deno.readTextFile(`${out}/file.txt`), "new");
  });
});

Deno.test("writeFolder() restores the old folder when the new one cannot take its place", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = `${folder}/result`;
    await writeFolder(out, {}, put("old"));
    await assertRejects(
      // A work that takes away its own folder makes the last renaming fail.
      () => writeFolder(out, { force: true }, (partial) => Deno.remove(partial)),
      ExportError,
    );
    assertEquals(names(folder), ["result"]);
    assertEquals(await Deno.readTextFile(`${out}/file.txt`), "old");
  });
});

Deno.test("writeFolder() does not take a folder that something else made in the meantime", async () => {
  await withTemporaryFolder(async (folder) => {
    const out = `${folder}/result`;
    await assertRejects(
      () => writeFolder(out, {}, () => Deno.mkdir(out)),
      ExportError,
      "in the meantime",
    );
    assertEquals(names(out), []);
    assertEquals(names(folder), ["result"]);
  });
});

Deno.test("writeFolder() follows a link to the folder that it replaces", async () => {
  await withTemporaryFolder(async (folder) => {
    await Deno.mkdir(`${folder}/real`);
    await Deno.symlink(`${folder}/real`, `${folder}/link`);
    await writeFolder(`${folder}/link`, { force: true }, put("new"));
    assertEquals(await Deno.readTextFile(`${folder}/real/file.txt`), "new");
    assert((await Deno.lstat(`${folder}/link`)).isSymlink);
  });
});

Deno.test("writeFolder() stays away when it is cancelled, even at the very end", async () => {
  await withTemporaryFolder(async (folder) => {
    const controller = new AbortController();
    await assertRejects(
      () =>
        writeFolder(`${folder}/result`, { signal: controller.signal }, async (partial) => {
          await put("new")(partial);
          controller.abort();
        }),
      CancelledError,
    );
    assertEquals(names(folder), []);
  });
});

Deno.test("writeFolder() says in one sentence what is wrong with the place", async () => {
  await withTemporaryFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/file`, "");
    const under = `${folder}/file/deep/result`;
    const place = await assertRejects(() => writeFolder(under, {}, put("")), ExportError);
    assertEquals(
      (place as unknown as Error).message,
      `Cannot write to '${under}': '${folder}/file' is a file; choose another folder`,
    );
    const force = { force: true };
    await assertRejects(() => writeFolder(`${folder}/file`, force, put("")), OptionError, "a file");
    await assertRejects(() => writeFolder(" ", {}, put("")), OptionError, "give the name");
    for (const here of [".", "..", "/"]) {
      await assertRejects(() => writeFolder(here, force, put("")), OptionError, "current folder");
    }
    assertEquals(names(folder), ["file"]);
  });
});

Deno.test("writeFolder() tells a full disk and a missing permission in words", async () => {
  await withTemporaryFolder(async (folder) => {
    const full = Object.assign(new Error("os error 28"), { code: "ENOSPC" });
    const failing = (error: Error) =>
      writeFolder(`${folder}/result`, {}, () => Promise.reject(error));
    await assertRejects(() => failing(full), ExportError, "the disk is full");
    const denied = new Deno.errors.PermissionDenied("os error 13");
    await assertRejects(() => failing(denied), ExportError, "no permission");
    assertEquals(names(folder), []);
  });
});

Deno.test({
  name:
    "writeFolder() cannot write where the system forbids it (skipped for root, whom nothing is forbidden)",
  ignore: Deno.uid() === 0 || Deno.build.os === "windows",
  fn: () =>
    withTemporaryFolder(async (folder) => {
      await Deno.chmod(folder, 0o500);
      try {
        await assertRejects(
          () => writeFolder(`${folder}/result`, {}, put("")),
          ExportError,
          "no permission",
        );
      } finally {
        await Deno.chmod(folder, 0o700);
      }
    }),
});

Deno.test("hashFiles() lists the files of all folders with size and SHA-256", async () => {
  await withTemporaryFolder(async (folder) => {
    await Deno.mkdir(`${folder}/onnx`);
    await Deno.writeTextFile(`${folder}/onnx/b.txt`, "abc");
    await Deno.writeTextFile(`${folder}/a.txt`, "");
    assertEquals(await hashFiles(folder), [
      {
        path: "a.txt",
        bytes: 0,
        sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      },
      {
        path: "onnx/b.txt",
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      },
    ]);
    await assertRejects(() => hashFiles(`${folder}/none`), ExportError, "none");
  });
});
