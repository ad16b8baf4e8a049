import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { repositoryOf, startFakeHub } from "../helpers/fake-hub.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { withRandomModel } from "../helpers/random-model.ts";

const project = fileURLToPath(new URL("../../", import.meta.url));
const token = "hf_S3cretS3cretS3cretS3cret";

/** What the task of deno.json runs, with the loopback hub's address in place of the true one's. */
async function gprune(
  args: readonly string[],
  options: { readonly hub: string; readonly folder: string; readonly hosts?: string },
): Promise<{ readonly code: number; readonly said: string }> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${project}deno.json`));
  const words: string[] = tasks.main.split(" ").slice(1);
  const hosts = options.hosts ?? new URL(options.hub).host;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...words.map((word) => word.startsWith("--allow-net=") ? `--allow-net=${hosts}` : word),
      ...args,
    ],
    cwd: project,
    env: {
      NO_COLOR: "1",
      HF_ENDPOINT: options.hub,
      HF_TOKEN: token,
      GPRUNE_CACHE: `${options.folder}/cache`,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder();
  return { code, said: text.decode(stdout) + text.decode(stderr) };
}

/** Everything that a run left behind, names and contents. */
async function everythingIn(folder: string): Promise<string> {
  let all = "";
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    all += `${entry.name}\n`;
    all += entry.isDirectory
      ? await everythingIn(path)
      : new TextDecoder("latin1").decode(await Deno.readFile(path));
  }
  return all;
}

Deno.test("a token reaches the hub and no output, report, card, cache or error", async () => {
  await withRandomModel({}, async (model) => {
    const repository = { ...await repositoryOf(model), token };
    await using hub = startFakeHub({
      "org/small": repository,
      "org/closed": { ...repository, status: 403 },
      "org/wrong": { ...repository, token: "hf_another" },
      "org/broken": { ...repository, status: 418 },
    });
    await withTemporaryFolder(async (folder) => {
      const settings = { hub: hub.url, folder };
      const done = await gprune(
        ["export", "org/small", "--out", `${folder}/out`, "--debug"],
        settings,
      );
      assertEquals(done.code, 0, done.said);
      assert(hub.requests.some(({ authorization }) => authorization === `Bearer ${token}`));
      let said = done.said;
      for (const id of ["org/closed", "org/wrong", "org/broken", "org/none"]) {
        const failed = await gprune(["inspect", id, "--debug"], settings);
        assertEquals(failed.code, 1, failed.said);
        said += failed.said;
      }
      const refused = await gprune(["inspect", "org/small", "--debug", "--revision", "x"], {
        ...settings,
        hosts: "huggingface.co",
      });
      assertEquals(refused.code, 1);
      assert(refused.said.includes("--allow-net of the task in deno.json"), refused.said);
      said += refused.said;
      said += (await gprune(["doctor", "--json"], settings)).said;
      assert(said.includes("HF_TOKEN"));
      assert(!said.includes(token) && !said.includes("S3cret"), said);
      assert(!(await everythingIn(folder)).includes("S3cret"));
    });
  });
});
