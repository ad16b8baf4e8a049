/**
 * Buffers on the card: taken from a pool and given back to it, so that the blocks of a model share the same memory.
 * @module
 */
import { GraphicsError } from "../../errors.ts";
import type { GraphicsDevice } from "./device.ts";

/** What a buffer is for. */
export type BufferPurpose = "storage" | "uniform" | "readback";

/** A buffer of the pool. */
export interface PooledBuffer {
  /** WebGPU's own buffer; at least as large as asked for. */
  readonly buffer: GPUBuffer;
  /** Bytes of it. */
  readonly size: number;
  /** What it is for. */
  readonly purpose: BufferPurpose;
}

/** How many buffers there are. */
export interface PoolCounts {
  /** Buffers that exist on the card. */
  readonly buffers: number;
  /** Of them, those in use. */
  readonly inUse: number;
  /** Bytes of all of them. */
  readonly bytes: number;
}

/** Bytes of unused buffers that are kept for the next block. */
const IDLE_LIMIT = 1536 * 1024 * 1024;

/** Buffers by purpose and size. */
export class BufferPool {
  readonly #graphics: GraphicsDevice;
  readonly #idle = new Map<string, PooledBuffer[]>();
  readonly #inUse = new Set<PooledBuffer>();
  #idleBytes = 0;
  #usedBytes = 0;

  /**
   * Starts empty.
   *
   * @param graphics The card
   */
  constructor(graphics: GraphicsDevice) {
    this.#graphics = graphics;
  }

  /**
   * Takes a buffer. What it holds is undefined.
   *
   * @param bytes At least so many
   * @param purpose What it is for
   * @returns The buffer; give it back with {@linkcode BufferPool.release}
   * @throws {GraphicsError} if the card allows no buffer of that size
   */
  acquire(bytes: number, purpose: BufferPurpose = "storage"): PooledBuffer {
    const { device, limits, name } = this.#graphics;
    if (bytes > limits.maxBufferSize) {
      throw new GraphicsError(
        `Cannot make a buffer of ${bytes} bytes: graphics card '${name}' allows ${limits.maxBufferSize}; use --engine onnx`,
      );
    }
    const size = Math.min(roundedSize(bytes), 4 * Math.floor(limits.maxBufferSize / 4));
    const known = this.#idle.get(`${purpose} ${size}`)?.pop();
    if (known !== undefined) {
      this.#idleBytes -= size;
      return this.#use(known);
    }
    const buffer = device.createBuffer({ size, usage: usageOf(purpose) });
    return this.#use({ buffer, size, purpose });
  }

  /**
   * Gives a buffer back. Work that was submitted before still finds in it what it needs.
   *
   * @param pooled The buffer
   */
  release(pooled: PooledBuffer): void {
    if (!this.#inUse.delete(pooled)) return;
    this.#usedBytes -= pooled.size;
    if (this.#idleBytes + pooled.size > IDLE_LIMIT) {
      pooled.buffer.destroy();
      return;
    }
    const key = `${pooled.purpose} ${pooled.size}`;
    const others = this.#idle.get(key);
    if (others === undefined) this.#idle.set(key, [pooled]);
    else others.push(pooled);
    this.#idleBytes += pooled.size;
  }

  /** How many buffers there are now. */
  get counts(): PoolCounts {
    const idle = [...this.#idle.values()].reduce((sum, { length }) => sum + length, 0);
    return {
      buffers: idle + this.#inUse.size,
      inUse: this.#inUse.size,
      bytes: this.#idleBytes + this.#usedBytes,
    };
  }

  /** Destroys the buffers that are not in use. */
  trim(): void {
    for (const buffers of this.#idle.values()) for (const { buffer } of buffers) buffer.destroy();
    this.#idle.clear();
    this.#idleBytes = 0;
  }

  /** Destroys all buffers, those in use too. */
  close(): void {
    this.trim();
    for (const { buffer } of this.#inUse) buffer.destroy();
    this.#inUse.clear();
    this.#usedBytes = 0;
  }

  #use(pooled: PooledBuffer): PooledBuffer {
    this.#inUse.add(pooled);
    this.#usedBytes += pooled.size;
    return pooled;
  }
}

/** Sizes come in steps of an eighth, so that nearly equal needs meet in one buffer. */
function roundedSize(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(Math.max(bytes, 1))) - 3));
  return Math.max(256, Math.ceil(bytes / step) * step);
}

function usageOf(purpose: BufferPurpose): number {
  switch (purpose) {
    case "storage":
      return GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    case "uniform":
      return GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    case "readback":
      return GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  }
}
