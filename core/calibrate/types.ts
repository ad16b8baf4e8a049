/**
 * What calibration knows about a model: sums over tokens for every projection that ends a unit, the orders in which
 * its units can go, and what their loss costs.
 * @module
 */
import type { LayerShape, Structure, Tensor } from "../model/types.ts";

/** One text that statistics were taken on. */
export interface DomainRecord {
  /** The name that the user gave, or `self` for text sampled from the model. */
  readonly name: string;
  /** Tokens whose activations were summed. */
  readonly tokens: number;
  /** Windows that were summed. */
  readonly windows: number;
  /** Windows kept back to judge refits and to learn damage on. */
  readonly heldOutWindows: number;
  /** Tokens in a window. */
  readonly seqLen: number;
  /** SHA-256 of the text (for `self`, of the sampled tokens), as hexadecimal digits. */
  readonly sha256: string;
}

/** Sums over one domain's tokens of the inputs x of a projection with n input channels. */
export interface DomainSums {
  /** Tokens that were summed. */
  readonly tokens: number;
  /** Σ x, `[n]`. */
  readonly sum: Float64Array;
  /** Σ x², `[n]`. */
  readonly sumOfSquares: Float64Array;
  /**
   * Σ x xᵀ, in memory `[n, n]`, in a file what lies on and below its diagonal, row after row, `[n (n + 1) / 2]`; absent
   * where it was not asked for.
   */
  readonly gram?: Tensor;
}

/** What the weights alone say about the n channels. */
export interface WeightNorms {
  /** ‖W_:j‖₂ of the closing projection (`down_proj` or `o_proj`), `[n]`. */
  readonly columnNorm: Float64Array;
  /** mean over i of |W_ij|, `[n]`. */
  readonly columnMeanAbsolute: Float64Array;
  /**
   * Product of the norms of the rows that make the channel: ‖gate_j‖₂ · ‖up_j‖₂, or ‖v_j‖₂ for a channel of
   * attention, `[n]`.
   */
  readonly rowNorm: Float64Array;
}

/** An order in which all units of one layer and kind can go, and the error that it leaves in the layer's output. */
export interface RemovalOrder {
  /** Unit numbers, first to go first, `[units]`. */
  readonly order: Int32Array;
  /**
   * Output error after removing the first k units, refitted by least squares, as a share of the output's energy
   * tr(W G Wᵀ), `[units + 1]`, from 0 upwards.
   */
  readonly refittedError: Float64Array;
  /** The same without a refit, `[units + 1]`. */
  readonly plainError: Float64Array;
}

/** The statistics of one layer and kind. Channels are FFN neurons, or query heads × head size. */
export interface KindStatistics {
  /** One entry for each of the statistics' domains, in their order. */
  readonly domains: readonly DomainSums[];
  /** Σ x xᵀ over the windows kept back, every domain scaled to the same trace, as {@linkcode DomainSums.gram}. */
  readonly heldOutGram?: Tensor;
  /** What the weights alone say. */
  readonly weights: WeightNorms;
  /** Removal by exact output error (`obs`), where Gram matrices were taken. */
  readonly obs?: RemovalOrder;
}

/** The statistics of one layer. */
export interface LayerStatistics {
  /** FFN neurons: inputs of `down_proj`. */
  readonly ffn: KindStatistics;
  /** KV groups: inputs of `o_proj`. */
  readonly heads: KindStatistics;
}

/** Loss added by removing a part of one layer's units alone, measured on the windows kept back. */
export interface DamageCurve {
  /** Counted from 0. */
  readonly layer: number;
  /** The kind of unit. */
  readonly structure: Structure;
  /** Shares of the units removed, growing. */
  readonly fractions: readonly number[];
  /** Relative output error at each share (see {@linkcode RemovalOrder}). */
  readonly relativeErrors: readonly number[];
  /** Nats per token added, mean over domains, at each share. */
  readonly damage: readonly number[];
  /** The same for each domain, `[fractions][domains]`. */
  readonly damagePerDomain: readonly (readonly number[])[];
}

/** What was learned by forward passes on the windows kept back. */
export interface LearnedDamage {
  /** Names of the domains that the damage was measured on. */
  readonly domains: readonly string[];
  /** Loss of the dense model in nats per token, for each domain. */
  readonly denseLoss: readonly number[];
  /** One for each layer and kind. */
  readonly curves: readonly DamageCurve[];
  /** Work spent, in passes over the calibration windows through all layers. */
  readonly calibrationPasses: number;
}

/** One domain, cut into windows. */
export interface DomainWindows {
  /** Its name. */
  readonly name: string;
  /** Windows whose activations are summed, all of one length. */
  readonly calibration: readonly Int32Array[];
  /** Windows kept back. */
  readonly heldOut: readonly Int32Array[];
}

/** Everything that calibration knows. */
export interface Statistics {
  /** Name and version of the file format. */
  readonly schema: "gprune.statistics/1";
  /** The model they belong to. */
  readonly model: {
    readonly source: string;
    readonly fingerprint: string;
    readonly layers: readonly LayerShape[];
  };
  /** Seed of sampling. */
  readonly seed: number;
  /** The texts, sorted by name. */
  readonly domains: readonly DomainRecord[];
  /** Their token windows, for what needs the texts again: learning, and the refit block by block. */
  readonly windows?: readonly DomainWindows[];
  /** The domains that the removal orders of `obs` were made from, sorted; all if absent. */
  readonly orderDomains?: readonly string[];
  /** One entry per layer. */
  readonly layers: readonly LayerStatistics[];
  /** Damage curves, where they were learned. */
  readonly learned?: LearnedDamage;
}
