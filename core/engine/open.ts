/**
 * Opening an engine by the name that a user gives.
 * @module
 */
import { EngineError, OptionError } from "../errors.ts";
import { openOnnxEngine } from "./onnx.ts";
import type { Engine } from "./types.ts";

/** Names of engines; `auto` chooses. */
export type EngineName = "auto" | "onnx" | "webgpu";

/** The names that {@linkcode openEngine} takes. */
export const ENGINE_NAMES: readonly EngineName[] = ["auto", "onnx", "webgpu"];

/**
 * Opens an engine.
 *
 * @param name Which one; `auto` is `onnx` in this version
 * @returns The engine; close it after use
 * @throws {EngineError} if the engine is missing on this machine or in this version
 * @throws {OptionError} if there is no engine of that name
 */
export async function openEngine(name: EngineName): Promise<Engine> {
  switch (name) {
    case "auto":
    case "onnx":
      return await openOnnxEngine();
    case "webgpu":
      throw new EngineError(
        "Cannot open engine 'webgpu': this version does not have the WebGPU engine yet; use 'onnx'",
      );
    default:
      throw new OptionError(
        `Cannot open engine '${name}': there are ${
          ENGINE_NAMES.map((each) => `'${each}'`).join(", ")
        }`,
      );
  }
}
