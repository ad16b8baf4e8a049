import { createHash } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { loadStatistics, saveStatistics } from "../../core/calibrate/store.ts";
import { ModelError, StatisticsError } from "../../core/errors.ts";
import { readGram } from "../../core/calibrate/gram_halves.ts";
import { isView } from "../../core/model/tensor_reader.ts";
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
      assertEquals(await readGram(gram), await readGram(before.domains[0].gram!));
      for (const shape of ["uniform", "adaptive"] as const) {
        assertEquals(
          makePlan(model, loaded, { shape, sparsity: 0.5 }),
          makePlan(model, statistics, { shape, sparsity: 0.5 }),
        );
      }
    })
  ));

Deno.test("loadStatistics() leaves numbers of channels in the file, where they are the same at every look", () =>
  withSmallModel((model, engine) =>
    withTemporaryFolder(async (folder) => {
      const path = `${folder}/a.stats`;
      await saveStatistics(await smallStatistics(engine, model), path);
      const held = await loadStatistics(path);
      const left = await loadStatistics(path, { leavesNumbers: true });
      for (const structure of ["ffn", "heads"] as const) {
        const [own, other] = [held.layers[1][structure], left.layers[1][structure]];
        assertEquals({ ...other.domains[0] }, { ...own.domains[0] });
        assertEquals({ ...other.weights }, { ...own.weights });
        assertEquals({ ...other.obs }, { ...own.obs });
      }
      const request = { shape: "adaptive", sparsity: 0.5 } as const;
      assertEquals(makePlan(model, left, request), makePlan(model, held, request));
      await saveStatistics(held, `${folder}/held.stats`);
      await saveStatistics(left, `${folder}/left.stats`);
      const hash = async (name: string) =>
        createHash("sha256").update(await Deno.readFile(`${folder}/${name}.stats`)).digest("hex");
      assertEquals(await hash("left"), await hash("held"));
    })
  ));

Deno.test("loadStatistics() that leaves numbers in a file holds none, and says so where the file has gone", () =>
  withSmallModel((model, engine) =>
    withTemporaryFolder(async (folder) => {
      const path = `${folder}/a.stats`;
      await saveStatistics(await smallStatistics(engine, model), path);
      const { layers: [{ ffn }] } = await loadStatistics(path, { leavesNumbers: true });
      // What is still there for the running task is let go with it.
      await new Promise((resolve) => setTimeout(resolve));
      setFlagsFromString("--expose-gc");
      runInNewContext("gc()");
      await Deno.remove(path);
      assertThrows(() => ffn.domains[0].sum, ModelError, "the file has gone");
      assertThrows(() => ffn.weights.rowNorm, ModelError, "the file has gone");
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
