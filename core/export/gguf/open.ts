/**
 * Opening a GGUF file that gprune wrote, so that its own engine can run what the file holds.
 * @module
 */
import { ModelError } from "../../errors.ts";
import { familyOf } from "../../model/families.ts";
import { fingerprintOf } from "../../model/files.ts";
import { encode, numberCount } from "../../model/number_formats.ts";
import type {
  Architecture,
  DataType,
  LayerShape,
  Model,
  TensorIndex,
  TensorView,
} from "../../model/types.ts";
import { partName, storedTensors } from "../../model/stored.ts";
import {
  blockRoles,
  blockTensorShape,
  outerRoles,
  outerTensorShape,
  parameterCount,
} from "../../model/units.ts";
import { throwIfCancelled, type WorkOptions } from "../../progress.ts";
import { storedBytes } from "./format.ts";
import { fromBlocks } from "./number_blocks.ts";
import { type GgufHeader, type GgufRead, type GgufTensorPlace, readGgufHeader } from "./reader.ts";
import type { GgufArchitecture } from "./kinds.ts";
import {
  addedToNorm,
  GGUF_OUTER_NAMES,
  ggufPlaces,
  type HeadOrder,
  headOrder,
  isReordered,
  separateHeads,
} from "./tensors.ts";

/** A model whose tensors come out of a GGUF file. */
export interface GgufModel extends Model {
  /** Removes the numbers that were unpacked. The model cannot be used afterwards. */
  close(): Promise<void>;
}

/**
 * Opens a GGUF file that {@linkcode exportGguf} wrote. Its tensors are those of the file: what is quantized is unpacked
 * to float32 when it is first asked for, into a temporary file that the engine maps; what is not is mapped where it is.
 *
 * llama.cpp rounds activations too where weights are quantized, which this model does not.
 *
 * @param path The file
 * @param model The model that it was made from: its tokenizer and its config are used
 * @param options Cancellation
 * @returns The model; close it after use
 * @throws {ModelError} if the file cannot be read or was made from another model
 * @throws {CancelledError} if the signal is aborted
 *
 * @example
 * ```ts
 * import { exportGguf, openGguf } from "./mod.ts";
 * import { openModel } from "../../model/open.ts";
 * const directory = await Deno.makeTempDir();
 * const model = await openModel();
 * const { path } = await exportGguf(model, directory, { quantize: "q4_0" });
 * const quantized = await openGguf(path, model);
 * console.log(quantized.bytes / model.bytes);
 * await quantized.close();
 * await Deno.remove(directory, { recursive: true });
 * ```
 */
export async function openGguf(
  path: string,
  model: Model,
  options: WorkOptions = {},
): Promise<GgufModel> {
  throwIfCancelled(options.signal);
  const header = await readGgufHeader(path);
  const architecture = { ...model.architecture, layers: layersOf(path, header, model) };
  const realPath = await Deno.realPath(path);
  const stored = storedNumbers(header, architecture, path);
  const tensors = await UnpackedTensors.open(realPath, stored);
  const bytes = header.fileBytes;
  const weights = { tensors: rawViews(header, realPath), paths: [realPath], bytes };
  return {
    name: String(header.metadata.get("general.name") ?? model.name),
    source: path,
    folder: model.folder,
    architecture,
    config: model.config,
    tensors,
    dataType: "F32",
    parameters: parameterCount(architecture),
    bytes,
    fingerprint: await fingerprintOf(`${model.folder}/config.json`, weights, options),
    companionFiles: model.companionFiles,
    tokenizer: () => model.tokenizer(),
    close: () => tensors.close(),
  };
}

