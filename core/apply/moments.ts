/**
 * What the refit needs to know about a projection's inputs, from the statistics of all domains.
 * @module
 */
import type { DomainSums, KindStatistics } from "../calibrate/types.ts";
import { StatisticsError } from "../errors.ts";
import { readGram } from "../calibrate/gram_halves.ts";
import { isView } from "../model/safetensors.ts";
import { discard } from "../linear/discard.ts";
import { GramBalance } from "../linear/gram.ts";
import type { Plan } from "../plan/types.ts";
import { domainWeights, selfDomain } from "../plan/weights.ts";

/**
 * Second and first moments of the inputs of a projection, over domains balanced as `balancedGram` does: domain d
 * counts w_d / t_d with t_d = trace(G_d) / n.
 */
export interface InputMoments {
  /** Σ_d w_d / t_d · E_d x xᵀ, symmetric, `[n, n]`; absent where no Gram matrices were taken. */
  readonly gram?: Float64Array;
  /** Its diagonal, `[n]`. */
  readonly meanSquare: Float64Array;
  /** Σ_d w_d / t_d · E_d x / mass, `[n]`. */
  readonly mean: Float64Array;
  /** Σ_d w_d / t_d: what a constant 1 counts beside the inputs. */
  readonly mass: number;
  /** Tokens of the domains that count. */
  readonly tokens: number;
}

/** Moments that are only looked at: the Gram matrix may be in the precision in which it is stored. */
export type JudgingMoments = Omit<InputMoments, "gram"> & {
  /** As {@linkcode InputMoments.gram}. */
  readonly gram?: Float32Array | Float64Array;
};

/**
 * Brings domains together.
 *
 * @param domains The domains' sums
 * @param weights How much each counts; only their ratios matter
 * @param options Whether the Gram matrix is wanted
 * @returns The moments
 * @throws {StatisticsError} if no domain has any activation, or the Gram matrix is wanted and was not taken
 */
export async function inputMoments(
  domains: readonly DomainSums[],
  weights: readonly number[],
  options: { readonly gram: boolean },
): Promise<InputMoments> {
  const n = domains[0]?.sum.length ?? 0;
  const [mean, meanSquare] = [new Float64Array(n), new Float64Array(n)];
  const balance = options.gram ? new GramBalance(n) : undefined;
  let [mass, tokens, total] = [0, 0, 0];
  for (const [index, domain] of domains.entries()) {
    const { sum, sumOfSquares } = domain;
    const energy = sumOfSquares.reduce((a, b) => a + b, 0);
    if (!(weights[index] > 0 && domain.tokens > 0 && energy > 0)) continue;
    // w_d / t_d of sums instead of means: t_d = energy / tokens / n.
    const factor = weights[index] * n / energy;
    for (let j = 0; j < n; j++) {
      mean[j] += factor * sum[j];
      meanSquare[j] += factor * sumOfSquares[j];
    }
    mass += factor * domain.tokens;
    tokens += domain.tokens;
    total += weights[index];
    if (balance === undefined) continue;
    if (domain.gram === undefined) {
      throw new StatisticsError(
        "Cannot refit by 'lsq': these statistics were taken without Gram matrices; calibrate again with --refit lsq, or use --refit none",
      );
    }
    const numbers = await readGram(domain.gram);
    const release = isView(domain.gram) ? () => discard(numbers) : undefined;
    balance.add(numbers, domain.tokens, weights[index], release);
  }
  if (total === 0) {
    throw new StatisticsError("Cannot refit: the statistics hold no activation of any domain");
  }
  return {
    gram: balance?.result(),
    mean: mean.map((value) => value / mass),
    meanSquare: meanSquare.map((value) => value / total),
    mass: mass / total,
    tokens,
  };
}

/**
 * What refits are judged on: second moments of the windows kept back, where there are any, and means over the windows
 * that were summed, since none are taken of the others. All domains count alike.
 *
 * @param kind The statistics of one layer and kind
 * @returns The moments; without a Gram matrix where none was taken
 * @throws {StatisticsError} if no domain has any activation
 */
export async function heldOutMoments(kind: KindStatistics): Promise<JudgingMoments> {
  const alike = kind.domains.map(() => 1);
  const hasGram = kind.domains.every(({ gram }) => gram !== undefined);
  const { heldOutGram } = kind;
  if (heldOutGram === undefined) {
    return await inputMoments(kind.domains, alike, { gram: hasGram });
  }
  const moments = await inputMoments(kind.domains, alike, { gram: false });
  // As it is stored: it is only looked at, and would take twice the memory in double precision.
  const gram = await readGram(heldOutGram);
  const n = moments.mean.length;
  return { ...moments, gram, meanSquare: moments.mean.map((_, j) => gram[j * (n + 1)]) };
}

/**
 * How much each domain counts in a plan's refit: this project's weights for `gprune`; for the published methods, which
 * know one calibration set, the domains that gave the scores alone, all alike.
 *
 * @param plan The plan
 * @param names Names of the domains
 * @returns A weight for each
 */
export function refitWeights(
  plan: Pick<Plan, "request">,
  names: readonly string[],
): readonly number[] {
  const { method, scoreDomains } = plan.request;
  if (method === "gprune") return domainWeights(names);
  const given = names.filter((name) => name !== selfDomain);
  const chosen = scoreDomains ?? (given.length > 0 ? given : names);
  return names.map((name) => chosen.includes(name) ? 1 : 0);
}
