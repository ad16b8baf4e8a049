/**
 * Disks that fill up, places that may no longer be written to, and files that go, in the middle of a run.
 * @module
 */
import {
  endFault,
  type FaultRow,
  gprune,
  hashOf,
  Moments,
  outputFaults,
  type RunEnd,
  Tally,
  wait,
} from "./harness.ts";
import type { KilledRun } from "./kills.ts";

/** Mounts a small disk in memory. */
async function mount(folder: string, options: string): Promise<boolean> {
  const { success } = await new Deno.Command("mount", {
    args: ["-t", "tmpfs", "-o", options, "tmpfs", folder],
    stderr: "null",
  }).output().catch(() => ({ success: false }));
  return success;
}

async function unmount(folder: string): Promise<void> {
  await new Deno.Command("umount", { args: ["-l", folder], stderr: "null" }).output();
}

/** Counts how a run ended, and what lies where it wrote. */
async function count(
  tally: Tally,
  end: RunEnd,
  folder: string,
  wanted: string,
  work: readonly string[] = [],
): Promise<void> {
  if (end.code === 0) tally.finished();
  else tally.stopped();
  tally.faults(...[endFault(end)].flatMap((fault) => fault ?? []));
  for (const name of work) {
    await Deno.remove(`${folder}/${name}`, { recursive: true }).catch(() => {});
  }
  tally.faults(
    ...await outputFaults(folder, [wanted], {
      leftovers: false,
      output: end.code === 0 ? "must" : "must not",
    }),
  );
}

/**
 * Runs on disks from too small to just large enough.
 *
 * @param run The run
 * @param sizes How many disks
 * @param folder An empty folder
 * @returns What came of it, or undefined where no disk may be mounted
 */
export async function fillDisks(
  run: KilledRun,
  sizes: number,
  folder: string,
): Promise<FaultRow | undefined> {
  const tally = new Tally(`full disk: ${run.name}`);
  const plain = `${folder}-plain`;
  await Deno.mkdir(plain);
  await gprune([...run.args, "--out", `${plain}/out`]);
  const wanted = await hashOf(`${plain}/out`);
  const bytes = await sizeOf(`${plain}/out`);
  for (let index = 0; index < sizes; index++) {
    // Up to four times the output: exports measure the dense model's files beside it, prune keeps its calibration.
    const kilobytes = Math.ceil(bytes / 1024 * (0.02 + 4 * index / (sizes - 1)));
    if (!await mount(folder, `size=${kilobytes}k`)) return undefined;
    try {
      const end = await gprune([...run.args, "--out", `${folder}/out`]);
      // What an interrupted run keeps for --resume is clearly named so.
      await count(tally, end, folder, wanted, ["out.unfinished"]);
    } finally {
      await unmount(folder);
    }
  }
  return tally.row(`disks of 0.02 to 4 times the output's ${Math.round(bytes / 1024)} KiB`);
}

/**
 * Takes the permission to write away at random moments: of the place of the output and everything in it.
 *
 * @param run The run
 * @param cases How often
 * @param folder An empty folder
 * @param options Seed of the moments; the command that runs Deno as somebody whom permissions bind
 * @returns What came of it
 */
export async function revokeWriting(
  run: KilledRun,
  cases: number,
  folder: string,
  options: { readonly seed: number; readonly before: readonly string[] },
): Promise<FaultRow> {
  const tally = new Tally(`permission to write is revoked: ${run.name}`);
  const moments = new Moments(options.seed);
  const { before } = options;
  const args = [...run.args, "--out", `${folder}/out`];
  const whole = await gprune(args, { before });
  if (whole.code !== 0) throw new Error(`${run.name} does not run: ${whole.errors}`);
  const wanted = await hashOf(`${folder}/out`);
  for (let index = 0; index < cases; index++) {
    await Deno.remove(`${folder}/out`, { recursive: true }).catch(() => undefined);
    const end = await gprune(args, {
      before,
      disturb: async () => {
        await wait(moments.next() * whole.milliseconds);
        await allowWriting(folder, false);
      },
    });
    await allowWriting(folder, true);
    if (end.code === 0) tally.finished();
    else tally.stopped();
    tally.faults(
      ...[endFault(end)].flatMap((fault) => fault ?? []),
      // Nothing can be removed either: what is left is what a kill leaves.
      ...await outputFaults(folder, [wanted], {
        leftovers: true,
        output: end.code === 0 ? "must" : "may",
      }),
    );
  }
  const again = await gprune([...args, "--force"], { before });
  await count(tally, again, folder, wanted, ["out.unfinished"]);
  return tally.row("the last case is a run with the permission back");
}

