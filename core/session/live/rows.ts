/**
 * The trade-off of sparsity and perplexity: measured where it was, predicted elsewhere.
 * @module
 */
import type { PlanRequest } from "../../plan/types.ts";
import type { Measured } from "./folder.ts";
import type { Outlook } from "./planner.ts";
import { correction, lossOnText, type Measurement } from "./predict.ts";
import type { LiveText, TradeoffRow } from "./state.ts";

/** Sparsities that always have a row. */
export const sparsityGrid: readonly number[] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];

/** What rows are made of. */
export interface RowSource {
  /** What is chosen; its sparsity has a row too. */
  readonly request: PlanRequest;
  /** What it is compared with, for any sparsity. */
  readonly baseline?: (sparsity: number) => PlanRequest;
  /** The texts, with the dense perplexities that are known. */
  readonly texts: readonly LiveText[];
  /** Domains of the learned damage. */
  readonly domains: readonly string[];
  /** Sizes of the dense model. */
  readonly dense: {
    readonly parameters: number;
    readonly bytes: number;
    readonly tokensPerSecond?: number;
  };
  /** What was measured of a request. */
  readonly measured: (request: PlanRequest) => Measured | undefined;
  /** What a request comes to; undefined where that is not known yet. */
  readonly outlook: (request: PlanRequest) => Outlook | undefined;
}

/**
 * The sparsities that have a row.
 *
 * @param request What is chosen
 * @returns The grid and the choice, ascending
 */
export function rowSparsities({ sparsity }: PlanRequest): readonly number[] {
  return [...new Set([...sparsityGrid, sparsity])].sort((a, b) => a - b);
}

/**
 * Makes the rows of the trade-off.
 *
 * @param source What is known
 * @returns One row per sparsity, ascending
 */
export function tradeoffRows(source: RowSource): readonly TradeoffRow[] {
  const sparsities = rowSparsities(source.request);
  const measurements = source.texts.map((text, index) =>
    measurementsOn(source, sparsities, text, index)
  );
  return sparsities.map((sparsity) => {
    const row = rowAt(source, sparsity, measurements);
    const baseline = source.baseline && source.measured(source.baseline(sparsity));
    return baseline === undefined
      ? row
      : { ...row, baselineRatio: geometricMean(source.texts, baseline.perplexity) };
  });
}

function rowAt(
  source: RowSource,
  sparsity: number,
  measurements: readonly (readonly Measurement[])[],
): TradeoffRow {
  const { texts, domains, dense } = source;
  const request = { ...source.request, sparsity };
  const found = source.measured(request);
  if (found !== undefined) {
    const { perplexity, parameters, bytes, tokensPerSecond } = found;
    const ratio = geometricMean(texts, perplexity);
    return { sparsity, measured: true, perplexity, ratio, parameters, bytes, tokensPerSecond };
  }
  const outlook = source.outlook(request);
  if (outlook === undefined || outlook.problem !== undefined) {
    const unknown = texts.map(() => undefined);
    return { sparsity, measured: false, perplexity: unknown, problem: outlook?.problem };
  }
  const perplexity = texts.map((text, index) => {
    if (text.dense === undefined || outlook.losses.length === 0) return undefined;
    const loss = lossOnText(outlook.losses, domains, text.name);
    return text.dense * Math.exp(loss * correction(measurements[index], sparsity));
  });
  const left = outlook.parameters / dense.parameters;
  return {
    sparsity,
    measured: false,
    perplexity,
    ratio: geometricMean(texts, perplexity),
    parameters: outlook.parameters,
    bytes: Math.round(dense.bytes * left),
    tokensPerSecond: dense.tokensPerSecond && dense.tokensPerSecond / left,
  };
}

function measurementsOn(
  source: RowSource,
  sparsities: readonly number[],
  text: LiveText,
  index: number,
): readonly Measurement[] {
  const { dense } = text;
  if (dense === undefined) return [];
  return sparsities.flatMap((sparsity) => {
    const request = { ...source.request, sparsity };
    const found = source.measured(request);
    const outlook = found && source.outlook(request);
    if (found === undefined || outlook === undefined || outlook.losses.length === 0) return [];
    const predicted = lossOnText(outlook.losses, source.domains, text.name);
    return [{ sparsity, predicted, measured: Math.log(found.perplexity[index] / dense) }];
  });
}

function geometricMean(
  texts: readonly LiveText[],
  perplexity: readonly (number | undefined)[],
): number | undefined {
  let sum = 0;
  for (const [index, { dense }] of texts.entries()) {
    const value = perplexity[index];
    if (dense === undefined || value === undefined) return undefined;
    sum += Math.log(value / dense);
  }
  return texts.length === 0 ? undefined : Math.exp(sum / texts.length);
}

/** A sparsity to measure next, and for whom. */
export interface Candidate {
  readonly request: PlanRequest;
  readonly isBaseline: boolean;
}

/** How much nearer to the choice a row must be before a baseline's row goes first. */
const baselineHandicap = 0.15;

/**
 * The plans to measure, in the order in which they help most: nearest the choice first.
 *
 * @param source What is known
 * @returns Those not measured yet
 */
export function candidates(
  source: Pick<RowSource, "request" | "baseline" | "measured" | "outlook">,
): readonly Candidate[] {
  const { request, baseline } = source;
  const near = (sparsity: number) => Math.abs(sparsity - request.sparsity);
  return rowSparsities(request)
    .flatMap((sparsity) => [
      { request: { ...request, sparsity }, isBaseline: false, far: near(sparsity) },
      ...(baseline === undefined ? [] : [{
        request: baseline(sparsity),
        isBaseline: true,
        far: near(sparsity) + baselineHandicap,
      }]),
    ])
    .filter((each) => each.request.sparsity > 0 && source.measured(each.request) === undefined)
    .filter((each) => each.isBaseline || source.outlook(each.request)?.problem === undefined)
    .sort((a, b) => a.far - b.far)
    .map(({ request, isBaseline }) => ({ request, isBaseline }));
}
