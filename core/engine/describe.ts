/**
 * What engines this machine has, for `gprune doctor`.
 * @module
 */
import { GpruneError } from "../errors.ts";
import { type SpeedTrial, timeTrial } from "./check.ts";
import { openOnnxEngine } from "./onnx.ts";
import { openTrustedEngine } from "./open.ts";
import { loadRuntime } from "./runtime.ts";
import { adapterName, findAdapter } from "./webgpu/device.ts";

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

/** One way to a graphics card. */
export interface AdapterDescription {
  /** What its driver calls it. */
  readonly name: string;
  /** Whether it is a fallback in software. */
  readonly isFallback: boolean;
}

/** The limits of a graphics card that decide how work is cut. */
export interface AdapterLimits {
  /** Bytes of the largest storage binding: larger weights are cut into slices. */
  readonly maxStorageBufferBindingSize: number;
  /** Bytes of the largest buffer. */
  readonly maxBufferSize: number;
  /** Bytes that the threads of a workgroup share. */
  readonly maxComputeWorkgroupStorageSize: number;
  /** Threads of a workgroup. */
  readonly maxComputeInvocationsPerWorkgroup: number;
}

/** What is known about WebGPU here. */
export interface WebGpuDescription {
  /** Whether there is an adapter that is not a fallback in software, and its numbers are right. */
  readonly available: boolean;
  /** Every adapter that was found, the one that is used first. */
  readonly adapters: readonly AdapterDescription[];
  /** The name of the adapter that is used, where there is one. */
  readonly adapter?: string;
  /** Whether it is a fallback in software. */
  readonly isFallback?: boolean;
  /** Its limits, where there is one. */
  readonly limits?: AdapterLimits;
  /** The adapter's optional features, such as `shader-f16`. */
  readonly features: readonly string[];
  /** A made-up block on the card and on the processor, where the card's numbers are right. */
  readonly trial?: SpeedTrial;
  /** Why there is none, or why it is not taken, and what to do. */
  readonly problem?: string;
}

/** What engines this machine has. */
export interface EngineDescriptions {
  /** ONNX Runtime. */
  readonly onnx: OnnxDescription;
  /** WebGPU. */
  readonly webgpu: WebGpuDescription;
  /** The engine that `auto` takes; a model of other shapes may change it. */
  readonly auto: "onnx" | "webgpu";
}

/** Options of {@linkcode describeEngines}. */
export interface DescribeOptions {
  /** Tokens of a batch of the trial. Default: as many as keep a card busy, and few for one in software. */
  readonly trialTokens?: number;
}

/**
 * Looks at the engines of this machine, and tries the graphics card for a second or two. Never throws: what is missing
 * is told in `problem`.
 *
 * @param options How long the trial is
 * @returns What is there
 */
export async function describeEngines(options: DescribeOptions = {}): Promise<EngineDescriptions> {
  const onnx = await describeOnnx();
  const webgpu = await describeWebGpu(onnx.available, options);
  const { trial } = webgpu;
  const faster = trial !== undefined && trial.tokensPerSecond > trial.referenceTokensPerSecond;
  return { onnx, webgpu, auto: webgpu.available && faster ? "webgpu" : "onnx" };
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

async function describeWebGpu(
  hasReference: boolean,
  options: DescribeOptions,
): Promise<WebGpuDescription> {
  try {
    const adapter = await findAdapter();
    const isFallback = adapter.info.isFallbackAdapter;
    const { limits } = adapter;
    const found = {
      adapters: await listAdapters(adapter),
      adapter: adapterName(adapter),
      isFallback,
      limits: {
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
        maxBufferSize: limits.maxBufferSize,
        maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
        maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      },
      features: [...adapter.features].sort(),
    };
    const tried = hasReference ? await tryCard(isFallback, options) : {};
    const problem = tried.problem ?? (isFallback ? FALLBACK_PROBLEM : undefined);
    return { available: problem === undefined, ...found, trial: tried.trial, problem };
  } catch (error) {
    return { available: false, adapters: [], features: [], problem: problemOf(error) };
  }
}

const FALLBACK_PROBLEM =
  "The only WebGPU adapter is a fallback in software; where this machine has a graphics card, install its Vulkan driver (on Debian and Ubuntu, mesa-vulkan-drivers for AMD and Intel, nvidia-driver for NVIDIA)";

/** Tokens of a trial: software would take too long over as many as keep a card busy. */
const TRIAL_TOKENS = { card: 2048, software: 128 };

async function tryCard(
  isFallback: boolean,
  { trialTokens }: DescribeOptions,
): Promise<{ readonly trial?: SpeedTrial; readonly problem?: string }> {
  try {
    const engine = await openTrustedEngine();
    const reference = await openOnnxEngine();
    try {
      const tokens = trialTokens ?? TRIAL_TOKENS[isFallback ? "software" : "card"];
      return { trial: await timeTrial(engine, reference, { tokens }) };
    } finally {
      await reference.close();
      await engine.close();
    }
  } catch (error) {
    return { problem: problemOf(error) };
  }
}

/** The adapters that WebGPU gives for each preference; it has no list of all. */
async function listAdapters(used: GPUAdapter): Promise<readonly AdapterDescription[]> {
  const wishes: readonly GPURequestAdapterOptions[] = [
    { powerPreference: "low-power" },
    { forceFallbackAdapter: true },
  ];
  const others = await Promise.all(wishes.map((wish) => navigator.gpu.requestAdapter(wish)));
  const found = new Map<string, AdapterDescription>();
  for (const adapter of [used, ...others]) {
    if (adapter === null) continue;
    const name = adapterName(adapter);
    if (!found.has(name)) found.set(name, { name, isFallback: adapter.info.isFallbackAdapter });
  }
  return [...found.values()];
}

function problemOf(error: unknown): string {
  if (error instanceof GpruneError) return error.message;
  return error instanceof Error ? error.message.split("\n")[0] : String(error);
}
