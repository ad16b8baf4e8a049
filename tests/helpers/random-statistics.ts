/**
 * Statistics and plans for random models, made without running them.
 * @module
 */
import type { DomainSums, KindStatistics, Statistics } from "../../core/calibrate/types.ts";
import type { Model } from "../../core/model/types.ts";
import { unitParameters } from "../../core/model/units.ts";
import type { LayerPlan, Plan, PlanRequest } from "../../core/plan/types.ts";
import { randomInputs } from "./matrices.ts";

/**
 * Statistics of made-up inputs, with Gram matrices.
 *
 * @param model The model that they are for
 * @param options Names of the domains (default two), inputs of each (default 1000), whether to take Gram matrices
 * @returns The statistics
 */
export function randomStatistics(
  model: Model,
  options: {
    readonly domains?: readonly string[];
    readonly tokens?: number;
    readonly gram?: boolean;
  } = {},
): Statistics {
  const { domains = ["code", "wiki"], tokens = 1000, gram = true } = options;
  const { layers, headSize } = model.architecture;
  const kind = (channels: number, seed: number): KindStatistics => ({
    domains: domains.map((_, d) => domainSums(channels, tokens, seed + d, gram)),
    heldOutGram: gram ? domainSums(channels, tokens, seed, true).gram : undefined,
    weights: {
      columnNorm: new Float64Array(channels),
      columnMeanAbsolute: new Float64Array(channels),
      rowNorm: new Float64Array(channels),
    },
  });
  return {
    schema: "gprune.statistics/1",
    model: { source: model.source, fingerprint: model.fingerprint, layers },
    seed: 0,
    domains: domains.map((name) => ({
      name,
      tokens,
      windows: 1,
      heldOutWindows: 1,
      seqLen: tokens,
      sha256: "0".repeat(64),
    })),
    layers: layers.map((shape, layer) => ({
      ffn: kind(shape.ffnWidth, 100 * layer),
      heads: kind(shape.queryHeads * headSize, 100 * layer + 50),
    })),
  };
}

/**
 * Sums over random inputs.
 *
 * @param channels Channels
 * @param tokens Inputs
 * @param seed Equal seeds give equal inputs
 * @param gram Whether to take the Gram matrix
 * @returns Their sums
 */
export function domainSums(
  channels: number,
  tokens: number,
  seed: number,
  gram = true,
): DomainSums {
  const inputs = randomInputs(channels, tokens, seed);
  const sum = new Float64Array(channels);
  const sumOfSquares = new Float64Array(channels);
  const products = new Float32Array(channels * channels);
  for (let token = 0; token < tokens; token++) {
    const x = inputs.subarray(token * channels, (token + 1) * channels);
    for (let i = 0; i < channels; i++) {
      sum[i] += x[i];
      sumOfSquares[i] += x[i] ** 2;
      if (gram) { for (let j = 0; j < channels; j++) products[i * channels + j] += x[i] * x[j]; }
    }
  }
  const matrix = { shape: [channels, channels], data: products };
  return { tokens, sum, sumOfSquares, ...(gram ? { gram: matrix } : {}) };
}

/**
 * A plan that keeps what it is told to.
 *
 * @param model The model
 * @param kept What each layer keeps; everything where absent
 * @param request Fields of the request that differ from `gprune` without a refit
 * @returns The plan
 */
export function planOf(
  model: Model,
  kept: readonly Partial<Omit<LayerPlan, "layer">>[] = [],
  request: Partial<PlanRequest> = {},
): Plan {
  const { architecture } = model;
  const all = (count: number) => Array.from({ length: count }, (_, unit) => unit);
  const layers = architecture.layers.map((shape, layer) => ({
    layer,
    ffnKept: kept[layer]?.ffnKept ?? all(shape.ffnWidth),
    keyValueHeadsKept: kept[layer]?.keyValueHeadsKept ?? all(shape.keyValueHeads),
  }));
  const count = (units: (layer: number) => readonly [ffn: number, heads: number]) =>
    architecture.layers.reduce((sum, shape, layer) => {
      const [ffn, heads] = units(layer);
      return sum + ffn * unitParameters(architecture, shape, "ffn") +
        heads * unitParameters(architecture, shape, "heads");
    }, 0);
  const before = count((layer) => {
    const { ffnWidth, keyValueHeads } = architecture.layers[layer];
    return [ffnWidth, keyValueHeads];
  });
  const after = count((layer) => [
    layers[layer].ffnKept.length,
    layers[layer].keyValueHeadsKept.length,
  ]);
  return {
    schema: "gprune.plan/1",
    model: { source: model.source, fingerprint: model.fingerprint, layers: architecture.layers },
    request: {
      method: "gprune",
      metric: "obs",
      sparsity: 1 - after / before,
      structures: ["ffn", "heads"],
      shape: "adaptive",
      refit: "none",
      modules: 4,
      multiple: 1,
      switch: "none",
      objective: "mean",
      seed: 0,
      ...request,
    },
    layers,
    modules: [],
    result: { sparsity: 1 - after / before, prunableBefore: before, prunableAfter: after },
  };
}
