/**
 * Measuring how long work takes, on machines that do other work beside it.
 * @module
 */
import process from "node:process";

/**
 * The least processor time of some runs, so that neither other work on the machine nor the first run's compiling is
 * what is measured.
 *
 * @param runs The runs
 * @returns Milliseconds
 */
export function leastProcessorTime(runs: readonly (() => void)[]): number {
  const times = runs.map((run) => {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}
