/**
 * Losses of logits that are there already, on ONNX Runtime.
 * @module
 */
import { GraphBuilder } from "../onnx/graph.ts";
import { addLosses } from "../onnx/outer.ts";
import { floats, integers, openSession } from "./runtime.ts";

/** Computes losses from logits. */
export interface Losses {
  /**
   * The sum of negative log-likelihoods (natural logarithm).
   *
   * @param logits `[rows, vocabulary]`
   * @param targets The token that each row is to predict, `[rows]`
   */
  sum(logits: Float32Array, targets: Int32Array): Promise<number>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

/**
 * Prepares the computation of losses.
 *
 * @param vocabularySize Numbers that one token's logits have
 * @param threads Threads; the machine's cores if absent
 * @returns The computation; close it after use
 * @throws {EngineError} if ONNX Runtime is missing
 */
export async function openLosses(
  vocabularySize: number,
  threads: number = navigator.hardwareConcurrency,
): Promise<Losses> {
  const graph = new GraphBuilder();
  const logits = graph.input("logits", "F32", ["rows", vocabularySize]);
  const targets = graph.input("targets", "I64", ["rows", 1]);
  graph.output("losses", addLosses(graph, logits, targets), "F32", ["rows", 1]);
  const session = await openSession(graph.bytes("losses"), "losses", { threads, goal: "speed" });
  return {
    sum: async (logits, targets) => {
      const losses = new Float32Array(targets.length);
      const shape = [targets.length, 1];
      await session.run({
        logits: floats(logits, [targets.length, vocabularySize]),
        targets: integers(targets, shape),
      }, { losses: floats(losses, shape) });
      return losses.reduce((sum, loss) => sum + loss, 0);
    },
    close: async () => await session.close(),
  };
}
