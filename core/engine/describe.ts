/**
 * What engines this machine has, for `gprune doctor`.
 * @module
 */
import { GpruneError } from "../errors.ts";
import { loadRuntime } from "./runtime.ts";

/** What is known about ONNX Runtime here. */
export interface OnnxDescription {
  /** Whether it loads. */
  readonly available: boolean;
  /** Its version, where it loads. */
  readonly version?: string;
  /** The execution providers that its binary has, such as `cpu`. */
  readonly providers: readonly string[];
  /** Threads that it would use. */
  readonly threads: number;
  /** Why it does not load, and what to do. */
  readonly problem?: string;
}

/** What is known about the WebGPU adapter here. */
export interface WebGpuDescription {
  /** Whether there is an adapter that is not a fallback in software. */
  readonly available: boolean;
  /** The adapter's name, where there is one. */
  readonly adapter?: string;
  /** Whether the adapter is a fallback in software. */
  readonly isFallback?: boolean;
  /** The adapter's limits in bytes, where there is one. */
  readonly limits?: {
    /** The largest storage binding. */
    readonly maxStorageBufferBindingSize: number;
    /** The largest buffer. */
    readonly maxBufferSize: number;
  };
  /** The adapter's optional features, such as `shader-f16`. */
  readonly features: readonly string[];
  /** Why there is none. */
  readonly problem?: string;
}

/** What engines this machine has. */
export interface EngineDescriptions {
  /** ONNX Runtime. */
  readonly onnx: OnnxDescription;
  /** WebGPU. */
  readonly webgpu: WebGpuDescription;
}

/**
 * Looks at the engines of this machine. Never throws: what is missing is told in `problem`.
 *
 * @returns What is there
 */
export async function describeEngines(): Promise<EngineDescriptions> {
  return { onnx: await describeOnnx(), webgpu: await describeWebGpu() };
}

async function describeOnnx(): Promise<OnnxDescription> {
  const threads = navigator.hardwareConcurrency;
  try {
    const runtime = await loadRuntime();
    const providers = runtime.listSupportedBackends().map(({ name }) => name);
    return { available: true, version: runtime.env.versions.node, providers, threads };
  } catch (error) {
    return { available: false, providers: [], threads, problem: problemOf(error) };
  }
}

async function describeWebGpu(): Promise<WebGpuDescription> {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    if (adapter === undefined || adapter === null) {
      return { available: false, features: [], problem: "No WebGPU adapter was found" };
    }
    const { info, limits } = adapter;
    const { isFallbackAdapter: isFallback } = info;
    return {
      available: !isFallback,
      adapter: info.description || info.device || info.vendor || "unnamed",
      isFallback,
      limits: {
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxBufferSize: limits.maxBufferSize,
      },
      features: [...adapter.features].sort(),
      problem: isFallback
        ? "The only WebGPU adapter is a fallback in software; install the graphics card's Vulkan driver"
        : undefined,
    };
  } catch (error) {
    return { available: false, features: [], problem: problemOf(error) };
  }
}

function problemOf(error: unknown): string {
  if (error instanceof GpruneError) return error.message;
  return error instanceof Error ? error.message.split("\n")[0] : String(error);
}
