/**
 * What the tests of the WebGPU engine share.
 * @module
 */
import { assert } from "@std/assert";
import { relativeDifference } from "../../../core/engine/check.ts";
import { openOnnxEngine } from "../../../core/engine/onnx.ts";
import type { Engine } from "../../../core/engine/types.ts";
import { findAdapter } from "../../../core/engine/webgpu/device.ts";
import {
  openWebGpuEngine,
  type WebGpuEngine,
  type WebGpuOptions,
} from "../../../core/engine/webgpu/engine.ts";

/** By how much kernels may differ from a reference, as a share of its largest number. The promise is 1e-3. */
export const TOLERANCE = 1e-4;

/**
 * Whether there is no adapter that can compute, neither a card nor one in software; says so, since tests that need one
 * are then left out.
 *
 * @returns The value for a test's `ignore`
 */
export async function adapterIsMissing(): Promise<boolean> {
  try {
    const { info } = await findAdapter();
    // Without a Vulkan driver there is still one on OpenGL, which cannot run these kernels.
    const engine = await openWebGpuEngine();
    await engine.close();
    assert(info !== undefined);
    return false;
  } catch (error) {
    console.log(
      `Tests of the WebGPU engine are left out: ${
        error instanceof Error ? error.message : error
      }; on Debian, mesa-vulkan-drivers brings an adapter in software`,
    );
    return true;
  }
}

/** Opens the card's engine and the processor's, hands them to a function, and closes them. */
export async function withEngines<T>(
  use: (webgpu: WebGpuEngine, onnx: Engine) => Promise<T>,
  options: WebGpuOptions = {},
): Promise<T> {
  const webgpu = await openWebGpuEngine(options);
  const onnx = await openOnnxEngine();
  try {
    return await use(webgpu, onnx);
  } finally {
    await onnx.close();
    await webgpu.close();
  }
}

/** Fails where numbers differ by more than the tolerance. */
export function assertSame(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance = TOLERANCE,
): void {
  assert(
    actual.length === expected.length,
    `${what}: ${actual.length} numbers in place of ${expected.length}`,
  );
  const worst = relativeDifference(actual, expected);
  assert(worst <= tolerance, `${what}: off by ${worst} of the largest number`);
}
