/**
 * The table of faults.
 * @module
 */
import type { FaultRow } from "./harness.ts";

/** What the table was made under. */
export interface FaultConditions {
  /** Kills of each job. */
  readonly kills: number;
  /** What the moments were made from. */
  readonly seed: number;
  /** The word that kinds of faults were chosen by; "" for all of them. */
  readonly only: string;
  /** Faults that this machine could not have. */
  readonly skipped: readonly string[];
  /** How long it took. */
  readonly minutes: number;
}

/**
 * Draws the table.
 *
 * @param rows What came of each kind of fault
 * @param conditions What it was made under
 * @returns Markdown
 */
export function faultsPage(rows: readonly FaultRow[], conditions: FaultConditions): string {
  const { kills, seed, only, skipped, minutes } = conditions;
  const word = only === "" ? "" : ` --only "${only}"`;
  const count = (word: RegExp) =>
    rows.reduce((sum, { faults }) => sum + faults.filter((fault) => word.test(fault)).length, 0);
  const cases = rows.reduce((sum, row) => sum + row.cases, 0);
  const lost = count(/lost/);
  const corrupt = count(/corrupt|changed/);
  const all = count(/./);
  const found = rows.flatMap(({ fault, faults }) =>
    [...new Set(faults)].map((each) => [fault, each])
  );
  return `# Faults

Made by \`deno task faults --kills ${kills} --seed ${seed}${word}\` in ${
    Math.round(minutes)
  } minutes with Deno ${Deno.version.deno} on ${Deno.build.os} ${Deno.build.arch}.

**${cases} cases; lost: ${lost}, corrupt: ${corrupt}, other: ${all - lost - corrupt}.**

A job is killed, or its disk, files, network or worker are taken from it, at moments drawn from the seed over the
length of a run. *Finished*: it ended well all the same. *Stopped*: it was killed, or said in one sentence what is
wrong and left with code 1. Afterwards the inputs must have the hashes that they had, and the output must be missing or
whole, byte for byte that of an undisturbed run (of a report and a card, whose times and command differ, that they are
there); beside it only what the next run clears away or \`--resume\` goes on from. Of the jobs, \`prune\` runs on the
embedded model with the smallest windows, every second kill comes while an output is being replaced (\`--force\`), and
after every fifth the job is run to its end.

| fault | cases | finished | stopped | lost, corrupt or wrong | |
| --- | ---: | ---: | ---: | ---: | --- |
${
    rows.map(({ fault, cases, finished, stopped, faults, note }) =>
      `| ${fault} | ${cases} | ${finished} | ${stopped} | ${faults.length} | ${note ?? ""} |`
    ).join("\n")
  }
${
    found.length === 0
      ? ""
      : `\nWhat was wrong:\n\n${found.map(([fault, each]) => `- ${fault}: ${each}`).join("\n")}\n`
  }${
    skipped.length === 0
      ? ""
      : `\nLeft out, because this machine gave no right to it: ${skipped.join(", ")}.\n`
  }`;
}
