/**
 * The progress of a comparison: the stages of each row, seen as parts of all rows, so that an estimate is one of the
 * whole.
 * @module
 */
import type { Method, Refit } from "../plan/types.ts";
import type { Progress, WorkOptions } from "../progress.ts";

/** What the stages of a row cost, in any unit that all rows share. */
export interface RowCost {
  /** Exchanges that refine the plan. */
  readonly plan: number;
  /** Cutting and refitting. */
  readonly apply: number;
  /** Evaluating. */
  readonly evaluate: number;
}

/** A row to come. */
export interface RowToCome {
  /** What it is called, such as `gprune + lsq at 50 %`. */
  readonly name: string;
  /** What it costs. */
  readonly cost: RowCost;
}

const stages = ["plan", "apply", "evaluate"] as const;

/**
 * What a row costs, in tokens through the model: an estimate from what was measured on small models.
 *
 * @param row Method and refit
 * @param tokens Tokens of the evaluation, tasks included, and of the calibration
 * @returns The cost of each stage
 */
export function rowCost(
  row: { readonly method: Method; readonly refit: Refit },
  tokens: { readonly evaluation: number; readonly calibration: number },
): RowCost {
  const own = row.method === "gprune";
  const fits = row.refit === "lsq" ? (own ? 6 : 0.5) : 0.05;
  return {
    plan: own ? 1.5 * tokens.calibration : 0,
    apply: fits * tokens.calibration,
    evaluate: tokens.evaluation,
  };
}

/**
 * Turns the progress of single rows into that of the comparison.
 *
 * @param rows All rows, in their order
 * @param onProgress Told about the whole
 * @returns What takes the progress of the row of a number, and is told when it is done
 */
export function rowProgress(
  rows: readonly RowToCome[],
  onProgress: WorkOptions["onProgress"],
): (row: number) => { readonly report: (progress: Progress) => void; readonly end: () => void } {
  const costs = rows.map(({ cost }) => stages.reduce((sum, stage) => sum + cost[stage], 0));
  const total = costs.reduce((sum, cost) => sum + cost, 0) || 1;
  const say = (spent: number, row: number, inHand: string) =>
    onProgress?.({
      stage: "compare",
      done: Math.min(rows.length, rows.length * spent / total),
      total: rows.length,
      unit: "rows",
      detail: `row ${row + 1} of ${rows.length}: ${rows[row].name}${inHand}`,
    });
  return (row) => {
    const before = costs.slice(0, row).reduce((sum, cost) => sum + cost, 0);
    let highest = 0;
    say(before, row, "");
    return {
      report: ({ stage, done, total, detail }) => {
        const at = stages.findIndex((each) => each === stage);
        if (at < 0) return;
        const { cost } = rows[row];
        const earlier = stages.slice(0, at).reduce((sum, each) => sum + cost[each], 0);
        const share = total > 0 ? Math.min(1, done / total) : 0;
        // Perplexity and choices are evaluated one after the other: what is done stays done.
        highest = Math.max(highest, earlier + share * cost[stages[at]]);
        say(before + highest, row, detail === undefined ? "" : `, ${detail}`);
      },
      end: () => say(before + costs[row], row, ""),
    };
  };
}
