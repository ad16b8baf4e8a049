/**
 * Kills at random moments.
 * @module
 */
import {
  endFault,
  type FaultRow,
  gprune,
  hashOf,
  killAfter,
  Moments,
  outputFaults,
  Tally,
} from "./harness.ts";

/** A run to be killed. */
export interface KilledRun {
  /** What it is, for the table. */
  readonly name: string;
  /** Command and options, without `--out`. */
  readonly args: readonly string[];
  /** The folder that it reads. */
  readonly input: string;
  /** Whether it can go on with `--resume`. */
  readonly resumable: boolean;
}

/** After how many kills the run is done to its end. */
const FINISH_EVERY = 5;

/**
 * Kills a run again and again. Every second time there is an output already, which it should replace. After every fifth
 * kill it is run to its end over what is left.
 *
 * @param run The run
 * @param kills How often
 * @param folder An empty folder
 * @param seed What the moments are made from
 * @returns What came of it: of the kills, and of the runs to the end
 */
export async function killRuns(
  run: KilledRun,
  kills: number,
  folder: string,
  seed: number,
): Promise<readonly FaultRow[]> {
  const moments = new Moments(seed);
  const input = await hashOf(run.input);
  const out = `${folder}/out`;
  const whole = await gprune([...run.args, "--out", out]);
  if (whole.code !== 0) throw new Error(`${run.name} does not run: ${whole.errors}`);
  const wanted = await hashOf(out);
  const killed = new Tally(`kill during ${run.name}`);
  const finished = new Tally(`${run.name} ${run.resumable ? "--resume" : "again"} after the kill`);
  // Times of another moment say little where others share the machine: the latest run says how long one takes.
  let length = whole.milliseconds;
  for (let kill = 1; kill <= kills; kill++) {
    const replaces = kill % 2 === 0;
    if (!replaces) await Deno.remove(out, { recursive: true }).catch(() => undefined);
    else if ((await gprune(["export", run.input, "--out", out, "--force"])).code !== 0) {
      killed.faults("a plain export over what was left does not run");
    }
    const before = replaces ? [await hashOf(out)] : [];
    const force = replaces ? ["--force"] : [];
    const end = await gprune([...run.args, "--out", out, ...force], {
      disturb: killAfter(moments.next() * length),
    });
    if (end.code === 0) killed.finished();
    else killed.stopped();
    if (end.signal === null) killed.faults(...[endFault(end)].flatMap((fault) => fault ?? []));
    killed.faults(
      ...await outputFaults(folder, [wanted, ...before], {
        leftovers: end.code !== 0,
        output: end.code === 0 ? "must" : "may",
      }),
      ...(await hashOf(run.input) === input ? [] : ["an input has changed"]),
    );
    if (kill % FINISH_EVERY !== 0) continue;
    // What replaces must be told so again; what is there already is a run that came to its end.
    const rest = await gprune([
      ...run.args,
      "--out",
      out,
      "--force",
      ...(run.resumable ? ["--resume"] : []),
    ]);
    length = Math.max(rest.milliseconds, 0.5 * length);
    if (rest.code === 0) finished.finished();
    else finished.stopped();
    finished.faults(
      ...[endFault(rest)].flatMap((fault) => fault ?? []),
      ...await outputFaults(folder, [wanted], { leftovers: false, output: "must" }),
    );
  }
  return [killed.row(), finished.row()];
}

/**
 * Starts two runs on one output at once, again and again.
 *
 * @param run The run
 * @param pairs How often
 * @param folder An empty folder
 * @returns What came of it
 */
export async function raceRuns(run: KilledRun, pairs: number, folder: string): Promise<FaultRow> {
  const tally = new Tally(`two at once: ${run.name}`);
  const out = `${folder}/out`;
  let wanted: string | undefined;
  let refused = 0;
  for (let pair = 0; pair < pairs; pair++) {
    await Deno.remove(out, { recursive: true }).catch(() => undefined);
    const ends = await Promise.all([1, 2].map(() => gprune([...run.args, "--out", out])));
    wanted ??= await hashOf(out);
    for (const end of ends) {
      if (end.code === 0) tally.finished();
      else tally.stopped();
      if (end.code === 1 && end.errors.includes("is at work on it")) refused++;
      // The second may come after the first: then there is an output already.
      const late = end.code === 2 && end.errors.includes("exists already");
      if (!late) tally.faults(...[endFault(end)].flatMap((fault) => fault ?? []));
    }
    if (ends.every(({ code }) => code === 0)) tally.faults("both wrote");
    tally.faults(...await outputFaults(folder, [wanted], { leftovers: false, output: "must" }));
  }
  return tally.row(`${refused} were refused by the lock`);
}
