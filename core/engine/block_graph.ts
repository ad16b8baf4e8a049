/**
 * The graph that runs one block by itself, and what goes into it at every run.
 * @module
 */
import { layerAttention, type SequenceValues } from "../onnx/attention.ts";
import { addBlock, type BlockValues } from "../onnx/block.ts";
import { GraphBuilder, type Value } from "../onnx/graph.ts";
import { addCross, addGram, addGramTiles, addSum, addSumOfSquares } from "../onnx/sums.ts";
import type { RotationTables } from "./rotations.ts";
import { type Feed, floats, integers, shortIntegers } from "./runtime.ts";
import type { Structure } from "../model/types.ts";
import type { BlockSpecification } from "./types.ts";
import { blockWeights } from "./weights.ts";

/** What the names of a lone block's weights start with. */
export const BLOCK_NAME = "block";

/** The sizes of one run. */
export interface RunSizes {
  /** Texts in the batch. */
  readonly batch: number;
  /** New tokens per text. */
  readonly length: number;
  /** Tokens per text in the cache. */
  readonly past: number;
}

/** The beginnings of a lone block's graph: inputs, the block, its output. */
interface LoneBlock {
  readonly graph: GraphBuilder;
  readonly block: BlockValues;
  /** The residual stream before the block, `[texts * tokens, hidden]`. */
  readonly stream: Value;
}

function loneBlock(
  { architecture, shape, tensors }: BlockSpecification,
  attention: "whole" | "cached",
): LoneBlock {
  const { hiddenSize, headSize } = architecture;
  const graph = new GraphBuilder();
  const stream = graph.input("hidden", "F32", ["tokens", hiddenSize]);
  const sequence = {
    dimensions: graph.input("dimensions", "I64", [3]),
    ...rotationInputs(graph, architecture, shape),
    positions: graph.input("position", "I64", [1]),
    lastIndices: graph.input("lastIndices", "I32", ["batch"]),
    totalLength: graph.input("totalLength", "I32", []),
  };
  const cacheShape = (length: string) => ["batch", shape.keyValueHeads, length, headSize];
  const past = attention === "whole" ? undefined : {
    key: graph.input("pastKey", "F32", cacheShape("past")),
    value: graph.input("pastValue", "F32", cacheShape("past")),
  };
  const block = addBlock(graph, {
    name: BLOCK_NAME,
    architecture,
    shape,
    weights: blockWeights(tensors),
    hidden: stream,
    sequence,
    past,
  });
  if (block.present !== undefined) {
    graph.output("presentKey", block.present.key, "F32", cacheShape("present"));
    graph.output("presentValue", block.present.value, "F32", cacheShape("present"));
  }
  return { graph, block, stream };
}

/** A lone block has one pair of tables, whichever its rotation is; none where it rotates nothing. */
function rotationInputs(
  graph: GraphBuilder,
  architecture: BlockSpecification["architecture"],
  shape: BlockSpecification["shape"],
): Pick<SequenceValues, "rotation" | "localRotation"> {
  const { rotary, isLocalRotary } = layerAttention(architecture, shape);
  if (rotary === undefined) return {};
  const sizes = ["positions", rotary.inverseFrequencies.length];
  const tables = {
    cosine: graph.input("cosine", "F32", sizes),
    sine: graph.input("sine", "F32", sizes),
  };
  return isLocalRotary ? { localRotation: tables } : { rotation: tables };
}

/**
 * Builds the graph of one block.
 *
 * @param specification The block
 * @param attention Whether it looks at its own texts alone, or at tokens in a cache too
 * @returns The bytes of an ONNX model
 */
export function blockGraph(
  specification: BlockSpecification,
  attention: "whole" | "cached",
): Uint8Array {
  const { architecture: { hiddenSize }, capture } = specification;
  const { graph, block } = loneBlock(specification, attention);
  const streamShape = ["tokens", hiddenSize];
  graph.output("outputHidden", block.hidden, "F32", streamShape);
  if (capture === "middle") graph.output("middle", block.middle, "F32", streamShape);
  if (capture === "sums" || capture === "gram") {
    const ones = graph.input("ones", "F32", [1, "tokens"]);
    for (const { name, value, channels } of captured(specification, block)) {
      addSum(graph, name, value, ones, channels);
      if (capture === "gram") addGramTiles(graph, name, value, channels);
      else addSumOfSquares(graph, name, value, ones, channels);
    }
  }
  return graph.bytes("block");
}

/**
 * The graph of a block, one of whose closing projections is fitted.
 *
 * @param specification The block
 * @param structure Which projection: `o_proj` of `heads`, `down_proj` of `ffn`
 * @returns An `.onnx` file: inputs as of {@linkcode blockGraph} with `target` `[tokens, hidden]` and `tokenScale`
 * `[tokens, 1]`; outputs `fit.gram`, `fit.cross` and `fit.targetEnergy`
 */
export function fittingGraph(
  specification: BlockSpecification,
  structure: Structure,
): Uint8Array {
  const { hiddenSize } = specification.architecture;
  const { graph, block, stream } = loneBlock(specification, "whole");
  const wanted = graph.input("target", "F32", ["tokens", hiddenSize]);
  const scale = graph.input("tokenScale", "F32", ["tokens", 1]);
  const from = structure === "heads" ? stream : block.middle;
  const { value, channels } = captured(specification, block)
    .find(({ name }) => name === structure)!;
  const target = graph.node("Mul", [graph.node("Sub", [wanted, from]), scale]);
  const input = graph.node("Mul", [value, scale]);
  addGram(graph, "fit", input, channels);
  addCross(graph, "fit", { target, input }, [hiddenSize, channels]);
  return graph.bytes("fitting block");
}

/**
 * What a block's graph takes at every run, besides weights and cache.
 *
 * @param hidden The residual stream, `[batch, length, hidden]`
 * @param sizes The sizes of this run
 * @param rotations Tables of all positions; undefined where the block rotates nothing
 * @returns Feeds by input name
 */
export function runFeeds(
  hidden: Float32Array,
  { batch, length, past }: RunSizes,
  rotations: RotationTables | undefined,
): Readonly<Record<string, Feed>> {
  const total = past + length;
  return {
    // All texts' tokens one after the other: taking the axes apart would copy the stream.
    hidden: floats(hidden, [batch * length, hidden.length / batch / length]),
    dimensions: integers([batch, length, -1]),
    ...rotations,
    position: integers([past]),
    lastIndices: shortIntegers(new Int32Array(batch).fill(total - 1)),
    totalLength: shortIntegers(Int32Array.of(total), []),
  };
}

function captured(
  { architecture, shape }: BlockSpecification,
  block: { readonly ffnInput: string; readonly headsInput: string },
) {
  return [
    { name: "ffn" as const, value: block.ffnInput, channels: shape.ffnWidth },
    {
      name: "heads" as const,
      value: block.headsInput,
      channels: shape.queryHeads * architecture.headSize,
    },
  ];
}
