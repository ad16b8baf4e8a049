/**
 * What a calibration has finished, in the journal of its run: groups of the model's own text, layers, damage curves.
 * @module
 */
import { join } from "@std/path";
import type { GramPlace } from "../../calibrate/layer_sums.ts";
import {
  gramName,
  layerMatrices,
  matrixPlaces,
  withMatrices,
} from "../../calibrate/matrix_places.ts";
import { loadStatistics, saveStatistics } from "../../calibrate/store.ts";
import type { DamageCurve, LayerStatistics, Statistics } from "../../calibrate/types.ts";
import { joinWindows } from "../../engine/batches.ts";
import { discard } from "../../linear/discard.ts";
import { isView, readTensorBytes } from "../../model/tensor_reader.ts";
import type { MemoryTensor, Tensor } from "../../model/types.ts";
import { cutWindows } from "../../text/windows.ts";
import type { Journal } from "./journal.ts";
import { checksumInFile, MatrixFile } from "./matrix_file.ts";

/** The file of a journal's folder that holds the matrices of finished layers, and becomes the file of statistics. */
export const matrixFileName = "statistics";

/**
 * Layers whose records may be on their way to the disk while the next is summed: more are waited for. A record takes a
 * dozen steps, and as ONNX Runtime stops the event loop while a block runs, few of them are made in a layer's time.
 * Records are small; the matrices before them are waited for by themselves.
 */
const LAYERS_BEHIND = 16;

/** Numbers of all layers would add up; the journal keeps its files until the work is done. */
const leftInFile = { leavesNumbers: true };

/**
 * Finished parts of a calibration. Layers are written while the next ones are summed, the matrices of one at a time; an
 * error of the disk comes at a later call, at the latest at the end of {@linkcode KeptCalibration.during}.
 */
export class KeptCalibration {
  readonly #journal: Journal;
  readonly #depth: number;
  #matrices: MatrixFile | undefined;
  #domains = 0;
  readonly #gramBytes: number;
  /** Checksums of the matrices of the layer in hand that go to the file. */
  readonly #checksums = new Map<string, Promise<string>>();
  /** Matrices on their way to the file: they are in memory until then. */
  #writing: Promise<void> = Promise.resolve();
  /** Layers on their way to the disk. */
  readonly #records: Promise<void>[] = [];

