/**
 * The graphics card: finding it, its limits, and hearing of its loss.
 * @module
 */
import { GraphicsError } from "../../errors.ts";

/** The limits that kernels and buffers must keep. */
export interface DeviceLimits {
  /** Bytes of the largest storage binding: 128 MiB is common. */
  readonly maxStorageBufferBindingSize: number;
  /** Bytes of the largest buffer. */
  readonly maxBufferSize: number;
  /** Bytes of memory that the threads of a workgroup share. */
  readonly maxComputeWorkgroupStorageSize: number;
  /** Threads of a workgroup. */
  readonly maxComputeInvocationsPerWorkgroup: number;
  /** Workgroups along one axis of a dispatch. */
  readonly maxComputeWorkgroupsPerDimension: number;
}

/** A graphics card that is ready to work. */
export interface GraphicsDevice {
  /** WebGPU's own device. */
  readonly device: GPUDevice;
  /** The card's name. */
  readonly name: string;
  /** Whether it is a fallback in software. */
  readonly isFallback: boolean;
  /** Its limits. */
  readonly limits: DeviceLimits;
  /** Whether kernels can be timed on the card. */
  readonly hasTimestamps: boolean;
  /** Rejects with a {@linkcode GraphicsError} when the card is lost; never resolves. */
  readonly lost: Promise<never>;
  /** Whether the card was lost. */
  isLost(): boolean;
  /** Gives the card back. What runs on it fails. */
  close(): void;
}

/** Options of {@linkcode openDevice}. */
export interface DeviceOptions {
  /** A smaller limit on storage bindings than the card's own, for tests of tiling. */
  readonly bindingBytes?: number;
}

const REQUIRED_LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

/**
 * Opens the fastest graphics card, with its own limits in place of WebGPU's small defaults.
 *
 * @param options Limits for tests
 * @returns The card; close it after use
 * @throws {GraphicsError} if there is none, or it refuses
 */
export async function openDevice(options: DeviceOptions = {}): Promise<GraphicsDevice> {
  const adapter = await findAdapter();
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      requiredLimits: Object.fromEntries(
        REQUIRED_LIMITS.map((name) => [name, adapter.limits[name]]),
      ),
      requiredFeatures: adapter.features.has("timestamp-query") ? ["timestamp-query"] : [],
    });
  } catch (cause) {
    throw new GraphicsError(
      `Cannot open graphics card '${
        adapterName(adapter)
      }': it refuses its own limits; update its driver`,
      { cause },
    );
  }
  return wrapDevice(device, adapter, options);
}

/**
 * Finds the graphics card.
 *
 * @returns Its adapter
 * @throws {GraphicsError} if there is none, or it is reached through OpenGL alone
 */
export async function findAdapter(): Promise<GPUAdapter> {
  let cause: unknown;
  let adapter: GPUAdapter | null | undefined;
  silenceDriver();
  try {
    adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    cause = error;
  }
  if (adapter && isOpenGl(adapter)) {
    throw new GraphicsError(
      `Cannot use graphics card '${
        adapterName(adapter)
      }': WebGPU reaches it through OpenGL alone, which takes seconds for what should take milliseconds; install its Vulkan driver, or use --engine onnx`,
    );
  }
  if (adapter) return adapter;
  throw new GraphicsError(
    "Cannot find a graphics card through WebGPU: install its Vulkan driver, or use --engine onnx",
    { cause },
  );
}

/**
 * Linux without a Vulkan driver has OpenGL left. WebGPU does not tell which of them an adapter is on, but what it does
 * not know about OpenGL shows: bindings without a limit, and the widest range of subgroups.
 */
function isOpenGl({ limits, info }: GPUAdapter): boolean {
  return Deno.build.os === "linux" && limits.maxBindingsPerBindGroup === 0xffff_ffff &&
    info.subgroupMinSize === 4 && info.subgroupMaxSize === 128;
}

/** Mesa writes to standard error where this variable is absent, as it is on servers, though nothing depends on it. */
function silenceDriver(): void {
  if (Deno.build.os !== "linux") return;
  try {
    if (Deno.env.get("XDG_RUNTIME_DIR") === undefined) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  } catch {
    // Without the permission, the driver says what it says.
  }
}

/**
 * The name of an adapter for people.
 *
 * @param adapter The adapter
 * @returns What its driver calls it
 */
export function adapterName({ info }: GPUAdapter): string {
  return info.description || info.device || info.vendor || "unnamed";
}

function wrapDevice(
  device: GPUDevice,
  adapter: GPUAdapter,
  { bindingBytes = Infinity }: DeviceOptions,
): GraphicsDevice {
  let isLost = false;
  const name = adapterName(adapter);
  const lost = device.lost.then(({ reason, message }) => {
    isLost = true;
    throw new GraphicsError(
      `Cannot go on with graphics card '${name}': it was lost (${
        message || reason
      }); use --engine onnx`,
    );
  });
  // Whoever waits for the card hears of its loss; where nobody waits, nobody needs to.
  lost.catch(() => undefined);
  const { limits } = device;
  return {
    device,
    name,
    isFallback: adapter.info.isFallbackAdapter,
    limits: {
      maxStorageBufferBindingSize: Math.min(bindingBytes, limits.maxStorageBufferBindingSize),
      maxBufferSize: limits.maxBufferSize,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    },
    hasTimestamps: device.features.has("timestamp-query"),
    lost,
    isLost: () => isLost,
    close: () => device.destroy(),
  };
}
