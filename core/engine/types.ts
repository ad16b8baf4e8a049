/**
 * What runs a model block by block. One implementation is on ONNX Runtime; nothing above knows which one runs.
 * @module
 */
import type { MemoryBudget } from "./memory.ts";
import type {
  Architecture,
  BlockTensors,
  LayerShape,
  Model,
  Structure,
  Tensor,
} from "../model/types.ts";
import type { Block as MatrixBlock } from "../linear/product.ts";

/**
 * What a block reports besides its output: nothing, sums, sums with Gram matrices, or the residual stream between
 * attention and FFN.
 */
export type Capture = "none" | "sums" | "gram" | "middle";

/** Sums over tokens of the inputs x of one projection (`down_proj` or `o_proj`), n channels. */
export interface ChannelSums {
  /** Tokens that were summed. */
  readonly tokens: number;
  /** Σ x, `[n]`. */
  readonly sum: Float64Array;
  /** Σ x², `[n]`. */
  readonly sumOfSquares: Float64Array;
  /** Σ x xᵀ, `[n, n]` row-major; with capture `gram` alone. */
  readonly gram?: Float32Array;
}

/** What to run: one block's sizes and tensors. */
export interface BlockSpecification {
  /** The model's description (its `layers` are not looked at). */
  readonly architecture: Architecture;
  /** The sizes of this block. */
  readonly shape: LayerShape;
  /** Its tensors: views are mapped from their files without a copy, tensors in memory are passed as they are. */
  readonly tensors: BlockTensors;
  /** What to report besides the output. */
  readonly capture: Capture;
}

/** Keys and values of the tokens so far, for generation; made by the engine, passed back to it. */
export interface KeyValueCache {
  /** Tokens so far. */
  readonly length: number;
}

/** A residual stream that stays where its engine keeps it, such as a graphics card's memory. */
export interface ResidentStream {
  /** How many numbers it has. */
  readonly length: number;
  /**
   * Reads it.
   *
   * @returns Its numbers
   * @throws {EngineError} if they are lost
   */
  read(): Promise<Float32Array>;
  /** Frees what it holds. */
  close(): void;
}

/** A residual stream, wherever it is. */
export type Stream = Float32Array | ResidentStream;

/** Sums over tokens of the inputs of `down_proj`, and of `o_proj`. */
export interface BlockSums {
  /** Of `down_proj`. */
  readonly ffn: ChannelSums;
  /** Of `o_proj`. */
  readonly heads: ChannelSums;
}

/** What a block gives for one batch. */
export interface BlockOutput {
  /** The residual stream after the block, `[batch, length, hidden]`. */
  readonly hidden: Float32Array;
  /** Sums over the batch's tokens; with capture `sums` or `gram`. */
  readonly sums?: BlockSums;
  /** The residual stream between attention and FFN, `[batch, length, hidden]`; with capture `middle`. */
  readonly middle?: Float32Array;
  /** The cache after these tokens; where one was passed. */
  readonly cache?: KeyValueCache;
}