/** Changes who may write to a folder and the folders in it, outermost first to take it and last to give it. */
async function allowWriting(folder: string, allowed: boolean): Promise<void> {
  const mode = allowed ? 0o777 : 0o555;
  await Deno.chmod(folder, mode).catch(() => undefined);
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  for (const { name, isDirectory } of entries) {
    if (isDirectory) await allowWriting(`${folder}/${name}`, allowed);
    else await Deno.chmod(`${folder}/${name}`, allowed ? 0o666 : 0o444).catch(() => undefined);
  }
}

/** What happens to a file that is being read. */
export type InputFault = "removed" | "cut in half" | "made unreadable";

/**
 * Takes a model's second shard away while a run reads it.
 *
 * @param run The run; its input is a folder with `model-00002-of-00002.safetensors`
 * @param fault What happens to the shard
 * @param cases How often
 * @param folder An empty folder
 * @param options Seed of the moments; the command that runs Deno as somebody whom permissions bind
 * @returns What came of it
 */
export async function spoilInput(
  run: KilledRun,
  fault: InputFault,
  cases: number,
  folder: string,
  options: { readonly seed: number; readonly before?: readonly string[] },
): Promise<FaultRow> {
  const tally = new Tally(`a shard is ${fault}: ${run.name}`);
  const moments = new Moments(options.seed);
  const shard = `${run.input}/model-00002-of-00002.safetensors`;
  const bytes = await Deno.readFile(shard);
  const { before } = options;
  const whole = await gprune([...run.args, "--out", `${folder}/out`], { before });
  if (whole.code !== 0) throw new Error(`${run.name} does not run: ${whole.errors}`);
  const wanted = await hashOf(`${folder}/out`);
  let signals = 0;
  for (let index = 0; index < cases; index++) {
    await Deno.remove(`${folder}/out`, { recursive: true }).catch(() => undefined);
    await Deno.remove(`${folder}/out.unfinished`, { recursive: true }).catch(() => undefined);
    const end = await gprune([...run.args, "--out", `${folder}/out`], {
      before,
      disturb: async () => {
        await wait(moments.next() * whole.milliseconds);
        if (fault === "removed") await Deno.remove(shard);
        else if (fault === "made unreadable") await Deno.chmod(shard, 0);
        else await Deno.truncate(shard, bytes.length >> 1);
      },
    });
    await Deno.remove(shard).catch(() => undefined);
    await Deno.writeFile(shard, bytes);
    if (end.code === 0) tally.finished();
    else tally.stopped();
    // A runtime that maps a file dies with the system's signal where the file is cut: as after a kill.
    const killed = end.signal !== null;
    if (killed) signals++;
    else tally.faults(...[endFault(end)].flatMap((each) => each ?? []));
    await Deno.remove(`${folder}/out.unfinished`, { recursive: true }).catch(() => undefined);
    tally.faults(
      ...await outputFaults(folder, [wanted], {
        leftovers: killed,
        output: end.code === 0 ? "must" : "must not",
      }),
    );
  }
  return tally.row(signals === 0 ? undefined : `${signals} ended by the system's signal`);
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    bytes += isDirectory ? await sizeOf(path) : (await Deno.stat(path)).size;
  }
  return bytes;
}
