import { applyPlan } from "../../core/apply/apply.ts";
import { openModel } from "../../core/model/open.ts";
import type { Model } from "../../core/model/types.ts";
import { planOf } from "./random-statistics.ts";

/** Random models of tests/fixtures that stock classes load after a uniform cut. */
export const prunedFixtureNames: readonly string[] = [
  "attention-bias",
  "bfloat16",
  "mlp-bias",
  "rope-llama3",
  "untied",
  "window",
];

/**
 * Prunes a random model by a fixed plan: two of three neurons stay, and the first KV group.
 *
 * @param name The fixture's name
 * @param directory Where to write the pruned model
 * @returns The pruned model
 */
export async function prunedFixture(name: string, directory: string): Promise<Model> {
  const folder = new URL(`../fixtures/random/${name}`, import.meta.url).pathname;
  const model = await openModel(folder);
  const kept = model.architecture.layers.map(({ ffnWidth }) => ({
    ffnKept: Array.from({ length: ffnWidth }, (_, unit) => unit).filter((unit) => unit % 3 !== 1),
    keyValueHeadsKept: [0],
  }));
  return (await applyPlan(model, planOf(model, kept, { shape: "uniform" }), { directory })).model;
}
