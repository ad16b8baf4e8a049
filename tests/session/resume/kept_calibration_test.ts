import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { completeStatistics, layerMatrices } from "../../../core/calibrate/matrix_places.ts";
import { loadStatistics, saveStatistics } from "../../../core/calibrate/store.ts";
import { CancelledError, ExportError } from "../../../core/errors.ts";
import type { TensorView } from "../../../core/model/types.ts";
import type { PlanOptions } from "../../../core/plan/request.ts";
import type { Progress } from "../../../core/progress.ts";
import { matrixFileName } from "../../../core/session/resume/kept_calibration.ts";
import { smallStatistics, withSmallModel } from "../../helpers/pipeline.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";

const requests: readonly PlanOptions[] = [
  { method: "gprune", shape: "adaptive" },
  { method: "gprune", metric: "wifv", shape: "uniform" },
];

for (const request of requests) {
  const name = `${request.metric ?? "obs"}, ${request.shape}`;
  Deno.test(`Matrices lie where the finished file has them: it is completed, not written again (${name})`, () =>
    withTemporaryFolder((folder) =>
      withSmallModel(async (model, engine) => {
        const workFolder = join(folder, "work");
        const settings = { request, gram: true, self: false } as const;
        const inMemory = await smallStatistics(engine, model, settings);
        const statistics = await smallStatistics(engine, model, { ...settings, workFolder });
        const [grown, whole] = [join(workFolder, matrixFileName), join(folder, "whole")];
        await saveStatistics(inMemory, whole);
        assertEquals(await completeStatistics(inMemory, grown), false);
        assertEquals(await completeStatistics(statistics, grown), true);
        assertEquals(await Deno.readFile(grown), await Deno.readFile(whole));
        const { learned } = await loadStatistics(grown);
        assertEquals(learned !== undefined, request.shape === "adaptive");
      })
    ));
}

/** When the records of layers were written, in their order. */
async function recordTimes(folder: string): Promise<readonly number[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  const names = entries.map(({ name }) => name).filter((name) => /^layer-\d-.*\.stats$/.test(name));
  return await Promise.all(
    names.sort().map(async (name) => (await Deno.stat(join(folder, name))).mtime!.getTime()),
  );
}

Deno.test("A layer with one damaged number in a matrix is summed again, and that layer alone", () =>
  withTemporaryFolder((folder) =>
    withSmallModel(async (model, engine) => {
      const settings = { request: requests[1], gram: true, self: false, workFolder: folder };
      const statistics = await smallStatistics(engine, model, settings);
      const grown = join(folder, matrixFileName);
      const expected = await Deno.readFile(grown);
      const views = layerMatrices(1, statistics.layers[1]) as ReadonlyMap<string, TensorView>;
      for (const { offset, byteLength } of views.values()) {
        const damaged = expected.slice();
        damaged[offset + byteLength - 3] ^= 1;
        await Deno.writeFile(grown, damaged);
        const before = await recordTimes(folder);
        await smallStatistics(engine, model, { ...settings, resume: true });
        assertEquals(await Deno.readFile(grown), expected);
        const after = await recordTimes(folder);
        assertEquals(after.map((time, layer) => time !== before[layer]), [false, true, false]);
      }
      const seen: Progress[] = [];
      const onProgress = (progress: Progress) => void seen.push(progress);
      await smallStatistics(engine, model, { ...settings, resume: true, onProgress });
      assertEquals(seen.filter(({ stage }) => stage === "calibrate"), []);
    })
  ));

Deno.test("A layer that was summed before the work was cancelled is not lost, though it was still being written", () =>
  withTemporaryFolder((folder) =>
    withSmallModel(async (model, engine) => {
      const settings = { request: requests[1], gram: true, self: false, workFolder: folder };
      const stop = new AbortController();
      const onProgress = ({ layer }: Progress) => layer === 2 && stop.abort();
      await assertRejects(
        () => smallStatistics(engine, model, { ...settings, onProgress, signal: stop.signal }),
        CancelledError,
      );
      const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
      assertEquals(
        names.filter((name) => /^layer-\d-.*\.stats$/.test(name)).map((name) => name[6]).sort(),
        ["0", "1"],
      );
    })
  ));

Deno.test("A disk that refuses a matrix ends the calibration with a sentence, at the next layer or at the end", () =>
  withTemporaryFolder((folder) =>
    withSmallModel(async (model, engine) => {
      for (const layer of [0, 1, 2]) {
        const workFolder = join(folder, `${layer}`);
        let isThere = true;
        const onProgress = (progress: Progress) => {
          if (!isThere || progress.layer !== layer) return;
          Deno.removeSync(workFolder, { recursive: true });
          isThere = false;
        };
        const settings = { request: requests[1], gram: true, self: false, workFolder };
        await assertRejects(
          () => smallStatistics(engine, model, { ...settings, onProgress }),
          ExportError,
          "Cannot keep unfinished work",
        );
      }
    })
  ));
