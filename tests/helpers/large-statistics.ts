/**
 * A made-up large model and its statistics, for what must stay fast however large a model is.
 * @module
 */
import type { KindStatistics, Statistics } from "../../core/calibrate/types.ts";
import type { Architecture, LayerShape, Model } from "../../core/model/types.ts";
import { Random } from "../../core/random.ts";

/** Sizes of the made-up model. */
export interface LargeSizes {
  /** Layers. Default 32. */
  readonly layers?: number;
  /** FFN neurons per layer. Default 11,008. */
  readonly ffnWidth?: number;
  /** KV heads per layer. Default 32. */
  readonly heads?: number;
}

/**
 * A model with a description and no tensors, as large as Llama 2 7B unless told otherwise.
 *
 * @param sizes Its sizes
 * @returns The model
 */
export function largeModel(sizes: LargeSizes = {}): Model {
  const { layers = 32, ffnWidth = 11_008, heads = 32 } = sizes;
  const shape: LayerShape = { ffnWidth, keyValueHeads: heads, queryHeads: heads };
  const architecture: Architecture = {
    family: "llama",
    hiddenSize: 4096,
    headSize: 128,
    vocabularySize: 32_000,
    maxPositions: 4096,
    normEpsilon: 1e-5,
    activation: "silu",
    rotary: { theta: 1e4, scaling: "default", inverseFrequencies: [], attentionFactor: 1 },
    tiedEmbedding: false,
    layers: Array.from({ length: layers }, () => shape),
  };
  return {
    name: "large",
    source: "large",
    folder: "",
    architecture,
    config: {},
    tensors: new Map(),
    dataType: "F16",
    parameters: 6_738_415_616,
    bytes: 13_476_831_232,
    fingerprint: "large",
    companionFiles: [],
    tokenizer: () => Promise.reject(new Error("The made-up model has no tokenizer")),
  };
}

/**
 * Statistics of a made-up model: sums, norms, removal orders and damage curves, without Gram matrices.
 *
 * @param model The model
 * @param domains Names of the domains
 * @returns The statistics
 */
export function largeStatistics(
  model: Model,
  domains: readonly string[] = ["code", "self", "talk", "wiki"],
): Statistics {
  const { layers, headSize } = model.architecture;
  const kind = (units: number, channels: number, seed: string): KindStatistics => {
    const random = Random.of(seed);
    const numbers = (count: number) => Float64Array.from({ length: count }, () => random.next());
    const falling = (power: number) =>
      Float64Array.from({ length: units + 1 }, (_, k) => Math.pow(k / units, power));
    return {
      domains: domains.map(() => ({
        tokens: 1000,
        sum: numbers(channels),
        sumOfSquares: numbers(channels).map((value) => 1000 * value),
      })),
      weights: {
        columnNorm: numbers(channels),
        columnMeanAbsolute: numbers(channels),
        rowNorm: numbers(channels),
      },
      obs: {
        order: Int32Array.from(random.permutation(units)),
        refittedError: falling(2 + random.next()),
        plainError: falling(1.5 + random.next()),
      },
    };
  };
  const all = layers.map((shape, layer) => ({
    ffn: kind(shape.ffnWidth, shape.ffnWidth, `ffn ${layer}`),
    heads: kind(shape.keyValueHeads, shape.queryHeads * headSize, `heads ${layer}`),
  }));
  const fractions = [0.2, 0.45, 0.7, 0.93];
  return {
    schema: "gprune.statistics/1",
    model: { source: model.source, fingerprint: model.fingerprint, layers },
    seed: 0,
    domains: domains.map((name) => ({
      name,
      tokens: 1000,
      windows: 8,
      heldOutWindows: 2,
      seqLen: 125,
      sha256: "0".repeat(64),
    })),
    layers: all,
    learned: {
      domains,
      denseLoss: domains.map(() => 2),
      calibrationPasses: 4,
      curves: layers.flatMap((_, layer) =>
        (["ffn", "heads"] as const).map((structure) => {
          const damage = fractions.map((fraction) => fraction ** 2 * (0.2 + (layer % 5) / 10));
          return {
            layer,
            structure,
            fractions,
            relativeErrors: fractions.map((fraction) => fraction ** 2),
            damage,
            damagePerDomain: damage.map((loss) => domains.map((_, d) => loss * (1 + d / 4))),
          };
        })
      ),
    },
  };
}
