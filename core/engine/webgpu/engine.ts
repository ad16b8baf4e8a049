/**
 * The engine on the graphics card, through WebGPU.
 * @module
 */
import { openEmbedding } from "../embedding.ts";
import type { Engine } from "../types.ts";
import { openBlock } from "./block.ts";
import { openCachedBlock } from "./cached_block.ts";
import { GraphicsContext } from "./context.ts";
import { type DeviceOptions, openDevice } from "./device.ts";
import { openFittingBlock } from "./fitting.ts";
import { openHead } from "./head.ts";
import { OnnxProduct, operationsOf } from "../onnx_product.ts";
import { multiplyOnCard } from "./matrices.ts";
import { openStreamFit } from "./stream_fit.ts";
import { BlockUploads } from "./uploads.ts";

/** An engine whose card can be looked at. */
export interface WebGpuEngine extends Engine {
  /** What its parts share. */
  readonly context: GraphicsContext;
}

/** Options of {@linkcode openWebGpuEngine}. */
export interface WebGpuOptions extends DeviceOptions {
  /** Additions and multiplications from which products of matrices are made on the card. Default: where that pays. */
  readonly sendFrom?: number;
}

/**
 * Additions and multiplications from which sending operands to a card, waiting for it and reading the product pays,
 * beside a processor that does tens of thousands of millions a second: a wait alone takes 10 ms.
 */
const WORTH_SENDING = 2e9;

/**
 * Opens the engine on the fastest graphics card.
 *
 * Weights are sent once per block, as they are stored; sums are float32. The embedding stays in the computer's memory:
 * its rows are copied, nothing is computed.
 *
 * @param options Limits for tests, and what is worth the way to the card
 * @returns The engine; close it after use
 * @throws {GraphicsError} if there is no card, or it refuses
 */
export async function openWebGpuEngine(options: WebGpuOptions = {}): Promise<WebGpuEngine> {
  const context = new GraphicsContext(await openDevice(options));
  const uploads = new BlockUploads(context);
  const product = new OnnxProduct(navigator.hardwareConcurrency);
  const { sendFrom = WORTH_SENDING } = options;
  return {
    name: "webgpu",
    device: context.graphics.name,
    context,
    announceBlock: (parts) => uploads.announce(parts),
    openBlock: (specification) => openBlock(context, uploads, specification),
    openCachedBlock: (specification) => openCachedBlock(context, uploads, specification),
    openFittingBlock: (specification, structure) =>
      openFittingBlock(context, uploads, specification, structure),
    openStreamFit: (architecture, norm, bias) => openStreamFit(context, architecture, norm, bias),
    openEmbedding,
    multiply: async (...inputs) =>
      operationsOf(inputs[0], inputs[1]) < sendFrom
        ? await product.multiply(...inputs)
        : await context.guard("multiply matrices", () => multiplyOnCard(context, ...inputs)),
    openHead: (model, finalNorm) => openHead(context, model, finalNorm),
    close: async () => {
      uploads.close();
      context.close();
      await product.close();
    },
  };
}
