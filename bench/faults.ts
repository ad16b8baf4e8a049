/**
 * `deno task faults`: kills, full disks, lost files, bad networks and broken workers, and what they leave. Prints a
 * table and writes it to `bench/FAULTS.md`.
 *
 *     deno task faults [--kills N] [--seed S] [--only WORD] [--no-write]
 * @module
 */
import { writeSafetensors } from "../core/model/safetensors_writer.ts";
import { readSafetensorsHeader } from "../core/model/safetensors.ts";
import { readTensorBytes } from "../core/model/tensor_reader.ts";
import { fillDisks, revokeWriting, spoilInput } from "./faults/disk.ts";
import type { FaultRow } from "./faults/harness.ts";
import { troubleDownloads } from "./faults/hub.ts";
import { type KilledRun, killRuns, raceRuns } from "./faults/kills.ts";
import { faultsPage } from "./faults/markdown.ts";
import { breakWorkers } from "./faults/worker.ts";

const option = (name: string, standIn: string) => {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? standIn : Deno.args[at + 1];
};
const kills = Number(option("kills", "50"));
const fewer = Math.max(2, Math.round(kills / 5));
const seed = Number(option("seed", "8"));
const only = option("only", "");

const embedded = new URL("../models/tiny", import.meta.url).pathname;
const small = ["--samples", "1", "--seq-len", "16", "--eval-windows", "1", "--no-self"];

/** Jobs on a model: the main one, and each export. */
function runsOn(input: string): readonly KilledRun[] {
  return [
    { name: "prune", args: ["prune", input, ...small], input, resumable: true },
    ...["hf", "onnx", "gguf"].map((format) => ({
      name: `export --format ${format}`,
      args: ["export", input, "--format", format],
      input,
      resumable: false,
    })),
  ];
}

/** The embedded model in two files of weights. */
async function writeShards(folder: string): Promise<string> {
  await Deno.mkdir(folder);
  for await (const { name, isFile } of Deno.readDir(embedded)) {
    if (isFile && name.endsWith(".json")) {
      await Deno.copyFile(`${embedded}/${name}`, `${folder}/${name}`);
    }
  }
  const { tensors } = await readSafetensorsHeader(`${embedded}/model.safetensors`);
  const map: Record<string, string> = {};
  for (const half of [0, 1]) {
    const name = `model-0000${half + 1}-of-00002.safetensors`;
    const own = tensors.slice(
      half * (tensors.length >> 1),
      half === 1 ? undefined : tensors.length >> 1,
    );
    for (const tensor of own) map[tensor.name] = name;
    const entries = own.map((each) => ({ ...each, bytes: () => readTensorBytes(each) }));
    await writeSafetensors(`${folder}/${name}`, entries);
  }
  const index = JSON.stringify({ metadata: {}, weight_map: map });
  await Deno.writeTextFile(`${folder}/model.safetensors.index.json`, index);
  return folder;
}

/** A command that runs another as a user whom permissions bind, where there is one. */
async function asNobody(folder: string): Promise<readonly string[] | undefined> {
  if (Deno.uid() !== 0) return [];
  const before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
  const [command, ...args] = [...before, Deno.execPath(), "eval", "--quiet", "1"];
  const env = { DENO_DIR: `${folder}/deno`, HOME: folder };
  const { success } = await new Deno.Command(command, { args, env, stderr: "null" }).output()
    .catch(() => ({ success: false }));
  return success
    ? [...before.slice(0, -1), "env", `DENO_DIR=${folder}/deno`, `HOME=${folder}`]
    : undefined;
}

const root = await Deno.makeTempDir({ prefix: "gprune-faults-" });
const skipped: string[] = [];
const rows: FaultRow[] = [];
let places = 0;

/** Does one kind of fault in a folder of its own. */
async function fault(
  name: string,
  work: (folder: string) => Promise<FaultRow | readonly FaultRow[] | undefined>,
): Promise<void> {
  if (!name.includes(only)) return;
  const folder = `${root}/${places++}`;
  await Deno.mkdir(folder);
  await Deno.chmod(folder, 0o777);
  const found = await work(folder);
  if (found === undefined) {
    skipped.push(name);
    console.error(`Left out: ${name}`);
  } else rows.push(...(Array.isArray(found) ? found : [found as FaultRow]));
  await writePage();
}

const begin = Date.now();

/** Written after every kind of fault, so that an interrupted run leaves what it found. */
async function writePage(): Promise<string> {
  const minutes = (Date.now() - begin) / 60_000;
  const page = faultsPage(rows, { kills, seed, only, skipped, minutes });
  if (!Deno.args.includes("--no-write")) {
    await Deno.writeTextFile(new URL("./FAULTS.md", import.meta.url), page);
  }
  return page;
}

try {
  await Deno.chmod(root, 0o777);
  const sharded = await writeShards(`${root}/sharded`);
  const [prune, ...exports] = runsOn(embedded);
  const [pruneShards, exportShards] = runsOn(sharded);
  for (const run of [prune, ...exports]) {
    await fault(`kill ${run.name}`, (folder) => killRuns(run, kills, folder, seed));
  }
  for (const run of [prune, exports[0]]) {
    await fault(`two ${run.name}`, (folder) => raceRuns(run, fewer, folder));
  }
  for (const run of [prune, ...exports]) {
    await fault(`full disk ${run.name}`, (folder) => fillDisks(run, fewer, folder));
    await fault(`permission ${run.name}`, async (folder) => {
      const before = await asNobody(root);
      return before && await revokeWriting(run, fewer, folder, { seed, before });
    });
  }
  for (const run of [pruneShards, exportShards]) {
    await fault(
      `removed ${run.name}`,
      (folder) => spoilInput(run, "removed", fewer, folder, { seed }),
    );
    await fault(
      `cut ${run.name}`,
      (folder) => spoilInput(run, "cut in half", fewer, folder, { seed }),
    );
    await fault(`unreadable ${run.name}`, async (folder) => {
      const before = await asNobody(root);
      if (before === undefined) return undefined;
      return await spoilInput(run, "made unreadable", fewer, folder, { seed, before });
    });
  }
  await fault("hub", async (folder) => {
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for await (const { name } of Deno.readDir(sharded)) {
      files.set(name, await Deno.readFile(`${sharded}/${name}`));
    }
    return await troubleDownloads(files, fewer, folder, seed);
  });
  await fault("worker", (folder) => breakWorkers(2 * fewer, folder, seed));
} finally {
  await Deno.remove(root, { recursive: true });
}
console.log(await writePage());
Deno.exit(rows.some(({ faults }) => faults.length > 0) ? 1 : 0);
