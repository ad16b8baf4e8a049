/**
 * Runs command lines on jobs that do nothing and a terminal that remembers.
 * @module
 */
import type { Jobs } from "../../tui/jobs.ts";
import { runCommandLine } from "../../tui/program.ts";
import type { Terminal } from "../../tui/terminal.ts";
import {
  sampleComparison,
  sampleDiagnosis,
  sampleEvaluation,
  samplePart,
  samplePlan,
  sampleResult,
  sampleStatistics,
  sampleSummary,
} from "./samples.ts";

/** What came of a command line. */
export interface Outcome {
  /** The exit code. */
  readonly code: number;
  /** What was written to standard output. */
  readonly out: string;
  /** What was written to standard error. */
  readonly err: string;
  /** The job that was started, if one was. */
  readonly job?: string;
  /** Its options. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** How to run a command line. */
export interface Running {
  /** Jobs that do something. */
  readonly jobs?: Partial<Jobs>;
  /** A terminal that is different. */
  readonly terminal?: Partial<Terminal>;
  /** Cancels the work. */
  readonly signal?: AbortSignal;
}

/** The folder in which the user of the tests types. */
export const userFolder = "/home/user";

/** Runs a command line; jobs give the samples unless told otherwise. */
export async function run(args: readonly string[], running: Running = {}): Promise<Outcome> {
  let out = "";
  let err = "";
  let job: string | undefined;
  let options: Readonly<Record<string, unknown>> = {};
  const noted = <Given, Result>(name: string, does: (given: Given) => Promise<Result>) => {
    return (given: Given) => {
      job = name;
      options = (given ?? {}) as Readonly<Record<string, unknown>>;
      return does(given);
    };
  };
  const does: Jobs = { ...sampleJobs, ...running.jobs };
  const jobs: Jobs = {
    prune: noted("prune", does.prune),
    calibrate: noted("calibrate", does.calibrate),
    calibratePart: noted("calibratePart", does.calibratePart),
    merge: noted("merge", does.merge),
    plan: noted("plan", does.plan),
    apply: noted("apply", does.apply),
    evaluate: noted("evaluate", does.evaluate),
    compare: noted("compare", does.compare),
    export: noted("export", does.export),
    inspect: noted("inspect", does.inspect),
    diagnose: () => noted("diagnose", does.diagnose)(undefined),
  };
  const terminal: Terminal = {
    write: (text) => out += text,
    writeError: (text) => err += text,
    outputIsTerminal: false,
    inputIsTerminal: false,
    errorIsTerminal: false,
    columns: () => 80,
    environment: (name) => name === "HOME" ? userFolder : undefined,
    folder: userFolder,
    now: () => 0,
    ...running.terminal,
  };
  const signal = running.signal ?? new AbortController().signal;
  const code = await runCommandLine(args, { jobs, terminal, signal });
  return { code, out, err, job, options };
}

const sampleJobs: Jobs = {
  prune: () => Promise.resolve(sampleResult),
  calibrate: () => Promise.resolve(sampleStatistics),
  calibratePart: () => Promise.resolve(samplePart),
  merge: () => Promise.resolve(sampleStatistics),
  plan: () => Promise.resolve(samplePlan),
  apply: () => Promise.resolve(sampleResult),
  evaluate: () => Promise.resolve(sampleEvaluation),
  compare: () => Promise.resolve(sampleComparison),
  export: () => Promise.resolve(sampleResult),
  inspect: () => Promise.resolve(sampleSummary),
  diagnose: () => Promise.resolve(sampleDiagnosis),
};
