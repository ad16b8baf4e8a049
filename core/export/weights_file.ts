/**
 * Files whose weights gprune's own engine can run: what is in the file is measured, block by block.
 * @module
 */
import { measurePerplexity } from "../evaluate/perplexity.ts";
import type { Model } from "../model/types.ts";
import type { RunnableFile } from "./runnable.ts";

/** A model that may hold something until it is closed. */
export type ClosableModel = Model & {
  /** Frees what it holds. */
  close?(): Promise<void>;
};

/**
 * Opens a file of weights so that it can be measured.
 *
 * @param path The file
 * @param model The model that it was made from
 * @param openWeights Reads its weights as a model: with the numbers that the file stands for, not those it was made from
 * @returns The file; close it after use
 */
export async function openWeightsFile(
  path: string,
  model: Model,
  openWeights: (path: string, model: Model) => Promise<ClosableModel>,
): Promise<RunnableFile> {
  const weights = await openWeights(path, model);
  return {
    perplexity: async (texts, { engine, ...options }) => {
      const { texts: found } = await measurePerplexity(engine, weights, texts, options);
      return found.map(({ perplexity }) => perplexity);
    },
    close: async () => await weights.close?.(),
  };
}
