/**
 * What a calibration has finished, in the journal of its run: groups of the model's own text, layers, damage curves.
 * @module
 */
import { join } from "@std/path";
import type { GramPlace } from "../../calibrate/layer_sums.ts";
import { loadStatistics, saveStatistics } from "../../calibrate/store.ts";
import type { DamageCurve, LayerStatistics } from "../../calibrate/types.ts";
import { joinWindows } from "../../engine/batches.ts";
import { readTensorBytes } from "../../model/tensor_reader.ts";
import type { MemoryTensor, Tensor } from "../../model/types.ts";
import { cutWindows } from "../../text/windows.ts";
import type { Journal } from "./journal.ts";

/** Numbers of all layers would add up; the journal keeps its files until the work is done. */
const leftInFile = { leavesNumbers: true };

/** Finished parts of a calibration. */
export class KeptCalibration {
  readonly #journal: Journal;
  readonly #depth: number;
  /** Files of the layer in hand. */
  readonly #grams: string[] = [];

  /**
   * Takes a journal.
   *
   * @param journal The journal
   * @param depth Layers of the model
   */
  constructor(journal: Journal, depth: number) {
    this.#journal = journal;
    this.#depth = depth;
  }

  /**
   * A group of sampled sequences.
   *
   * @param first Number of its first sequence
   * @param count Sequences in it
   * @param seqLen Tokens in each
   * @returns The sequences, or undefined
   */
  async readGroup(
    first: number,
    count: number,
    seqLen: number,
  ): Promise<readonly Int32Array[] | undefined> {
    const tokens = (await this.#journal.readTensors(`self ${first}`))?.tensors.get("tokens");
    if (tokens?.shape.join() !== `${count},${seqLen}`) return undefined;
    return cutWindows(new Int32Array((await readTensorBytes(tokens)).buffer), seqLen);
  }

  /**
   * Keeps a group of sampled sequences.
   *
   * @param first Number of its first sequence
   * @param windows The sequences
   */
  async writeGroup(first: number, windows: readonly Int32Array[]): Promise<void> {
    const shape = [windows.length, windows[0].length];
    const bytes = () => new Uint8Array(joinWindows(windows).buffer);
    await this.#journal.writeTensors(`self ${first}`, null, [
      { name: "tokens", dataType: "I32", shape, bytes },
    ]);
  }

  /**
   * The layers that are finished.
   *
   * @returns Statistics by layer, their matrices in files
   */
  async readLayers(): Promise<ReadonlyMap<number, LayerStatistics>> {
    const layers = new Map<number, LayerStatistics>();
    for (let layer = 0; layer < this.#depth; layer++) {
      const path = this.#journal.path(`layer ${layer}`, "stats");
      const statistics = path && await loadStatistics(path, leftInFile).catch(() => undefined);
      if (statistics) layers.set(layer, statistics.layers[0]);
    }
    return layers;
  }

  /**
   * Keeps a finished layer.
   *
   * @param layer Counted from 0
   * @param statistics Its statistics
   * @returns The same, its matrices in the file; where nothing is kept, as it was given
   */
  async writeLayer(layer: number, statistics: LayerStatistics): Promise<LayerStatistics> {
    const path = await this.#journal.writeFile(`layer ${layer}`, "stats", (path) =>
      saveStatistics({
        schema: "gprune.statistics/1",
        model: { source: "", fingerprint: "", layers: [] },
        seed: 0,
        domains: [],
        layers: [statistics],
      }, path));
    if (path === undefined) return statistics;
    for (const gram of this.#grams.splice(0)) await Deno.remove(gram);
    return (await loadStatistics(path, leftInFile)).layers[0];
  }

  /**
   * Keeps a Gram matrix of a layer in hand, until {@linkcode writeLayer} takes it over.
   *
   * @param place Whose it is
   * @param gram The matrix
   * @param limits How much all matrices of a layer may take in memory, and how many domains have one
   * @returns The same in a file; where nothing is kept or there is room in memory, as it was given
   */
  async keepGram(
    place: GramPlace,
    gram: MemoryTensor,
    { gramBytes, domains }: { readonly gramBytes: number; readonly domains: number },
  ): Promise<Tensor> {
    if (this.#journal.folder === undefined || domains * gram.data.byteLength <= gramBytes) {
      return gram;
    }
    const name = `${place.structure}-${place.domain}.gram`;
    const path = join(await Deno.realPath(this.#journal.folder), name);
    const { buffer, byteOffset, byteLength } = gram.data;
    await Deno.writeFile(path, new Uint8Array(buffer, byteOffset, byteLength));
    this.#grams.push(path);
    return { name, dataType: "F32", shape: gram.shape, path, offset: 0, byteLength };
  }

  /**
   * The loss of the dense model.
   *
   * @returns Nats per token by domain, or undefined where it was not measured
   */
  async readDenseLoss(): Promise<readonly number[] | undefined> {
    return (await this.#journal.read<readonly number[]>("dense loss"))?.value;
  }

  /**
   * Keeps the loss of the dense model.
   *
   * @param losses Nats per token by domain
   */
  async writeDenseLoss(losses: readonly number[]): Promise<void> {
    await this.#journal.write("dense loss", losses);
  }

  /**
   * The damage curves that are measured.
   *
   * @returns Curves, by layer
   */
  async readCurves(): Promise<readonly DamageCurve[]> {
    const curves: DamageCurve[] = [];
    for (let layer = 0; layer < this.#depth; layer++) {
      const found = await this.#journal.read<readonly DamageCurve[]>(`curves of layer ${layer}`);
      curves.push(...found?.value ?? []);
    }
    return curves;
  }

  /**
   * Keeps the damage curves of a layer.
   *
   * @param layer Counted from 0
   * @param curves Its curves
   */
  async writeCurves(layer: number, curves: readonly DamageCurve[]): Promise<void> {
    await this.#journal.write(`curves of layer ${layer}`, curves);
  }
}
