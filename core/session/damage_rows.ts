/**
 * What a report tells of other cuts than the plan's: the curves that calibration found, thinned out.
 * @module
 */
import type { Statistics } from "../calibrate/types.ts";
import type { DamageRow } from "../evaluate/report.ts";
import { unitCount } from "../model/units.ts";
import type { Plan } from "../plan/types.ts";

/** Points of a curve at most. */
const POINTS = 24;

/**
 * The curves of every layer and kind that a plan cuts.
 *
 * @param statistics What calibration found
 * @param plan The plan
 * @returns One row for each curve; undefined where there is none
 */
export function damageRows(statistics: Statistics, plan: Plan): readonly DamageRow[] | undefined {
  const { request } = plan;
  // Orders by `obs` are those of `gprune` on this metric; other methods have errors that nobody measured.
  const exact = request.method === "gprune" && request.metric === "obs";
  const rows = plan.layers.flatMap((kept, layer) =>
    request.structures.flatMap((structure): DamageRow[] => {
      const units = unitCount(plan.model.layers[layer], structure);
      const stay = structure === "ffn" ? kept.ffnKept.length : kept.keyValueHeadsKept.length;
      const order = exact ? statistics.layers[layer][structure].obs : undefined;
      const errors = request.refit === "lsq" ? order?.refittedError : order?.plainError;
      const curve = request.method === "gprune"
        ? statistics.learned?.curves.find((each) =>
          each.layer === layer && each.structure === structure
        )
        : undefined;
      if (errors === undefined && curve === undefined) return [];
      return [{
        layer,
        structure,
        removed: rounded(1 - stay / units),
        ...(errors === undefined ? {} : { error: thinned(errors, units) }),
        ...(curve === undefined ? {} : {
          loss: curve.fractions.map((share, at) =>
            [rounded(share), rounded(curve.damage[at])] as const
          ),
        }),
      }];
    })
  );
  return rows.length === 0 ? undefined : rows;
}

function thinned(errors: Float64Array, units: number): readonly (readonly [number, number])[] {
  const steps = Math.min(POINTS, units);
  return Array.from({ length: steps + 1 }, (_, step) => {
    const removed = Math.round(step * units / steps);
    return [rounded(removed / units), rounded(errors[removed])] as const;
  });
}

/** Four digits are more than a plot shows. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
