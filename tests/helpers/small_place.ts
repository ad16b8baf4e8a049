import { join } from "@std/path";
import type { PruneOptions } from "../../core/session.ts";
import { smallModel, wordyDomain } from "./pipeline.ts";
import { withRandomModel } from "./random-model.ts";
import { withTemporaryFolder } from "./temporary.ts";

/** A small model, texts in files, and options that run in a second. */
export interface SmallPlace {
  /** The model's folder. */
  readonly model: string;
  /** Where the texts are, and where results can go. */
  readonly folder: string;
  /** Model and texts (two to calibrate on; one of them and another to evaluate on), how much, where to. */
  readonly options: PruneOptions;
}

/**
 * Makes such a place for as long as a function runs.
 *
 * @param use The function
 * @returns What it returns
 */
export async function withSmallPlace<T>(use: (place: SmallPlace) => Promise<T>): Promise<T> {
  return await withRandomModel(smallModel, (model) =>
    withTemporaryFolder(async (folder) => {
      const text = async (name: string) => {
        const path = join(folder, `${name}.txt`);
        await Deno.writeTextFile(path, wordyDomain(name).text);
        return { name, path };
      };
      const options: PruneOptions = {
        model,
        calibration: [await text("alpha"), await text("beta")],
        evaluation: [await text("gamma"), await text("alpha")],
        samples: 4,
        seqLen: 32,
        evalWindows: 2,
        sparsity: 0.4,
        out: join(folder, "out"),
      };
      return await use({ model, folder, options });
    }));
}
