/**
 * The graph that runs one block by itself, and what goes into it at every run.
 * @module
 */
import { addBlock } from "../onnx/block.ts";
import { GraphBuilder } from "../onnx/graph.ts";
import { addGram, addSums } from "../onnx/sums.ts";
import type { RotationTables } from "./rotations.ts";
import { type Feed, floats, integers, shortIntegers } from "./runtime.ts";
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
  const { architecture, shape, tensors, capture } = specification;
  const { hiddenSize, headSize } = architecture;
  const graph = new GraphBuilder();
  const stream = graph.input("hidden", "F32", ["batch", "length", hiddenSize]);
  const sequence = {
    dimensions: graph.input("dimensions", "I64", [3]),
    cosine: graph.input("cosine", "F32", ["positions", headSize / 2]),
    sine: graph.input("sine", "F32", ["positions", headSize / 2]),
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
    hidden: graph.node("Reshape", [stream, graph.integers([-1, hiddenSize])]),
    sequence,
    past,
  });
  const hidden = graph.node("Reshape", [block.hidden, sequence.dimensions]);
  graph.output("outputHidden", hidden, "F32", ["batch", "length", hiddenSize]);
  if (block.present !== undefined) {
    graph.output("presentKey", block.present.key, "F32", cacheShape("present"));
    graph.output("presentValue", block.present.value, "F32", cacheShape("present"));
  }
  if (capture !== "none") {
    const ones = graph.input("ones", "F32", [1, "tokens"]);
    for (const { name, value, channels } of captured(specification, block)) {
      addSums(graph, name, value, ones, channels);
      if (capture === "gram") addGram(graph, name, value, channels);
    }
  }
  return graph.bytes("block");
}

/**
 * What a block's graph takes at every run, besides weights and cache.
 *
 * @param hidden The residual stream, `[batch, length, hidden]`
 * @param sizes The sizes of this run
 * @param rotations Tables of all positions
 * @returns Feeds by input name
 */
export function runFeeds(
  hidden: Float32Array,
  { batch, length, past }: RunSizes,
  rotations: RotationTables,
): Readonly<Record<string, Feed>> {
  const total = past + length;
  return {
    hidden: floats(hidden, [batch, length, hidden.length / batch / length]),
    dimensions: integers([batch, length, -1]),
    cosine: rotations.cosine,
    sine: rotations.sine,
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
    { name: "ffn", value: block.ffnInput, channels: shape.ffnWidth },
    {
      name: "heads",
      value: block.headsInput,
      channels: shape.queryHeads * architecture.headSize,
    },
  ];
}
