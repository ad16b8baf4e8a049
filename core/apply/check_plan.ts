/**
 * Whether a plan can be carried out on a model.
 * @module
 */
import { PlanError } from "../errors.ts";
import type { Model } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import type { Plan } from "../plan/types.ts";
import { keptUnits } from "./slice.ts";

/**
 * Checks that a plan belongs to a model and names units that it has.
 *
 * @param model The model
 * @param plan The plan, perhaps out of a file
 * @throws {PlanError} if the plan is of another model or format, or what it keeps is empty, out of range or out of
 *   order
 */
export function checkPlan(model: Model, plan: Plan): void {
  if (plan.schema !== "gprune.plan/1") {
    throw new PlanError(
      `Cannot apply a plan of the format '${plan.schema}': 'gprune.plan/1' is wanted; plan again`,
    );
  }
  if (plan.model.fingerprint !== model.fingerprint) {
    throw new PlanError(
      `Cannot apply a plan for '${plan.model.source}' to '${model.source}': it belongs to another model`,
    );
  }
  const { layers } = model.architecture;
  if (plan.layers.length !== layers.length) {
    throw new PlanError(
      `Cannot apply a plan of ${plan.layers.length} layers: the model has ${layers.length}`,
    );
  }
  for (const [index, layer] of plan.layers.entries()) {
    if (layer.layer !== index) {
      throw new PlanError(`Cannot apply a plan that has layer '${layer.layer}' in place ${index}`);
    }
    for (const structure of ["ffn", "heads"] as const) {
      const units = unitCount(layers[index], structure);
      const reason = whatIsWrong(keptUnits(layer, structure), units);
      if (reason === undefined) continue;
      const field = structure === "ffn" ? "ffnKept" : "keyValueHeadsKept";
      throw new PlanError(`Cannot apply a plan whose '${field}' of layer ${index} ${reason}`);
    }
  }
}

function whatIsWrong(kept: unknown, units: number): string | undefined {
  if (!Array.isArray(kept)) return "is not a list";
  if (kept.length === 0) return "is empty: a layer needs one unit at least";
  let last = -1;
  for (const unit of kept) {
    if (!Number.isInteger(unit) || unit < 0 || unit >= units) {
      return `names unit ${JSON.stringify(unit)}: the layer has units 0 to ${units - 1}`;
    }
    if (unit <= last) return `is not ascending: unit ${unit} follows ${last}`;
    last = unit;
  }
  return undefined;
}
