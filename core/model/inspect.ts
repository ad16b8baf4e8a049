/**
 * What there is to know about a model before anything is done with it.
 * @module
 */
import { exportFormats, type FormatName, formatNames } from "../export/formats.ts";
import type { DataType, LayerShape, Model, Structure } from "./types.ts";
import { prunableParameters, switchesOf } from "./units.ts";

/** What one export format can hold of a model. */
export interface ExportCapability {
  /** The format, as `--format` names it. */
  readonly format: FormatName;
  /** Whether this version of gprune writes the format. */
  readonly available: boolean;
  /** What loads a model whose layers are all alike. */
  readonly uniform: string;
  /** What loads a model whose layers differ. */
  readonly adaptive: string;
  /** Whether the format has a place for the biases of `--refit bias`. */
  readonly bias: string;
}

/** What {@linkcode inspectModel} tells. */
export interface ModelSummary {
  /** A short name. */
  readonly name: string;
  /** What the user asked for. */
  readonly source: string;
  /** The folder that holds its files. */
  readonly folder: string;
  /** The `model_type` of its config. */
  readonly family: string;
  /** What it computes otherwise than Llama, in words. */
  readonly switches: readonly string[];
  /** How most of its numbers are stored. */
  readonly dataType: DataType;
  /** How many blocks it has. */
  readonly layers: number;
  /** Sizes of each block, and how many query heads share a key/value head. */
  readonly shapes: readonly (LayerShape & { readonly queriesPerGroup: number })[];
  /** Whether all blocks have the same sizes. */
  readonly uniform: boolean;
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Channels of a head. */
  readonly headSize: number;
  /** Tokens in the vocabulary. */
  readonly vocabularySize: number;
  /** Whether the output head is the embedding. */
  readonly tiedEmbedding: boolean;
  /** The longest text in tokens. */
  readonly maxPositions: number;
  /** How far attention looks back in tokens, where it is limited. */
  readonly slidingWindow?: number;
  /** The gate's activation. */
  readonly activation: string;
  /** The base of the rotary frequencies, and the name of their scaling. */
  readonly rotary: {
    readonly theta: number;
    readonly scaling: string;
    /** Channels of a head that are rotated; 0 where positions are learned. */
    readonly rotated: number;
  };
  /** The biases that its blocks have. */
  readonly biases: readonly string[];
  /** Numbers in all tensors, and in the units that can be pruned. */
  readonly parameters: {
    readonly total: number;
    readonly prunable: Readonly<Record<Structure | "all", number>>;
  };
  /** Bytes of the weight files. */
  readonly bytes: number;
  /** SHA-256 over config and weights. */
  readonly fingerprint: string;
  /** Files that belong in every copy. */
  readonly companionFiles: readonly string[];
  /** What each export format can hold. */
  readonly exports: readonly ExportCapability[];
}

/**
 * Sums a model up.
 *
 * @param model The model
 * @returns Plain data: sizes, counts of parameters, what each export can hold
 *
 * @example
 * ```ts
 * import { inspectModel } from "./inspect.ts";
 * import { openModel } from "./open.ts";
 * const summary = inspectModel(await openModel());
 * console.log(summary.parameters.prunable.all / summary.parameters.total);
 * ```
 */
export function inspectModel(model: Model): ModelSummary {
  const { architecture } = model;
  const { layers, rotary } = architecture;
  const prunable = prunableParameters(architecture);
  return {
    name: model.name,
    source: model.source,
    folder: model.folder,
    family: architecture.family,
    switches: switchesOf(architecture),
    dataType: model.dataType,
    layers: layers.length,
    shapes: layers.map((shape) => ({
      ...shape,
      queriesPerGroup: shape.queryHeads / shape.keyValueHeads,
    })),
    uniform: isUniform(layers),
    hiddenSize: architecture.hiddenSize,
    headSize: architecture.headSize,
    vocabularySize: architecture.vocabularySize,
    tiedEmbedding: architecture.tiedEmbedding,
    maxPositions: architecture.maxPositions,
    ...(architecture.slidingWindow === undefined
      ? {}
      : { slidingWindow: architecture.slidingWindow }),
    activation: architecture.activation,
    rotary: {
      theta: rotary.theta,
      scaling: rotary.scaling,
      rotated: 2 * rotary.inverseFrequencies.length,
    },
    biases: architecture.biases ?? [],
    parameters: {
      total: model.parameters,
      prunable: { ...prunable, all: prunable.ffn + prunable.heads },
    },
    bytes: model.bytes,
    fingerprint: model.fingerprint,
    companionFiles: model.companionFiles,
    exports: exportCapabilities(model),
  };
}

/**
 * Whether all layers have the same sizes, so that stock runtimes load the model.
 *
 * @param layers Sizes of the layers
 * @returns True if they are alike
 */
export function isUniform(layers: readonly LayerShape[]): boolean {
  const [first, ...others] = layers;
  return others.every((shape) =>
    shape.ffnWidth === first.ffnWidth && shape.keyValueHeads === first.keyValueHeads &&
    shape.queryHeads === first.queryHeads
  );
}

function exportCapabilities({ architecture }: Model): ExportCapability[] {
  return formatNames.map((name) => {
    const { available, words } = exportFormats[name];
    return { format: name, available, ...words(architecture) };
  });
}
