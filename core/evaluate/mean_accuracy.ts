/**
 * The mean of accuracies over tasks.
 * @module
 */
import type { Accuracy } from "./report.ts";

/**
 * The mean over tasks, each counting alike, with the standard error that independent tasks give it: √(Σ stderr²) / n.
 *
 * @param tasks Accuracies, one or more
 * @returns Their mean; undefined where there is none
 * @example
 * ```ts
 * import { meanAccuracy } from "./mean_accuracy.ts";
 * const [a, b] = [{ acc: 0.5, accNorm: 0.5, stderr: 0.03 }, { acc: 1, accNorm: 0.5, stderr: 0.04 }];
 * console.log(meanAccuracy([a, b])); // { acc: 0.75, accNorm: 0.5, stderr: 0.025 }
 * ```
 */
export function meanAccuracy(tasks: readonly Accuracy[]): Accuracy | undefined {
  if (tasks.length === 0) return undefined;
  const mean = (of: (task: Accuracy) => number) =>
    tasks.reduce((sum, task) => sum + of(task), 0) / tasks.length;
  const squares = tasks.reduce((sum, { stderr }) => sum + stderr * stderr, 0);
  return {
    acc: mean(({ acc }) => acc),
    accNorm: mean(({ accNorm }) => accNorm),
    stderr: Math.sqrt(squares) / tasks.length,
  };
}