/** One block, ready to run. */
export interface Block {
  /** Its tensors in float32, where the engine has read them anyway; they are lent until the block is closed. */
  readonly weights?: BlockTensors;
  /**
   * Runs a batch of equally long texts.
   *
   * @param hidden The residual stream, `[batch, length, hidden]`
   * @param batch Texts in the batch
   * @param length Tokens per text
   */
  run(hidden: Float32Array, batch: number, length: number): Promise<BlockOutput>;
  /**
   * Like `run`, but the output may stay where the engine keeps it, and sums add up there until {@linkcode takeSums}.
   * Engines in the computer's own memory do not have it. Use it through `openPassage`.
   *
   * @param hidden The residual stream, `[batch, length, hidden]`; it stays the caller's
   * @param batch Texts in the batch
   * @param length Tokens per text
   * @returns The residual stream after the block; close it after use
   */
  keep?(hidden: Stream, batch: number, length: number): Promise<Stream>;
  /**
   * Like `keep`, of a block with capture `middle`: both streams stay where the engine keeps them.
   *
   * @param hidden The residual stream, `[batch, length, hidden]`; it stays the caller's
   * @param batch Texts in the batch
   * @param length Tokens per text
   * @returns The residual streams after the block and between its halves; close them after use
   */
  keepMiddle?(
    hidden: Stream,
    batch: number,
    length: number,
  ): Promise<{ readonly hidden: Stream; readonly middle: Stream }>;
  /**
   * Takes the sums of all batches that were kept since the last call.
   *
   * @returns The sums; undefined where there are none, or the capture has none
   */
  takeSums?(): Promise<BlockSums | undefined>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

/** What a least-squares fit of a closing projection needs: inputs x, and targets t that its output should meet. */
export interface FitSums {
  /** Σ x xᵀ, `[n, n]`. */
  readonly gram: Float32Array;
  /** Σ t xᵀ, `[hidden, n]`. */
  readonly cross: Float32Array;
  /** Σ ‖t‖². */
  readonly targetEnergy: number;
}

/** What the residual stream should be, and how much each token counts. */
export interface StreamTarget {
  /** The stream after the projection that is fitted, `[batch, length, hidden]`. */
  readonly stream: Float32Array;
  /** What each token's input and target are multiplied by, `[batch, length]`: the root of how much it counts. */
  readonly tokenScale: Float32Array;
}

/**
 * What the residual stream should be, wherever it is. Each token counts by its share of the stream: it is multiplied by
 * 1 / root mean square (of a model with LayerNorm, 1 / standard deviation) of what its stream should be.
 */
export interface ResidentTarget {
  /** The stream after the projection that is fitted, `[batch, length, hidden]`. */
  readonly stream: Stream;
  /** What is taken off it first: the projection's bias, which stays as it is, `[hidden]`. */
  readonly bias?: Float32Array;
}

/** One block, one of whose closing projections is being fitted. */
export interface FittingBlock {
  /**
   * Runs a batch and sums what a fit needs. The projection's target is what it takes to get from the stream before it,
   * as the block has it now, to the target.
   *
   * @param hidden The residual stream before the block, `[batch, length, hidden]`
   * @param batch Texts in the batch
   * @param length Tokens per text
   * @param target What the stream should be
   */
  run(
    hidden: Float32Array,
    batch: number,
    length: number,
    target: StreamTarget,
  ): Promise<FitSums>;
  /**
   * Like `run`, but streams may be where the engine keeps them, and sums add up there until `takeSums`. Engines in the
   * computer's own memory do not have it. Use it through `openFitPassage`.
   *
   * @param hidden The residual stream before the block; it stays the caller's
   * @param batch Texts in the batch
   * @param length Tokens per text
   * @param target What the stream should be
   */
  add?(hidden: Stream, batch: number, length: number, target: ResidentTarget): Promise<void>;
  /**
   * Takes the sums of all batches that were added since the last call.
   *
   * @returns The sums; undefined where there are none
   */
  takeSums?(): Promise<FitSums | undefined>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

/** Fits one normed stream to another. */
export interface StreamFit {
  /**
   * Sums what a fit of t = norm(wanted) by x = norm(now) needs.
   *
   * @param now A residual stream, `[tokens, hidden]`
   * @param wanted What it should be, `[tokens, hidden]`
   * @param tokenScale What each token is multiplied by, `[tokens]`
   */
  run(now: Float32Array, wanted: Float32Array, tokenScale: Float32Array): Promise<FitSums>;
  /**
   * Like `run` with all tokens alike, but streams may be where the engine keeps them, and sums add up there until
   * `takeSums`. Engines in the computer's own memory do not have it. Use it through `openStreamFitPassage`.
   *
   * @param now A residual stream, `[tokens, hidden]`
   * @param wanted What it should be, `[tokens, hidden]`
   */
  add?(now: Stream, wanted: Stream): Promise<void>;
  /**
   * Takes the sums of all batches that were added since the last call.
   *
   * @returns The sums; undefined where there are none
   */
  takeSums?(): Promise<FitSums | undefined>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

/** One block that continues texts token by token with a key/value cache. */
export interface CachedBlock {
  /**
   * Runs the next `length` tokens of each text after those in the cache (none at the start).
   *
   * @param hidden The residual stream of the new tokens, `[batch, length, hidden]`
   * @param batch Texts in the batch
   * @param length New tokens per text
   * @param cache What the call before returned, or undefined at the start
   */
  run(
    hidden: Float32Array,
    batch: number,
    length: number,
    cache?: KeyValueCache,
  ): Promise<BlockOutput>;
  /**
   * Like `run`, but the output may stay where the engine keeps it. Engines in the computer's own memory do not have it.
   *
   * @param hidden The residual stream of the new tokens; it stays the caller's
   * @param batch Texts in the batch
   * @param length New tokens per text
   * @param cache What the call before returned, or undefined at the start
   * @returns The residual stream after the block, which is to be closed, and the cache after these tokens
   */
  keep?(
    hidden: Stream,
    batch: number,
    length: number,
    cache?: KeyValueCache,
  ): Promise<{ readonly hidden: Stream; readonly cache?: KeyValueCache }>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

/** Where tokens stand in their texts: models with learned positions need to know. */
export interface TextPlace {
  /** Tokens of each text, one text after the other. */
  readonly length: number;
  /** The position of each text's first token; 0 if absent. */
  readonly first?: number;
}

/** What comes before the blocks: rows of the embedding, and of the learned positions where there are any. */
export interface Embedding {
  /**
   * The rows of the tokens, `[tokens, hidden]`.
   *
   * @param tokens Token numbers
   * @param at Where they stand; only models without learned positions can do without
   */
  lookup(tokens: ArrayLike<number>, at?: TextPlace): Promise<Float32Array>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

/** What comes after the blocks: the final norm and the output head. */
export interface Head {
  /**
   * Negative log-likelihoods (natural logarithm) of targets, without keeping logits.
   *
   * @param hidden The residual stream after the last block, `[rows, hidden]`
   * @param targets The token to predict from each row, `[rows]`
   */
  negativeLogLikelihoods(hidden: Stream, targets: Int32Array): Promise<Float32Array>;
  /**
   * Logits of every row, `[rows, vocabulary]`.
   *
   * @param hidden The residual stream after the last block, `[rows, hidden]`
   */
  logits(hidden: Stream): Promise<Float32Array>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

/** Runs models block by block. */
export interface Engine {
  /** `onnx` or `webgpu`. */
  readonly name: string;
  /** `cpu`, or the graphics card's name. */
  readonly device: string;
  /** How much memory the work may take; ordinary limits if absent. */
  readonly memory?: MemoryBudget;
  /** Prepares a block to run whole texts. */
  openBlock(specification: BlockSpecification): Promise<Block>;
  /** Prepares a block to continue texts token by token. */
  openCachedBlock(specification: BlockSpecification): Promise<CachedBlock>;
  /** Prepares a block, one of whose closing projections is to be fitted; `capture` is not looked at. */
  openFittingBlock(specification: BlockSpecification, structure: Structure): Promise<FittingBlock>;
  /** Prepares the fit of normed streams; the tensors are the norm's weight and, of a LayerNorm, its bias, `[hidden]`. */
  openStreamFit(architecture: Architecture, norm: Tensor, bias?: Tensor): Promise<StreamFit>;
  /**
   * Says which block will be opened next, while another one runs: an engine that has to carry weights somewhere begins
   * with it. Nothing but time depends on it; engines in the computer's own memory do not have it.
   *
   * @param block The block
   */
  announceBlock?(block: Omit<BlockSpecification, "capture">): void;
  /** Prepares the embedding. */
  openEmbedding(model: Model): Promise<Embedding>;
  /** Prepares final norm and output head; with another weight for the norm, `[hidden]`, where one is given. */
  openHead(model: Model, finalNorm?: Tensor): Promise<Head>;
  /**
   * left · rightᵀ of matrices in the computer's memory, with numbers and sums in float64 on the processor, and in
   * float32 on a card, which makes the largest only. Use it through `multiplier`.
   *
   * @param left `[rows, depth]`
   * @param right `[columns, depth]`
   * @param lent An array that may be filled and returned, `[rows, columns]`
   * @returns `[rows, columns]`; undefined where the operands are so small that the engine would not be faster
   */
  multiply?(
    left: MatrixBlock,
    right: MatrixBlock,
    lent?: Float64Array,
  ): Promise<Float64Array | undefined>;
  /** Frees what it holds. */
  close(): Promise<void>;
}
