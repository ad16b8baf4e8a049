/**
 * Damage: what removing the first k units of an order costs, predicted from measured points.
 * @module
 */
import type { DamageCurve } from "../calibrate/types.ts";
import type { UnitOrder } from "./order.ts";

/**
 * Predicts the loss that each prefix of an order adds. Between measured points the loss follows a power of the
 * relative output error (straight lines in logarithms, which is exact for loss ∝ error^a); below the first point it
 * falls to zero in proportion. The result never falls as more goes.
 *
 * @param order The order, with its relative errors
 * @param curve Measured points of this layer and kind, or undefined where nothing was learned: the relative error
 * itself then stands for the loss
 * @param damage The measured losses to follow, one per point of the curve
 * @returns Nats per token, `[units + 1]`
 */
export function predictDamage(
  order: UnitOrder,
  curve: DamageCurve | undefined,
  damage: readonly number[] | undefined = curve?.damage,
): Float64Array {
  const { relativeError } = order;
  if (curve === undefined || damage === undefined) return Float64Array.from(relativeError);
  const points = anchors(curve.relativeErrors, damage);
  const result = relativeError.map((error) => interpolate(points, error));
  for (let k = 1; k < result.length; k++) result[k] = Math.max(result[k], result[k - 1]);
  return result;
}

interface Anchor {
  readonly error: number;
  readonly loss: number;
}

/** Points in order of error, with losses that never fall; noise can make small losses negative. */
function anchors(errors: readonly number[], losses: readonly number[]): readonly Anchor[] {
  const sorted = errors.map((error, index) => ({ error, loss: losses[index] }))
    .filter(({ error, loss }) => error > 0 && Number.isFinite(loss))
    .sort((a, b) => a.error - b.error);
  let highest = 1e-9;
  return sorted.map(({ error, loss }) => {
    highest = Math.max(highest, loss);
    return { error, loss: highest };
  });
}

function interpolate(points: readonly Anchor[], error: number): number {
  if (error <= 0 || points.length === 0) return 0;
  if (error <= points[0].error) return points[0].loss * error / points[0].error;
  let above = points.findIndex((point) => point.error >= error);
  if (above < 0) above = points.length - 1;
  if (above === 0) return points[0].loss * error / points[0].error;
  const low = points[above - 1], high = points[above];
  if (high.error === low.error) return high.loss;
  const slope = Math.log(high.loss / low.loss) / Math.log(high.error / low.error);
  return low.loss * Math.pow(error / low.error, slope);
}