/** The sizes of the layers that the file tells of, checked against the model that it should be made from. */
function layersOf(path: string, { metadata }: GgufHeader, model: Model): readonly LayerShape[] {
  const kind = metadata.get("general.architecture");
  const { layers, hiddenSize, headSize, vocabularySize } = model.architecture;
  const expected: readonly (readonly [string, number])[] = [
    ["block_count", layers.length],
    ["embedding_length", hiddenSize],
    ["attention.key_length", headSize],
    ["vocab_size", vocabularySize],
  ];
  for (const [key, wanted] of expected) {
    const value = metadata.get(`${kind}.${key}`);
    if (value === wanted) continue;
    throw new ModelError(
      `Cannot open '${path}' with '${model.source}': its ${key} is ${
        value ?? "missing"
      }, and the model's is ${wanted}; give the model that it was made from`,
    );
  }
  const sizes = (key: string): readonly number[] => {
    const value: GgufRead | undefined = metadata.get(`${kind}.${key}`);
    const list = Array.isArray(value) ? value : layers.map(() => value);
    if (list.length === layers.length && list.every((size) => typeof size === "number")) {
      return list;
    }
    throw new ModelError(`Cannot open '${path}': '${kind}.${key}' is no size for every layer`);
  };
  const widths = sizes("feed_forward_length");
  const queryHeads = sizes("attention.head_count");
  const keyValueHeads = sizes("attention.head_count_kv");
  return layers.map((shape, layer) => ({
    ...shape,
    ffnWidth: widths[layer],
    queryHeads: queryHeads[layer],
    keyValueHeads: keyValueHeads[layer],
  }));
}

/** A tensor of the file, or some of its rows, under its name in the Hugging Face layout. */
interface StoredNumbers {
  readonly place: GgufTensorPlace;
  /** How heads are ordered where the rows go in llama.cpp's order. */
  readonly heads?: HeadOrder;
  /** What was added to every number. */
  readonly added: number;
}

function storedNumbers(
  header: GgufHeader,
  architecture: Architecture,
  path: string,
): ReadonlyMap<string, StoredNumbers> {
  const family = familyOf(architecture.family);
  const kind = header.metadata.get("general.architecture") as GgufArchitecture;
  const result = new Map<string, StoredNumbers>();
  const find = (ggufName: string, shape: readonly number[]) => {
    const place = header.tensors.get(ggufName);
    if (place === undefined) {
      throw new ModelError(`Cannot open '${path}': tensor '${ggufName}' is missing`);
    }
    if (place.shape.join() !== shape.join()) {
      throw new ModelError(
        `Cannot open '${path}': tensor '${ggufName}' has shape [${place.shape.join(", ")}], and [${
          shape.join(", ")
        }] is wanted`,
      );
    }
    return place;
  };
  for (const role of outerRoles(architecture)) {
    const place = find(GGUF_OUTER_NAMES[role], outerTensorShape(architecture, role));
    result.set(family.outerTensors[role]!, { place, added: addedToNorm(architecture, role) });
  }
  for (const [layer, shape] of architecture.layers.entries()) {
    const names = new Map(
      storedTensors(architecture, shape, layer).flatMap((stored) =>
        stored.roles.map((role) => [role, partName(stored, role)] as const)
      ),
    );
    for (const { name, roles } of ggufPlaces(kind, blockRoles(architecture), layer)) {
      const shapes = roles.map((role) => blockTensorShape(architecture, shape, role));
      const rows = shapes.reduce((sum, [own]) => sum + own, 0);
      const place = find(name, [rows, ...shapes[0].slice(1)]);
      let before = 0;
      for (const [index, role] of roles.entries()) {
        result.set(names.get(role)!, {
          place: someRows(place, before, shapes[index]),
          heads: isReordered(kind, role) ? headOrder(architecture) : undefined,
          added: addedToNorm(architecture, role),
        });
        before += shapes[index][0];
      }
    }
  }
  return result;
}

/** Rows of a tensor as a tensor: rows are stored whole, one after the other. */
function someRows(
  place: GgufTensorPlace,
  first: number,
  shape: readonly number[],
): GgufTensorPlace {
  const columns = numberCount(shape.slice(1));
  return {
    ...place,
    shape,
    offset: place.offset + storedBytes(place.type, first * columns),
    byteLength: storedBytes(place.type, numberCount(shape)),
  };
}

