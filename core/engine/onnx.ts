/**
 * The engine on ONNX Runtime, on the processor.
 * @module
 */
import { OptionError } from "../errors.ts";
import { collectGarbage } from "../garbage.ts";
import type { RotaryEmbedding } from "../model/types.ts";
import { layerAttention } from "../onnx/attention.ts";
import { openEmbedding } from "./embedding.ts";
import { type BlockSurroundings, openBlock } from "./onnx_block.ts";
import { MemoryBudget } from "./memory.ts";
import { openCachedBlock } from "./onnx_cached_block.ts";
import { openFittingBlock, openStreamFit } from "./onnx_fitting.ts";
import { openHead } from "./onnx_head.ts";
import { OnnxProduct } from "./onnx_product.ts";
import { Rotations } from "./rotations.ts";
import { loadRuntime } from "./runtime.ts";
import { Scratch } from "./scratch.ts";
import { SharedSessions } from "./shared_sessions.ts";
import type { BlockSpecification, Engine } from "./types.ts";

/** Options of {@linkcode openOnnxEngine}. */
export interface OnnxEngineOptions {
  /** Threads inside an operation; the machine's cores if absent. */
  readonly threads?: number;
  /** How much memory the work may take. Default: ordinary limits. */
  readonly memory?: MemoryBudget;
}

/**
 * Opens the engine on ONNX Runtime. Weights stay in their files and are mapped; one block's are in use at a time.
 *
 * @param options Threads
 * @returns The engine; close it after use
 * @throws {EngineError} if ONNX Runtime's native library is missing or does not load
 * @throws {OptionError} if `threads` is not a whole number from 1 on
 */
export async function openOnnxEngine(options: OnnxEngineOptions = {}): Promise<Engine> {
  const threads = options.threads ?? navigator.hardwareConcurrency;
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new OptionError(`Cannot run with '${threads}' threads: give a whole number from 1 on`);
  }
  const { memory = new MemoryBudget() } = options;
  const { limits } = memory;
  await loadRuntime();
  const tables = new WeakMap<RotaryEmbedding, Rotations>();
  const sessions = new SharedSessions();
  const product = new OnnxProduct(threads);
  const shared = { threads, limits, sessions, scratch: new Scratch() };
  const surroundings = ({ architecture, shape }: BlockSpecification): BlockSurroundings => {
    // What the block before left behind goes before the next one comes.
    collectGarbage();
    const { rotary } = layerAttention(architecture, shape);
    if (rotary === undefined) return { ...shared, rotations: () => undefined };
    const known = tables.get(rotary) ?? new Rotations(rotary);
    tables.set(rotary, known);
    return { ...shared, rotations: (positions) => known.upTo(positions) };
  };
  return {
    name: "onnx",
    device: "cpu",
    memory,
    openBlock: async (specification) => await openBlock(specification, surroundings(specification)),
    openFittingBlock: async (specification, structure) =>
      await openFittingBlock(specification, structure, surroundings(specification)),
    openStreamFit: async (architecture, norm, bias) =>
      await openStreamFit(architecture, norm, { threads, bias }),
    openCachedBlock: async (specification) =>
      await openCachedBlock(specification, surroundings(specification)),
    openEmbedding: async (model) => await openEmbedding(model, limits.tableBytes),
    openHead: (model, finalNorm) =>
      Promise.resolve(openHead(model, { threads, limits, finalNorm })),
    multiply: (left, right, lent) => product.multiply(left, right, lent),
    close: async () => {
      await product.close();
      await sessions.close();
    },
  };
}
