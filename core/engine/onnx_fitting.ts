/**
 * Least-squares fits on ONNX Runtime: of a block's closing projection, and of one normed stream to another.
 * @module
 */
import type { Architecture, Structure, Tensor } from "../model/types.ts";
import { addNorm } from "../onnx/block.ts";
import { GraphBuilder } from "../onnx/graph.ts";
import { addCross, addGram } from "../onnx/sums.ts";
import { BLOCK_NAME, fittingGraph, runFeeds } from "./block_graph.ts";
import { checkHidden } from "./checks.ts";
import { type BlockSurroundings, textsTogether } from "./onnx_block.ts";
import { type Feed, floats, openSession } from "./runtime.ts";
import type { BlockSpecification, FitSums, FittingBlock, StreamFit } from "./types.ts";
import { goalOf, mappableTensors, rootFolder, weightFeeds, weightReference } from "./weights.ts";

/**
 * Prepares a block for fitting one of its closing projections.
 *
 * @param given The block
 * @param structure Which projection: `o_proj` of `heads`, `down_proj` of `ffn`
 * @param surroundings What blocks of the engine share
 * @returns The block
 * @throws {EngineError} if ONNX Runtime refuses the graph or a weight
 */
export async function openFittingBlock(
  given: BlockSpecification,
  structure: Structure,
  surroundings: BlockSurroundings,
): Promise<FittingBlock> {
  const specification = { ...given, tensors: await mappableTensors(given.tensors) };
  const { architecture, shape } = specification;
  const tensors = [...specification.tensors.values()];
  const session = await openSession(
    fittingGraph(specification, structure),
    "a decoder block to be fitted",
    {
      threads: surroundings.threads,
      folder: rootFolder(tensors),
      goal: goalOf(tensors, surroundings.limits.convertedBytes),
    },
  );
  const weights = weightFeeds(BLOCK_NAME, specification.tensors);
  const channels = structure === "ffn" ? shape.ffnWidth : shape.queryHeads * architecture.headSize;
  return {
    run: async (hidden, batch, length, { stream, tokenScale }) => {
      checkHidden(hidden, batch, length, specification);
      const rotations = surroundings.rotations(length);
      const together = Math.min(
        batch,
        textsTogether(specification, length, surroundings.limits.scoreBytes),
      );
      const total = emptyFit(architecture.hiddenSize, channels);
      const size = hidden.length / batch;
      for (let first = 0; first < batch; first += together) {
        const last = Math.min(batch, first + together);
        const tokens = (last - first) * length;
        // A batch in one piece is summed where the sums are wanted.
        const part = together === batch ? total : emptyFit(architecture.hiddenSize, channels);
        const own = hidden.subarray(first * size, last * size);
        await session.run({
          ...runFeeds(own, { batch: last - first, length, past: 0 }, rotations),
          ...weights,
          target: floats(stream.subarray(first * size, last * size), [tokens, size / length]),
          tokenScale: floats(tokenScale.subarray(first * length, last * length), [tokens, 1]),
        }, outputsOf(part));
        if (part !== total) addFit(total, part);
      }
      return finished(total);
    },
    close: async () => await session.close(),
  };
}

/**
 * Prepares the fit of normed streams.
 *
 * @param architecture The model's description
 * @param norm The norm's weight, `[hidden]`
 * @param options Threads inside an operation; the norm's bias, `[hidden]`
 * @returns The fit
 * @throws {EngineError} if ONNX Runtime refuses the graph or the weight
 */
export async function openStreamFit(
  architecture: Architecture,
  norm: Tensor,
  options: { readonly threads: number; readonly bias?: Tensor },
): Promise<StreamFit> {
  const { hiddenSize } = architecture;
  const graph = new GraphBuilder();
  const weight = graph.weight("norm.weight", weightReference(norm));
  const bias = options.bias && graph.weight("norm.bias", weightReference(options.bias));
  const scale = graph.input("tokenScale", "F32", ["tokens", 1]);
  const normed = (name: string) =>
    graph.node("Mul", [
      addNorm(graph, architecture, graph.input(name, "F32", ["tokens", hiddenSize]), {
        name: `${name}.normed`,
        weight,
        bias,
      }),
      scale,
    ]);
  const [input, target] = [normed("now"), normed("wanted")];
  addGram(graph, "fit", input, hiddenSize);
  addCross(graph, "fit", { target, input }, [hiddenSize, hiddenSize]);
  const session = await openSession(graph.bytes("stream fit"), "a fit of streams", {
    threads: options.threads,
    folder: rootFolder([norm]),
    goal: "memory",
  });
  return {
    run: async (now, wanted, tokenScale) => {
      const shape = [tokenScale.length, hiddenSize];
      const fit = emptyFit(hiddenSize, hiddenSize);
      await session.run({
        now: floats(now, shape),
        wanted: floats(wanted, shape),
        tokenScale: floats(tokenScale, [tokenScale.length, 1]),
      }, outputsOf(fit));
      return finished(fit);
    },
    close: async () => await session.close(),
  };
}

/** Sums that are still being added up; the energy is an array so that a session can fill it. */
interface Fit {
  readonly gram: Float32Array;
  readonly cross: Float32Array;
  readonly targetEnergy: Float32Array;
}

function emptyFit(outputs: number, channels: number): Fit {
  return {
    gram: new Float32Array(channels * channels),
    cross: new Float32Array(outputs * channels),
    targetEnergy: new Float32Array(1),
  };
}

function outputsOf({ gram, cross, targetEnergy }: Fit): Record<string, Feed> {
  const channels = Math.sqrt(gram.length);
  return {
    "fit.gram": floats(gram, [channels, channels]),
    "fit.cross": floats(cross, [cross.length / channels, channels]),
    "fit.targetEnergy": floats(targetEnergy, []),
  };
}

function addFit(total: Fit, part: Fit): void {
  for (const name of ["gram", "cross", "targetEnergy"] as const) {
    for (let index = 0; index < part[name].length; index++) total[name][index] += part[name][index];
  }
}

function finished({ gram, cross, targetEnergy }: Fit): FitSums {
  return { gram, cross, targetEnergy: targetEnergy[0] };
}