/** The tensors as bytes, for the fingerprint. */
function rawViews({ tensors }: GgufHeader, path: string): TensorIndex {
  return new Map(
    [...tensors].map(([name, { offset, byteLength }]) => [
      name,
      { name, path, offset, byteLength, shape: [byteLength], dataType: "U8" },
    ]),
  );
}

/** Numbers that are unpacked at a time. */
const PIECE = 4 << 20;

/**
 * Views of tensors, some of which are unpacked into a temporary file when they are first looked up. The file has its
 * full length from the start and takes room on the disk only as it is filled.
 */
class UnpackedTensors extends Map<string, TensorView> {
  readonly #path: string;
  readonly #temporary: string;
  readonly #waiting: Map<string, StoredNumbers>;

  private constructor(path: string, temporary: string, waiting: Map<string, StoredNumbers>) {
    super();
    this.#path = path;
    this.#temporary = temporary;
    this.#waiting = waiting;
  }

  static async open(
    path: string,
    stored: ReadonlyMap<string, StoredNumbers>,
  ): Promise<UnpackedTensors> {
    const temporary = await Deno.makeTempFile({ prefix: "gprune-", suffix: ".f32" });
    const real = await Deno.realPath(temporary);
    const waiting = new Map<string, StoredNumbers>();
    const result = new UnpackedTensors(path, real, waiting);
    let offset = 0;
    for (const [name, each] of stored) {
      const { place: { shape, type, ...place }, heads, added } = each;
      const plain = heads === undefined && added === 0;
      const mapped = plain && (type === "F32" || type === "F16");
      const dataType: DataType = mapped ? type : "F32";
      if (mapped) {
        result.set(name, { ...place, name, shape, dataType, path });
        continue;
      }
      const byteLength = 4 * numberCount(shape);
      result.set(name, { name, shape, dataType, path: real, offset, byteLength });
      waiting.set(name, each);
      offset += byteLength;
    }
    await Deno.truncate(real, offset);
    return result;
  }

  override get(name: string): TensorView | undefined {
    const view = super.get(name);
    const stored = this.#waiting.get(name);
    if (view !== undefined && stored !== undefined) {
      this.#unpack(stored, view.offset);
      this.#waiting.delete(name);
    }
    return view;
  }

  override *values(): MapIterator<TensorView> {
    for (const name of this.keys()) yield this.get(name)!;
  }

  override *entries(): MapIterator<[string, TensorView]> {
    for (const name of this.keys()) yield [name, this.get(name)!];
  }

  override [Symbol.iterator](): MapIterator<[string, TensorView]> {
    return this.entries();
  }

  override forEach(use: (view: TensorView, name: string, map: this) => void): void {
    for (const [name, view] of this) use(view, name, this);
  }

  async close(): Promise<void> {
    await Deno.remove(this.#temporary).catch(() => undefined);
  }

  #unpack({ place, heads, added }: StoredNumbers, offset: number): void {
    const columns = place.shape.length === 1 ? 1 : place.shape[1];
    const rows = place.shape[0];
    const together = heads?.headSize ?? 1;
    const rowsAtOnce = Math.max(1, Math.floor(PIECE / columns / together)) * together;
    using source = Deno.openSync(this.#path);
    using target = Deno.openSync(this.#temporary, { write: true });
    source.seekSync(place.offset, Deno.SeekMode.Start);
    target.seekSync(offset, Deno.SeekMode.Start);
    for (let row = 0; row < rows; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rows - row) * columns;
      const bytes = readAll(source, storedBytes(place.type, count), this.#path);
      const numbers = fromBlocks(bytes, place.type);
      const ordered = heads === undefined ? numbers : separateHeads(numbers, heads, columns);
      const plain = added === 0 ? ordered : ordered.map((value) => value - added);
      writeAll(target, encode(plain, "F32"));
    }
  }
}

function readAll(file: Deno.FsFile, length: number, path: string): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) throw new ModelError(`Cannot read '${path}': it is shorter than it was`);
    done += count;
  }
  return bytes;
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}
