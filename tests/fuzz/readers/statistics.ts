import fc from "fast-check";
import { loadStatistics, saveStatistics } from "../../../core/calibrate/store.ts";
import { makePlan } from "../../../core/plan/make_plan.ts";
import type { Metric } from "../../../core/plan/types.ts";
import { randomStatistics } from "../../helpers/random-statistics.ts";
import { hostileJson } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { hostileSafetensors, safetensorsFile, takeApart } from "./safetensors_files.ts";
import { writeSmallModel } from "./small_model.ts";

/** Statistics, and then plans from them. */
export async function statistics(folder: string): Promise<OpenReader> {
  const model = await writeSmallModel(folder);
  const path = `${folder}/calibration.stats`;
  await saveStatistics(randomStatistics(model), path);
  const real = await Deno.readFile(path);
  const { header, data } = takeApart(real);
  const metadata = header["__metadata__"] as Record<string, string>;
  const words = hostileJson([JSON.parse(metadata.gprune)]).map((text) =>
    safetensorsFile(JSON.stringify({ ...header, __metadata__: { gprune: text } }), data)
  );
  const metrics: readonly Metric[] = ["wanda-sp", "wifv", "rms"];
  return {
    files: fc.oneof(words, hostileSafetensors([real])),
    read: async (file) => {
      await Deno.writeFile(path, file);
      const statistics = await loadStatistics(path);
      for (const metric of metrics) makePlan(model, statistics, { metric, refit: "none" });
    },
  };
}
