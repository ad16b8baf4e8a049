/**
 * Final norm and output head on ONNX Runtime.
 * @module
 */
import { outerTensor } from "../model/open.ts";
import { isView } from "../model/tensor_reader.ts";
import type { Model, Tensor } from "../model/types.ts";
import { GraphBuilder } from "../onnx/graph.ts";
import { addHead, addLosses } from "../onnx/outer.ts";
import { checkTargets } from "./checks.ts";
import type { MemoryLimits } from "./memory.ts";
import { type Feed, floats, integers, openSession, type Session } from "./runtime.ts";
import { slicedHead } from "./sliced_head.ts";
import { numbersOf } from "./streams.ts";
import type { Head, Stream } from "./types.ts";
import { goalOf, rootFolder, weightReference } from "./weights.ts";

/** Rows that go through the head together: their logits must stay small. */
const CHUNK_ROWS = 256;

type Purpose = "logits" | "losses";

/** Options of {@linkcode openHead}. */
export interface HeadOptions {
  /** Threads inside an operation. */
  readonly threads: number;
  /** What memory may be taken. */
  readonly limits: MemoryLimits;
  /** Another weight for the final norm, `[hidden]`. Default: the model's own. */
  readonly finalNorm?: Tensor;
}

/**
 * Prepares final norm and output head.
 *
 * @param model The model
 * @param options Threads; another final norm
 * @returns The head; close it after use
 */
export function openHead(model: Model, options: HeadOptions): Head {
  const { hiddenSize, vocabularySize } = model.architecture;
  const finalNorm = options.finalNorm ?? outerTensor(model, "finalNorm.weight");
  const fed: Readonly<Record<string, Feed>> = isView(finalNorm)
    ? {}
    : { "finalNorm.weight": floats(finalNorm.data, finalNorm.shape) };
  const { threads, limits } = options;
  const outputHead = outerTensor(model, "outputHead.weight");
  if (
    4 * vocabularySize * hiddenSize > limits.headBytes && isView(outputHead) &&
    outputHead.layout === undefined
  ) {
    return slicedHead({
      model,
      outputHead,
      sliceBytes: limits.headBytes,
      rowsTogether: CHUNK_ROWS,
      fed,
      openSlice: (slice) =>
        openHeadSession({ model, finalNorm, outputHead: slice }, "logits", options),
    });
  }
  // Logits and losses are two graphs: ONNX Runtime computes outputs that nobody asked for too.
  const sessions = new Map<Purpose, Promise<Session>>();
  const sessionFor = (purpose: Purpose): Promise<Session> => {
    const session = sessions.get(purpose) ??
      openHeadSession({ model, finalNorm, outputHead }, purpose, { threads, limits });
    sessions.set(purpose, session);
    return session;
  };
  const forEachChunk = async (
    stream: Stream,
    run: (chunk: Float32Array, from: number, to: number) => Promise<void>,
  ) => {
    const hidden = await numbersOf(stream);
    const rows = hidden.length / hiddenSize;
    for (let from = 0; from < rows; from += CHUNK_ROWS) {
      const to = Math.min(rows, from + CHUNK_ROWS);
      await run(hidden.subarray(from * hiddenSize, to * hiddenSize), from, to);
    }
  };
  return {
    negativeLogLikelihoods: async (hidden, targets) => {
      checkTargets(hidden.length / hiddenSize, targets, vocabularySize);
      const session = await sessionFor("losses");
      const losses = new Float32Array(targets.length);
      await forEachChunk(hidden, async (chunk, from, to) => {
        const shape = [to - from, 1];
        await session.run({
          hidden: floats(chunk, [to - from, hiddenSize]),
          targets: integers(targets.subarray(from, to), shape),
          ...fed,
        }, { losses: floats(losses.subarray(from, to), shape) });
      });
      return losses;
    },
    logits: async (hidden) => {
      const session = await sessionFor("logits");
      const logits = new Float32Array(hidden.length / hiddenSize * vocabularySize);
      await forEachChunk(hidden, async (chunk, from, to) => {
        const target = logits.subarray(from * vocabularySize, to * vocabularySize);
        await session.run({ hidden: floats(chunk, [to - from, hiddenSize]), ...fed }, {
          logits: floats(target, [to - from, vocabularySize]),
        });
      });
      return logits;
    },
    close: async () => {
      const open = await Promise.allSettled(sessions.values());
      sessions.clear();
      for (const result of open) if (result.status === "fulfilled") await result.value.close();
    },
  };
}

interface HeadTensors {
  readonly model: Model;
  readonly finalNorm: Tensor;
  /** The output head, or some of its rows. */
  readonly outputHead: Tensor;
}

async function openHeadSession(
  { model, finalNorm, outputHead }: HeadTensors,
  purpose: Purpose,
  { threads, limits }: HeadOptions,
): Promise<Session> {
  const { architecture } = model;
  const graph = new GraphBuilder();
  const logits = addHead(graph, {
    architecture,
    hidden: graph.input("hidden", "F32", ["rows", architecture.hiddenSize]),
    finalNorm: weightReference(finalNorm),
    finalNormBias: architecture.norm === "layer"
      ? weightReference(outerTensor(model, "finalNorm.bias"))
      : undefined,
    outputHead: weightReference(outputHead),
  });
  if (purpose === "logits") {
    graph.output("logits", logits, "F32", ["rows", outputHead.shape[0]]);
  } else {
    const targets = graph.input("targets", "I64", ["rows", 1]);
    graph.output("losses", addLosses(graph, logits, targets), "F32", ["rows", 1]);
  }
  return await openSession(graph.bytes("head"), "the output head", {
    threads,
    folder: rootFolder([outputHead]),
    goal: goalOf([outputHead], limits.convertedBytes),
  });
}
