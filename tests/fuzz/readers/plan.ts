import { checkPlan } from "../../../core/apply/check_plan.ts";
import { loadPlan } from "../../../core/plan/store.ts";
import { makePlan } from "../../../core/plan/make_plan.ts";
import { randomStatistics } from "../../helpers/random-statistics.ts";
import { hostileJsonFiles } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { writeSmallModel } from "./small_model.ts";

/** A plan, and whether the model can carry it out. */
export async function plan(folder: string): Promise<OpenReader> {
  const model = await writeSmallModel(folder);
  const statistics = randomStatistics(model);
  const real = [0.3, 0.5].map((sparsity) =>
    makePlan(model, statistics, { sparsity, metric: "wanda-sp", refit: "none" })
  );
  const path = `${folder}/plan.json`;
  return {
    files: hostileJsonFiles([...real, { ...real[0], statistics: "calibration.stats" }]),
    read: async (file) => {
      await Deno.writeFile(path, file);
      checkPlan(model, (await loadPlan(path)).plan);
    },
  };
}
