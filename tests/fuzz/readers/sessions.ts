import {
  MeasurementStore,
  recentModels,
  rememberModel,
} from "../../../core/session/live/folder.ts";
import { hostileJsonFiles } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";

/** What live sessions keep in the cache: measurements, and models that were opened. */
export async function sessions(folder: string): Promise<OpenReader> {
  const conditions = { texts: ["a"], windows: 3 };
  const measured = { perplexity: [1, 2], tokensPerSecond: 3, parameters: 4, bytes: 5 };
  const paths = { path: folder, statistics: "", unfinished: "" };
  return await Promise.resolve({
    files: hostileJsonFiles([
      { conditions: JSON.stringify(conditions), measured: { dense: measured, other: measured } },
      { models: [{ source: "embedded", openedAt: 1 }, { source: "org/name", openedAt: 2 }] },
    ]),
    read: async (file) => {
      await Deno.writeFile(`${folder}/measured.json`, file);
      await Deno.writeFile(`${folder}/recent.json`, file);
      const store = new MeasurementStore(paths, conditions);
      await store.load();
      for (const key of ["dense", "other"]) {
        const found = store.get(key);
        if (found !== undefined) [...found.perplexity].map((each) => each.toFixed(2));
      }
      for (const { source } of await recentModels(folder)) source.trim();
      await rememberModel(folder, "embedded", 3);
    },
  });
}
