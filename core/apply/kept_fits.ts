/**
 * Finished fits, kept so that an interrupted run can go on.
 * @module
 */
import type { RefitRow } from "../evaluate/report.ts";
import type { RefittedProjection } from "./refit.ts";

/** One finished fit, or all of a layer. */
export interface KeptFit {
  /** Weights by what they are for. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** What it came to; survives JSON. */
  readonly words: unknown;
}

/** Where finished fits are kept. */
export interface KeptFits {
  /** What was kept under a name, or undefined. */
  readonly read: (name: string) => Promise<KeptFit | undefined>;
  /** Keeps a fit under a name. */
  readonly write: (name: string, fit: KeptFit) => Promise<void>;
}

/**
 * The refit of one projection: the kept one, or one that is made and kept.
 *
 * @param kept Where fits are kept; nowhere if absent
 * @param name The fit's name
 * @param fit Makes it
 * @returns The refit
 */
export async function keptOrMade(
  kept: KeptFits | undefined,
  name: string,
  fit: () => Promise<RefittedProjection>,
): Promise<RefittedProjection> {
  const known = await kept?.read(name);
  const weight = known?.weights.get("weight");
  if (known !== undefined && weight !== undefined) {
    return { weight, bias: known.weights.get("bias"), row: known.words as RefitRow };
  }
  const made = await fit();
  const bias: readonly [string, Float32Array][] = made.bias ? [["bias", made.bias]] : [];
  await kept?.write(name, {
    weights: new Map([["weight", made.weight], ...bias]),
    words: made.row,
  });
  return made;
}
