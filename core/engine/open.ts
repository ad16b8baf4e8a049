/**
 * Opening an engine by the name that a user gives.
 * @module
 */
import { GraphicsError, OptionError } from "../errors.ts";
import type { Architecture } from "../model/types.ts";
import { checkSmallBlock, timeTrial } from "./check.ts";
import { checkedEngine } from "./checked.ts";
import type { MemoryBudget } from "./memory.ts";
import { openOnnxEngine } from "./onnx.ts";
import { resilientEngine } from "./resilient.ts";
import type { Engine } from "./types.ts";
import { findAdapter } from "./webgpu/device.ts";
import { openWebGpuEngine, type WebGpuEngine } from "./webgpu/engine.ts";

/** Names of engines; `auto` chooses. */
export type EngineName = "auto" | "onnx" | "webgpu";

/** The names that {@linkcode openEngine} takes. */
export const ENGINE_NAMES: readonly EngineName[] = ["auto", "onnx", "webgpu"];

/** Options of {@linkcode openEngine}. */
export interface OpenEngineOptions {
  /** The model that it will run: `auto` tries shapes like its own. */
  readonly architecture?: Architecture;
  /** How much memory the work may take. Default: ordinary limits. */
  readonly memory?: MemoryBudget;
  /** Called with what a person should know about the choice, one sentence each. */
  readonly onNote?: (message: string) => void;
}

/**
 * Opens an engine. `auto` is `webgpu` where there is a graphics card that gives the processor's numbers in less time, and
 * goes on with `onnx` if the card fails; it is `onnx` everywhere else.
 *
 * @param name Which one
 * @param options What it is for; who is told
 * @returns The engine; close it after use
 * @throws {EngineError} if the engine is missing on this machine, or its numbers are wrong
 * @throws {OptionError} if there is no engine of that name
 */
export async function openEngine(
  name: EngineName,
  options: OpenEngineOptions = {},
): Promise<Engine> {
  const { memory } = options;
  const openOnnx = () => openOnnxEngine({ memory });
  switch (name) {
    case "auto":
      return await openBestEngine(options, {
        openCard: openTrustedEngine,
        openProcessor: openOnnx,
      });
    case "onnx":
      return await openOnnx();
    case "webgpu": {
      const engine = await openTrustedEngine();
      if (engine.context.graphics.isFallback) {
        options.onNote?.(
          `'${engine.device}' is a graphics card in software, slower than --engine onnx: install the Vulkan driver of the real one`,
        );
      }
      return { ...checkedEngine(engine, openOnnx), memory };
    }
    default:
      throw new OptionError(
        `Cannot open engine '${name}': there are ${
          ENGINE_NAMES.map((each) => `'${each}'`).join(", ")
        }`,
      );
  }
}

/** The two engines that `auto` chooses from. */
export interface EngineChoice {
  /** Opens the one on the graphics card, checked. */
  readonly openCard: () => Promise<WebGpuEngine>;
  /** Opens the one on the processor. */
  readonly openProcessor: () => Promise<Engine>;
}

/**
 * Opens the engine that `auto` stands for.
 *
 * @param options What it is for; who is told
 * @param choice The engines to choose from. Default: WebGPU and ONNX Runtime
 * @returns The engine; close it after use
 * @throws {EngineError} if the processor's engine is missing
 */
export async function openBestEngine(
  options: OpenEngineOptions = {},
  choice: EngineChoice = {
    openCard: openTrustedEngine,
    openProcessor: () => openOnnxEngine({ memory: options.memory }),
  },
): Promise<Engine> {
  const { openProcessor } = choice;
  const fast = await openFasterEngine(options, choice);
  if (fast === undefined) return await openProcessor();
  return resilientEngine(checkedEngine(fast, openProcessor), openProcessor, options);
}

/** The engine on the graphics card, where there is one, it is sound, and it is faster than the processor. */
async function openFasterEngine(
  { architecture, onNote }: OpenEngineOptions,
  { openCard, openProcessor }: EngineChoice,
): Promise<WebGpuEngine | undefined> {
  try {
    if ((await findAdapter()).info.isFallbackAdapter) return undefined;
  } catch {
    return undefined;
  }
  let engine: WebGpuEngine | undefined;
  try {
    engine = await openCard();
    const reference = await openProcessor();
    try {
      const trial = await timeTrial(engine, reference, { architecture });
      if (trial.tokensPerSecond > trial.referenceTokensPerSecond) return engine;
    } finally {
      await reference.close();
    }
    await engine.close();
    return undefined;
  } catch (error) {
    await engine?.close();
    if (!(error instanceof GraphicsError)) throw error;
    onNote?.(`The processor does the work: ${error.message}`);
    return undefined;
  }
}

/**
 * Opens the engine on the graphics card, and checks its kernels against the processor.
 *
 * @returns The engine; close it after use
 * @throws {GraphicsError} if there is no card, or its numbers are wrong
 */
export async function openTrustedEngine(): Promise<WebGpuEngine> {
  const engine = await openWebGpuEngine();
  try {
    const reference = await openOnnxEngine();
    try {
      for (const tile of engine.context.tiles) {
        engine.context.forcedTile = tile;
        await checkSmallBlock(engine, reference);
      }
    } finally {
      engine.context.forcedTile = undefined;
      await reference.close();
    }
    return engine;
  } catch (error) {
    await engine.close();
    throw error;
  }
}
