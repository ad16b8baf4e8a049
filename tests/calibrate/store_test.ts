import { assert, assertEquals, assertRejects } from "@std/assert";
import { loadStatistics, saveStatistics } from "../../core/calibrate/store.ts";
import { StatisticsError } from "../../core/errors.ts";
import { isView, readTensor } from "../../core/model/tensor_reader.ts";
import { makePlan } from "../../core/plan/make_plan.ts";
import { smallStatistics, withSmallModel } from "../helpers/pipeline.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

Deno.test("loadStatistics() reads what saveStatistics() wrote, matrices left in the file", () =>
  withSmallModel((model, engine) =>
    withTemporaryFolder(async (folder) => {
      const statistics = await smallStatistics(engine, model);
      const path = `${folder}/a.stats`;
      await saveStatistics(statistics, path);
      const loaded = await loadStatistics(path);
      assertEquals(loaded.domains, statistics.domains);
      assertEquals(loaded.learned, statistics.learned);
      assertEquals(loaded.windows, statistics.windows);
      const [before, after] = [statistics.layers[1].heads, loaded.layers[1].heads];
      assertEquals(after.obs, before.obs);
      assertEquals(after.weights, before.weights);
      const gram = after.domains[0].gram!;
      assert(isView(gram));
      assertEquals(await readTensor(gram), await readTensor(before.domains[0].gram!));
      for (const shape of ["uniform", "adaptive"] as const) {
        assertEquals(
          makePlan(model, loaded, { shape, sparsity: 0.5 }),
          makePlan(model, statistics, { shape, sparsity: 0.5 }),
        );
      }
    })
  ));

Deno.test("loadStatistics() refuses files that hold none, in one sentence that names the file", () =>
  withTemporaryFolder(async (folder) => {
    const path = `${folder}/a.stats`;
    await assertRejects(() => loadStatistics(path), StatisticsError, "a.stats");
    for (const content of ["", "not a file of this kind", "\u0002\0\0\0\0\0\0\0{}"]) {
      await Deno.writeTextFile(path, content);
      await assertRejects(() => loadStatistics(path), StatisticsError, "Cannot read statistics");
    }
  }));
