/**
 * What all parts of the engine share: the card, its buffers, its compiled kernels, and how its errors are caught.
 * @module
 */
import { GraphicsError } from "../../errors.ts";
import type { RotaryEmbedding } from "../../model/types.ts";
import { Rotations } from "../rotations.ts";
import { BufferPool, type PooledBuffer } from "./buffers.ts";
import type { GraphicsDevice } from "./device.ts";
import type { Kernel } from "./kernels/kernel.ts";
import { tileBytes, tileCost, type TileName, TILES } from "./kernels/product.ts";
import type { Profile } from "./profile.ts";

/** Workgroups that keep a large card busy. */
const BUSY = 96;

/** Time between two waits for the card. */
const PACE_MILLISECONDS = 250;

/** Shared by all blocks of an engine. */
export class GraphicsContext {
  /** The card. */
  readonly graphics: GraphicsDevice;
  /** Its buffers. */
  readonly pool: BufferPool;
  /** Where kernels are timed; for benches. */
  profile: Profile | undefined;
  /** The one tile that products are made with; chosen by their sizes if undefined. */
  forcedTile: TileName | undefined;
  /** Bytes of residual streams that stay on the card. */
  residentBytes = 0;
  #unfinished = 0;
  #together = 8;
  #lastWait = performance.now();
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  readonly #rotations = new Map<string, { positions: number; tables: PooledBuffer }>();

  /**
   * Starts with no buffers and no kernels.
   *
   * @param graphics The card; closed with the context
   */
  constructor(graphics: GraphicsDevice) {
    this.graphics = graphics;
    this.pool = new BufferPool(graphics);
  }

  /**
   * Compiles a kernel at its first use.
   *
   * @param kernel The kernel
   * @returns The compiled kernel
   */
  pipeline({ key, code }: Kernel): GPUComputePipeline {
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    const { device } = this.graphics;
    const module = device.createShaderModule({ code: code(), label: key });
    const pipeline = device.createComputePipeline({
      label: key,
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }

  /** The tiles that this card can make products with, largest first. */
  get tiles(): readonly TileName[] {
    // Software runs threads one after the other: large tiles win nothing there and take long to compile.
    if (this.graphics.isFallback) return ["small"];
    const { limits } = this.graphics;
    return (["large", "medium", "small"] as const).filter((name) => {
      const tile = TILES[name];
      return tile.threadsAcross * tile.threadsDown <= limits.maxComputeInvocationsPerWorkgroup &&
        tileBytes(tile) <= limits.maxComputeWorkgroupStorageSize;
    });
  }

  /**
   * Chooses the tile of a product: large ones where there is enough work to keep the whole card busy, and little of them
   * hangs over the edges.
   *
   * @param rows Rows of the output
   * @param columns Columns of the output
   * @returns The tile's name
   */
  tile(rows: number, columns: number): TileName {
    if (this.forcedTile !== undefined) return this.forcedTile;
    const cost = (name: TileName) => tileCost(name, rows, columns, BUSY);
    return this.tiles.reduce((best, name) => cost(name) < cost(best) ? name : best);
  }

  /**
   * Cosines and sines of at least so many positions on the card: `[positions, headSize / 2]` of pairs.
   *
   * @param rotary The model's rotary embedding
   * @param positions How many positions, from 0 on
   * @returns Their buffer; it belongs to the context
   */
  rotationTables(rotary: RotaryEmbedding, positions: number): PooledBuffer {
    // A model that is opened twice has equal rotations in different objects.
    const key = `${rotary.attentionFactor} ${rotary.inverseFrequencies.join(" ")}`;
    const known = this.#rotations.get(key);
    if (known !== undefined && known.positions >= positions) return known.tables;
    if (known !== undefined) this.pool.release(known.tables);
    const { cosine, sine } = new Rotations(rotary).upTo(positions);
    const pairs = new Float32Array(2 * cosine.data.length);
    for (let index = 0; index < cosine.data.length; index++) {
      pairs[2 * index] = Number(cosine.data[index]);
      pairs[2 * index + 1] = Number(sine.data[index]);
    }
    const tables = this.pool.acquire(pairs.byteLength);
    this.graphics.device.queue.writeBuffer(tables.buffer, 0, pairs);
    this.#rotations.set(key, { positions: cosine.shape[0], tables });
    return tables;
  }

  /**
   * Waits for the card now and then, so that work does not pile up and progress is true. Waiting takes Deno 10 ms
   * whatever the card does (it looks that often), so that it is done about four times a second.
   *
   * @throws {GraphicsError} if the card was lost
   */
  async pace(): Promise<void> {
    if (++this.#unfinished < this.#together) return;
    await Promise.race([this.graphics.device.queue.onSubmittedWorkDone(), this.graphics.lost]);
    const now = performance.now();
    const ratio = PACE_MILLISECONDS / Math.max(1, now - this.#lastWait);
    this.#together = Math.max(1, Math.min(256, Math.round(this.#unfinished * ratio)));
    this.#unfinished = 0;
    this.#lastWait = now;
  }

  /**
   * Does work on the card, and turns what the card reports about it into an error.
   *
   * @param what What the work is, such as `run a decoder block`
   * @param work The work
   * @returns What the work gives
   * @throws {GraphicsError} if the card is lost, out of memory or refuses a command
   */
  async guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { device, name, lost } = this.graphics;
    if (this.graphics.isLost()) await lost;
    device.pushErrorScope("validation");
    device.pushErrorScope("internal");
    device.pushErrorScope("out-of-memory");
    let result: T | undefined;
    let thrown: unknown;
    try {
      result = await Promise.race([work(), lost]);
    } catch (error) {
      thrown = error;
    }
    const outOfMemory = await device.popErrorScope();
    const others = [await device.popErrorScope(), await device.popErrorScope()];
    // A lost card makes every command fail: its loss is the reason to tell.
    if (thrown !== undefined) await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.graphics.isLost()) await lost;
    if (outOfMemory !== null) {
      this.pool.trim();
      throw new GraphicsError(
        `Cannot ${what}: graphics card '${name}' is out of memory; close other programs, give a shorter --seq-len, or use --engine onnx`,
        { cause: outOfMemory },
      );
    }
    const refusal = others.find((error) => error !== null);
    if (refusal) {
      throw new GraphicsError(
        `Cannot ${what}: graphics card '${name}' refuses (${
          refusal.message.split("\n").join(" ").slice(0, 300)
        }); use --engine onnx`,
        { cause: refusal },
      );
    }
    if (thrown instanceof DOMException || thrown instanceof TypeError) {
      throw new GraphicsError(
        `Cannot ${what}: graphics card '${name}' failed (${thrown.message}); use --engine onnx`,
        { cause: thrown },
      );
    }
    if (thrown !== undefined) throw thrown;
    return result as T;
  }

  /** Frees buffers and kernels, and gives the card back. */
  close(): void {
    this.#pipelines.clear();
    this.#rotations.clear();
    this.pool.close();
    this.graphics.close();
  }
}
