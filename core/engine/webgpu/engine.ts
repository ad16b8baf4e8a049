/**
 * The engine on the graphics card, through WebGPU.
 * @module
 */
import { EngineError } from "../../errors.ts";
import type { Architecture } from "../../model/types.ts";
import { switchesOf } from "../../model/units.ts";
import { openEmbedding } from "../embedding.ts";
import type { Engine } from "../types.ts";
import { openBlock } from "./block.ts";
import { openCachedBlock } from "./cached_block.ts";
import { GraphicsContext } from "./context.ts";
import { type DeviceOptions, openDevice } from "./device.ts";
import { openFittingBlock, openStreamFit } from "./fitting.ts";
import { openHead } from "./head.ts";

/**
 * The kernels know the blocks of Llama alone.
 *
 * @param architecture What a model computes
 * @throws {EngineError} if it computes something else; the message names what
 */
export function requireLlamaLike(architecture: Architecture): void {
  const switches = switchesOf(architecture);
  if (switches.length === 0) return;
  throw new EngineError(
    `Cannot run a model of type '${architecture.family}' with --engine webgpu: it has ${
      switches.join(", ")
    }; use --engine onnx`,
  );
}

/** An engine whose card can be looked at. */
export interface WebGpuEngine extends Engine {
  /** What its parts share. */
  readonly context: GraphicsContext;
}

/**
 * Opens the engine on the fastest graphics card.
 *
 * Weights are sent once per block, as they are stored; sums are float32. The embedding stays in the computer's memory:
 * its rows are copied, nothing is computed.
 *
 * @param options Limits for tests
 * @returns The engine; close it after use
 * @throws {GraphicsError} if there is no card, or it refuses
 */
export async function openWebGpuEngine(options: DeviceOptions = {}): Promise<WebGpuEngine> {
  const context = new GraphicsContext(await openDevice(options));
  return {
    name: "webgpu",
    device: context.graphics.name,
    context,
    openBlock: async (specification) => {
      requireLlamaLike(specification.architecture);
      return await openBlock(context, specification);
    },
    openCachedBlock: async (specification) => {
      requireLlamaLike(specification.architecture);
      return await openCachedBlock(context, specification);
    },
    openFittingBlock: async (specification, structure) => {
      requireLlamaLike(specification.architecture);
      return await openFittingBlock(context, specification, structure);
    },
    openStreamFit: (architecture, norm) => openStreamFit(context, architecture, norm),
    openEmbedding,
    openHead: (model, finalNorm) => openHead(context, model, finalNorm),
    close: () => {
      context.close();
      return Promise.resolve();
    },
  };
}