  /**
   * Takes a journal.
   *
   * @param journal The journal
   * @param depth Layers of the model
   * @param gramBytes How much all matrices of a layer may take in memory. Default: any number. With none, the numbers of
   * layers that are kept stay in files too
   */
  constructor(journal: Journal, depth: number, gramBytes: number = Infinity) {
    this.#journal = journal;
    this.#depth = depth;
    this.#gramBytes = gramBytes;
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
   * Keeps room for Gram matrices. Without, layers have none.
   *
   * @param blank The statistics as they will be: sizes and words, no numbers
   * @throws {ExportError} if the disk refuses
   */
  async layOut(blank: Statistics): Promise<void> {
    const { folder } = this.#journal;
    if (folder === undefined) return;
    const places = matrixPlaces(blank);
    // The words may have become longer since an earlier run: what it has written stays where it is.
    const start = await this.#journal.remember(
      "where matrices begin",
      () => Promise.resolve(places.start),
    );
    const moved = start - places.start;
    this.#domains = blank.domains.length;
    await this.#journal.keeping(async () => {
      this.#matrices = await MatrixFile.open(join(folder, matrixFileName), {
        start,
        offsets: new Map([...places.offsets].map(([name, offset]) => [name, offset + moved])),
        fileBytes: places.fileBytes + moved,
      });
    });
  }

  /**
   * The layers that are finished.
   *
   * @returns Statistics by layer, their matrices in the file
   */
  async readLayers(): Promise<ReadonlyMap<number, LayerStatistics>> {
    const layers = new Map<number, LayerStatistics>();
    for (let layer = 0; layer < this.#depth; layer++) {
      const record = await this.#read(layer);
      if (record === undefined) continue;
      const sums = await checksums(layer, record.statistics).catch(() => undefined);
      if (sums === record.checksums) layers.set(layer, record.statistics);
    }
    return layers;
  }

  /**
   * Keeps a finished layer.
   *
   * @param layer Counted from 0
   * @param statistics Its statistics, whose matrices are not to be looked at any more
   * @returns The same, its matrices in the file (see {@linkcode KeptCalibration.during}); where nothing is kept, as it
   * was given
   */
  async writeLayer(layer: number, statistics: LayerStatistics): Promise<LayerStatistics> {
    if (this.#journal.folder === undefined) return statistics;
    await this.#roomForLayer();
    const matrices = layerMatrices(layer, statistics);
    const rest = [...matrices].filter(([name]) => !this.#checksums.has(name)) as [
      string,
      MemoryTensor,
    ][];
    this.#write(rest);
    const checksums = [...matrices.keys()].map((name) => this.#checksums.get(name)!);
    this.#checksums.clear();
    const bare = withMatrices(layer, statistics, () => undefined);
    const record = this.#record(layer, bare, checksums, [...matrices.values()]);
    record.catch(() => undefined);
    this.#records.push(record);
    const bytes = rest.reduce((sum, [, { data }]) => sum + data.byteLength, 0);
    if (bytes > this.#gramBytes) await this.#writing;
    if (this.#gramBytes === 0) {
      await record;
      return (await this.#read(layer))?.statistics ?? statistics;
    }
    if (this.#records.length > LAYERS_BEHIND) await this.#records.shift();
    return this.#placed(layer, statistics);
  }

  /**
   * Keeps a Gram matrix of a layer in hand.
   *
   * @param place Whose it is
   * @param gram The matrix
   * @returns The same in the file; where nothing is kept or there is room in memory, as it was given
   */
  async keepGram(place: GramPlace, gram: MemoryTensor): Promise<Tensor> {
    const file = this.#matrices;
    if (file === undefined) return gram;
    const name = gramName(place);
    await this.#roomForLayer();
    this.#write([[name, gram]]);
    if (this.#domains * gram.data.byteLength <= this.#gramBytes) return gram;
    await this.#writing;
    return file.view(name, gram.shape[0]);
  }

  /**
   * Does work that keeps layers: when it has ended, well or not, so has their writing.
   *
   * @param work The work
   * @returns What the work gives
   * @throws {ExportError} if the disk refused something
   */
  async during<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      await this.#writing;
      await Promise.all(this.#records);
      return result;
    } finally {
      await Promise.allSettled([this.#writing, ...this.#records.splice(0)]);
    }
  }

  /** Before the first matrix of a layer, those of the layer before have to be written, and are let go. */
  async #roomForLayer(): Promise<void> {
    if (this.#checksums.size === 0) await this.#writing;
  }

  /** Begins to write matrices of the layer in hand. */
  #write(matrices: readonly (readonly [string, MemoryTensor])[]): void {
    const file = this.#matrices!;
    for (const [name, matrix] of matrices) this.#checksums.set(name, file.write(name, matrix));
    const before = this.#writing;
    const all = [before, ...matrices.map(([name]) => this.#checksums.get(name))];
    this.#writing = this.#journal.keeping(async () => {
      await Promise.all(all);
    });
    this.#writing.catch(() => undefined);
  }

  /** A record says that the layer's matrices are there: they are forced to the disk before it. */
  async #record(
    layer: number,
    statistics: LayerStatistics,
    checksums: readonly Promise<string>[],
    matrices: readonly Tensor[],
  ): Promise<void> {
    await this.#writing;
    const fingerprint = (await Promise.all(checksums)).join(" ");
    discard(...matrices.map((matrix) => isView(matrix) ? undefined : matrix.data));
    await this.#journal.keeping(async () => await this.#matrices?.sync());
    await this.#journal.writeFile(`layer ${layer}`, "stats", (path) =>
      saveStatistics({
        schema: "gprune.statistics/1",
        model: { source: "", fingerprint, layers: [] },
        seed: 0,
        domains: [],
        layers: [statistics],
      }, path));
  }

  /** A layer's record, whose numbers stay in its file, and the checksums that it tells of the layer's matrices. */
  async #read(layer: number) {
    const path = this.#journal.path(`layer ${layer}`, "stats");
    const record = path && await loadStatistics(path, leftInFile).catch(() => undefined);
    if (!record) return undefined;
    const statistics = this.#placed(layer, record.layers[0]);
    return { statistics, checksums: record.model.fingerprint };
  }

  #placed(layer: number, statistics: LayerStatistics): LayerStatistics {
    const file = this.#matrices;
    if (file === undefined) return statistics;
    const { ffn, heads } = statistics;
    return withMatrices(
      layer,
      statistics,
      (name) => file.view(name, (name.includes(".ffn.") ? ffn : heads).weights.columnNorm.length),
    );
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

/** Checksums of the matrices of a layer, as its record tells them. */
async function checksums(layer: number, statistics: LayerStatistics): Promise<string> {
  const sums: string[] = [];
  for (const matrix of layerMatrices(layer, statistics).values()) {
    if (isView(matrix)) sums.push(await checksumInFile(matrix));
  }
  return sums.join(" ");
}
