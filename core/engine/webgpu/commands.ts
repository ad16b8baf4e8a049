/**
 * Work for the card: dispatches and copies are written down, sent in one go, and what is wanted back is read.
 * @module
 */
import type { PooledBuffer } from "./buffers.ts";
import type { GraphicsContext } from "./context.ts";
import type { Kernel } from "./kernels/kernel.ts";
import type { DispatchCost } from "./profile.ts";

/** A part of a buffer. */
export interface Region {
  /** The buffer. */
  readonly buffer: GPUBuffer;
  /** Its first byte; 0 if absent. */
  readonly offset?: number;
  /** Bytes. */
  readonly bytes: number;
}

/** Bytes from one dispatch's parameters to the next one's: the largest alignment that a card may want. */
const SLOT = 256;

/** Work that is sent together. */
export class Commands {
  readonly #context: GraphicsContext;
  readonly #encoder: GPUCommandEncoder;
  readonly #parameters: Uint32Array<ArrayBuffer>[] = [];
  readonly #dispatches: ((uniforms: GPUBuffer) => void)[] = [];
  readonly #temporaries: PooledBuffer[] = [];
  readonly #readbacks: { readonly staging: PooledBuffer; readonly bytes: number }[] = [];
  readonly #timed: { readonly kernel: string; readonly cost: DispatchCost }[] = [];
  #pass: GPUComputePassEncoder | undefined;
  #stamps: GPUQuerySet | undefined;

  /**
   * Starts without work.
   *
   * @param context What the engine's parts share
   */
  constructor(context: GraphicsContext) {
    this.#context = context;
    this.#encoder = context.graphics.device.createCommandEncoder();
  }

  /**
   * A buffer that is given back when the work has been sent.
   *
   * @param numbers How many float32 numbers it must hold
   * @returns The buffer
   */
  temporary(numbers: number): PooledBuffer {
    const pooled = this.#context.pool.acquire(4 * numbers);
    this.#temporaries.push(pooled);
    return pooled;
  }

  /**
   * Gives a temporary buffer back before the work is sent, for later dispatches of the same work.
   *
   * @param pooled The buffer
   */
  reuse(pooled: PooledBuffer): void {
    this.#temporaries.splice(this.#temporaries.indexOf(pooled), 1);
    this.#context.pool.release(pooled);
  }

