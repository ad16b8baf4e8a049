/**
 * Checkpoints: what a calibration has finished, kept in a folder so that an interrupted run can go on, and so that
 * matrices of finished layers need not stay in memory.
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "@std/path";
import { loadStatistics, saveStatistics } from "../calibrate/store.ts";
import type { GramPlace } from "../calibrate/collect.ts";
import type { DamageCurve, LayerStatistics } from "../calibrate/types.ts";
import { ExportError } from "../errors.ts";
import { ffnFractions } from "../learn/damage.ts";
import type { MemoryTensor, Tensor } from "../model/types.ts";
import type { PlanRequest } from "../plan/types.ts";

/** Keeps finished work; without a folder it keeps nothing. */
export class Checkpoint {
  readonly #folder: string | undefined;

  private constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /**
   * Opens a folder. What it holds is used only if it was made under the same conditions.
   *
   * @param folder The folder; made if missing. Undefined: nothing is kept
   * @param resume Whether to use what it holds
   * @param conditions What the work depends on
   * @param onNote Told when there is nothing to go on from
   * @returns The checkpoint
   * @throws {ExportError} if the folder cannot be made
   */
  static async open(
    folder: string | undefined,
    resume: boolean,
    conditions: Readonly<Record<string, unknown>>,
    onNote?: (message: string) => void,
  ): Promise<Checkpoint> {
    if (folder === undefined) return new Checkpoint(undefined);
    const path = join(folder, "conditions.json");
    const wanted = JSON.stringify(conditions);
    const found = await Deno.readTextFile(path).catch(() => undefined);
    if (resume && found === wanted) return new Checkpoint(folder);
    if (resume) {
      onNote?.(
        found === undefined
          ? "There is nothing to go on from; starting plainly"
          : "What the interrupted run left was made with other options; starting plainly",
      );
    }
    try {
      await Deno.remove(folder, { recursive: true }).catch(() => undefined);
      await Deno.mkdir(folder, { recursive: true });
      await Deno.writeTextFile(path, wanted);
    } catch (cause) {
      throw new ExportError(
        `Cannot keep unfinished work in '${folder}': ${(cause as Error).message}`,
        { cause },
      );
    }
    return new Checkpoint(folder);
  }

  /**
   * The sampled windows of an earlier run.
   *
   * @param seqLen Tokens per window
   * @returns The windows, or undefined
   */
  async readWindows(seqLen: number): Promise<readonly Int32Array[] | undefined> {
    const bytes = await this.#read("self.tokens");
    if (bytes === undefined) return undefined;
    const tokens = new Int32Array(bytes.buffer);
    return Array.from(
      { length: tokens.length / seqLen },
      (_, index) => tokens.slice(index * seqLen, (index + 1) * seqLen),
    );
  }

  /**
   * Keeps sampled windows.
   *
   * @param windows The windows
   */
  async writeWindows(windows: readonly Int32Array[]): Promise<void> {
    const length = windows.reduce((sum, window) => sum + window.length, 0);
    const tokens = new Int32Array(length);
    let at = 0;
    for (const window of windows) {
      tokens.set(window, at);
      at += window.length;
    }
    await this.#write("self.tokens", new Uint8Array(tokens.buffer));
  }

  /**
   * The layers that an earlier run finished.
   *
   * @returns Statistics by layer
   */
  async readLayers(): Promise<ReadonlyMap<number, LayerStatistics>> {
    const layers = new Map<number, LayerStatistics>();
    if (this.#folder === undefined) return layers;
    for await (const { name } of Deno.readDir(this.#folder)) {
      const layer = /^layer-(\d+)\.safetensors$/.exec(name)?.[1];
      if (layer === undefined) continue;
      const statistics = await loadStatistics(join(this.#folder, name));
      layers.set(Number(layer), statistics.layers[0]);
    }
    return layers;
  }

  /**
   * Keeps a finished layer.
   *
   * @param layer Counted from 0
   * @param statistics Its statistics
   * @returns The same, its matrices in the file; without a folder, as it was given
   */
  async writeLayer(layer: number, statistics: LayerStatistics): Promise<LayerStatistics> {
    if (this.#folder === undefined) return statistics;
    const path = join(this.#folder, `layer-${layer}.safetensors`);
    // Renamed when whole, so that an interruption leaves no half of a layer.
    const unfinished = `${path}.part`;
    await saveStatistics({
      schema: "gprune.statistics/1",
      model: { source: "", fingerprint: "", layers: [] },
      seed: 0,
      domains: [],
      layers: [statistics],
    }, unfinished);
    await Deno.rename(unfinished, path);
    await this.#removeGrams();
    return (await loadStatistics(path)).layers[0];
  }

  /**
   * Keeps a Gram matrix of a layer in hand, until {@linkcode writeLayer} takes it over.
   *
   * @param place Whose it is
   * @param gram The matrix
   * @returns The same in a file; without a folder, as it was given
   */
  async keepGram(place: GramPlace, gram: MemoryTensor): Promise<Tensor> {
    if (this.#folder === undefined) return gram;
    const name = `${place.structure}-${place.domain}.gram`;
    const path = join(await Deno.realPath(this.#folder), name);
    const { buffer, byteOffset, byteLength } = gram.data;
    await Deno.writeFile(path, new Uint8Array(buffer, byteOffset, byteLength));
    return { name, dataType: "F32", shape: gram.shape, path, offset: 0, byteLength };
  }

  async #removeGrams(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#folder!)) {
      if (name.endsWith(".gram")) await Deno.remove(join(this.#folder!, name));
    }
  }

  /**
   * The damage curves that an earlier run measured under the same request.
   *
   * @param request What is asked for
   * @returns Curves
   */
  async readCurves(request: PlanRequest): Promise<readonly DamageCurve[]> {
    const bytes = await this.#read(curvesName(request));
    return bytes === undefined ? [] : JSON.parse(new TextDecoder().decode(bytes));
  }

  /**
   * Keeps measured damage curves beside those kept before.
   *
   * @param request What is asked for
   * @param curves The curves
   */
  async writeCurves(request: PlanRequest, curves: readonly DamageCurve[]): Promise<void> {
    const all = [...await this.readCurves(request), ...curves];
    await this.#write(curvesName(request), new TextEncoder().encode(JSON.stringify(all)));
  }

  async #read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.#folder === undefined) return undefined;
    return await Deno.readFile(join(this.#folder, name)).catch(() => undefined);
  }

  async #write(name: string, bytes: Uint8Array): Promise<void> {
    if (this.#folder === undefined) return;
    const path = join(this.#folder, name);
    await Deno.writeFile(`${path}.part`, bytes);
    await Deno.rename(`${path}.part`, path);
  }
}

/** Curves depend on how units are ordered and refitted, not on how many go. */
function curvesName(request: PlanRequest): string {
  const { metric, refit, structures, modules, scoreDomains } = request;
  const key = JSON.stringify([
    metric,
    refit,
    structures,
    modules,
    request.switch,
    request.grouping,
    request.moduleShares,
    scoreDomains,
    ffnFractions,
  ]);
  return `curves-${createHash("sha256").update(key).digest("hex").slice(0, 12)}.json`;
}