  /**
   * Writes down a dispatch.
   *
   * @param kernel The kernel; its binding 0 is its parameters
   * @param bindings What is bound from binding 1 on
   * @param parameters Whole numbers, at most 64
   * @param workgroups Workgroups along each axis
   * @param cost Additions and multiplications, for benches; 0 if absent
   */
  dispatch(
    kernel: Kernel,
    bindings: readonly Region[],
    parameters: readonly number[],
    workgroups: readonly [number, number, number],
    cost = 0,
  ): void {
    const pipeline = this.#context.pipeline(kernel);
    const slot = this.#parameters.length;
    this.#parameters.push(Uint32Array.from(parameters));
    const bytes = bindings.reduce((sum, region) => sum + region.bytes, 0);
    this.#timed.push({ kernel: kernel.key, cost: { operations: cost, bytes } });
    this.#dispatches.push((uniforms) => {
      const bound = [{ buffer: uniforms, offset: slot * SLOT, bytes: SLOT }, ...bindings];
      const group = this.#context.graphics.device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: bound.map(({ buffer, offset, bytes }, binding) => ({
          binding,
          resource: { buffer, offset: offset ?? 0, size: Math.ceil(bytes / 4) * 4 },
        })),
      });
      const pass = this.#openPass(slot);
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...workgroups);
    });
  }

  /**
   * Writes down a copy.
   *
   * @param from Where from
   * @param to Where to; its bytes are those of `from`
   */
  copy(from: Region, to: Omit<Region, "bytes">): void {
    this.#dispatches.push(() => {
      this.#closePass();
      const [source, target] = [from.offset ?? 0, to.offset ?? 0];
      this.#encoder.copyBufferToBuffer(from.buffer, source, to.buffer, target, from.bytes);
    });
  }

  /**
   * Writes down that a part of a buffer becomes zero.
   *
   * @param region The part
   */
  clear({ buffer, offset, bytes }: Region): void {
    this.#dispatches.push(() => {
      this.#closePass();
      this.#encoder.clearBuffer(buffer, offset ?? 0, bytes);
    });
  }

  /**
   * Writes down that numbers are wanted back.
   *
   * @param region Where they are
   * @returns Their place in what {@linkcode Commands.submit} gives
   */
  read(region: Region): number {
    const staging = this.#context.pool.acquire(region.bytes, "readback");
    this.#readbacks.push({ staging, bytes: region.bytes });
    this.copy(region, { buffer: staging.buffer });
    return this.#readbacks.length - 1;
  }

  /**
   * Sends the work, and waits where something is read back.
   *
   * @returns What was read, in order
   * @throws {GraphicsError} if the card is lost meanwhile
   */
  async submit(): Promise<readonly Float32Array[]> {
    const { graphics: { device }, pool } = this.#context;
    const uniforms = pool.acquire(SLOT * Math.max(1, this.#parameters.length), "uniform");
    try {
      const slots = new Uint32Array(SLOT / 4 * this.#parameters.length);
      this.#parameters.forEach((values, slot) => slots.set(values, slot * SLOT / 4));
      if (slots.length > 0) device.queue.writeBuffer(uniforms.buffer, 0, slots);
      if (this.#context.profile !== undefined && this.#parameters.length > 0) {
        this.#stamps = device.createQuerySet({
          type: "timestamp",
          count: 2 * this.#parameters.length,
        });
      }
      for (const encode of this.#dispatches) encode(uniforms.buffer);
      this.#closePass();
      const finish = this.#stamps && this.#readStamps(this.#stamps);
      device.queue.submit([this.#encoder.finish()]);
      await finish?.();
      return await Promise.all(this.#readbacks.map(({ staging, bytes }) => mapped(staging, bytes)));
    } finally {
      this.#stamps?.destroy();
      pool.release(uniforms);
      this.abandon();
    }
  }

  /** Gives back what the work has taken, sent or not. */
  abandon(): void {
    const { pool } = this.#context;
    for (const pooled of this.#temporaries.splice(0)) pool.release(pooled);
    for (const { staging } of this.#readbacks.splice(0)) pool.release(staging);
  }

  /** All dispatches share a pass, unless each is timed. */
  #openPass(slot: number): GPUComputePassEncoder {
    if (this.#stamps === undefined) return this.#pass ??= this.#encoder.beginComputePass();
    this.#closePass();
    return this.#pass = this.#encoder.beginComputePass({
      timestampWrites: {
        querySet: this.#stamps,
        beginningOfPassWriteIndex: 2 * slot,
        endOfPassWriteIndex: 2 * slot + 1,
      },
    });
  }

  #closePass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  #readStamps(stamps: GPUQuerySet): () => Promise<void> {
    const { graphics: { device }, profile } = this.#context;
    const bytes = 8 * stamps.count;
    const resolved = device.createBuffer({
      size: bytes,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const staging = device.createBuffer({
      size: bytes,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    this.#encoder.resolveQuerySet(stamps, 0, stamps.count, resolved, 0);
    this.#encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    return async () => {
      await staging.mapAsync(GPUMapMode.READ);
      profile?.add(this.#timed, new BigUint64Array(staging.getMappedRange().slice(0)));
      staging.unmap();
      staging.destroy();
      resolved.destroy();
    };
  }
}

async function mapped({ buffer }: PooledBuffer, bytes: number): Promise<Float32Array> {
  await buffer.mapAsync(GPUMapMode.READ, 0, bytes);
  const numbers = new Float32Array(buffer.getMappedRange(0, bytes).slice(0));
  buffer.unmap();
  return numbers;
}
