/**
 * Writing graphs to `.onnx` files weight by weight, so that one weight is in memory at a time; weights go into files of
 * their own where the graph's would grow too large.
 * @module
 */
import { basename } from "@std/path";
import { ExportError, GpruneError } from "../errors.ts";
import { collectGarbage } from "../garbage.ts";
import { bytesPerNumber, numberCount } from "../model/number_formats.ts";
import { throwIfCancelled } from "../progress.ts";
import type { GraphBuilder, StreamedWeight } from "./graph.ts";
import {
  encodeGraphFrame,
  encodeModelFrame,
  encodeTensor,
  EXTERNAL,
  fieldNumbers,
  type ModelProto,
  type TensorProto,
} from "./proto.ts";

/** Bytes of an `.onnx` file at most: protobuf ends at 2^31, and browsers hold no longer array. */
export const largestFile = 2_000_000_000;

/** Weights smaller than this stay in the graph whatever happens. */
const SMALL = 1024;

/** Where weights begin in their own file: at whole pages, so that a runtime can map them. */
const ALIGNMENT = 4096;

/** Options of {@linkcode writeGraph}. */
export interface WriteGraphOptions {
  /** Bytes of one file at most, a single larger weight excepted. Default {@linkcode largestFile}. */
  readonly largestFile?: number;
  /** Cancels the writing. */
  readonly signal?: AbortSignal;
  /** Called after every weight, with how many there are in all. */
  readonly onWeight?: (name: string, done: number, total: number) => void;
}

/** What {@linkcode writeGraph} made. */
export interface WrittenGraph {
  /** Names of the files with weights beside the graph's: `NAME_data`, `NAME_data_1`, …; none where all fits in it. */
  readonly dataFiles: readonly string[];
}

/**
 * Writes a graph to a file.
 *
 * @param path The `.onnx` file
 * @param graph The graph
 * @param name The graph's name
 * @param options Size of files; progress, cancellation
 * @returns The files beside it
 * @throws {ExportError} if a weight's bytes do not fit its shape, or the disk refuses
 * @throws {CancelledError} if cancelled
 */
export async function writeGraph(
  path: string,
  graph: GraphBuilder,
  name: string,
  options: WriteGraphOptions = {},
): Promise<WrittenGraph> {
  const model = graph.build(name);
  const { streams } = graph;
  const places = placesOf(path, streams, options.largestFile ?? largestFile);
  let done = 0;
  const report = (weight: string) => options.onWeight?.(weight, ++done, streams.size);
  const write = async (sink: Sink, weight: string) => {
    await sink.weight(weight, streams.get(weight)!, options.signal);
    report(weight);
  };
  const dataFiles = [...new Set([...places.values()].map(({ file }) => file))];
  for (const file of dataFiles) {
    const inFile = [...places].filter(([, place]) => place.file === file);
    await withSink(path.slice(0, -basename(path).length) + file, async (sink) => {
      for (const [weight, { offset }] of inFile) {
        await sink.padTo(offset);
        await write(sink, weight);
      }
    });
  }
  // Last: what is left in the graph, such as scales, may be found when the weights before it are made.
  await withSink(path, async (sink) => await writeModel(sink, model, { streams, places, write }));
  return { dataFiles };
}

interface Place {
  readonly file: string;
  readonly offset: number;
}

/** Where weights go that do not go into the graph's own file: nowhere if all of them fit there. */
function placesOf(
  path: string,
  streams: ReadonlyMap<string, StreamedWeight>,
  largest: number,
): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  const total = [...streams.values()].reduce((sum, weight) => sum + byteLength(weight), 0);
  if (total <= largest) return places;
  let [number, end] = [0, 0];
  for (const [name, weight] of streams) {
    const bytes = byteLength(weight);
    if (bytes < SMALL) continue;
    let offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    if (end > 0 && offset + bytes > largest) [number, offset] = [number + 1, 0];
    end = offset + bytes;
    const file = `${basename(path)}_data${number === 0 ? "" : `_${number}`}`;
    places.set(name, { file, offset });
  }
  return places;
}

interface WeightPlan {
  readonly streams: ReadonlyMap<string, StreamedWeight>;
  readonly places: ReadonlyMap<string, Place>;
  readonly write: (sink: Sink, weight: string) => Promise<void>;
}

/** The lengths of all parts are known before their bytes are, and the order of fields is free. */
async function writeModel(sink: Sink, model: ModelProto, plan: WeightPlan): Promise<void> {
  const frame = encodeGraphFrame(model.graph);
  const tensors = (model.graph.initializer ?? []).map((tensor) => initializerParts(tensor, plan));
  const length = tensors.reduce((sum, { head, body }) => sum + head.length + body, frame.length);
  await sink.bytes(encodeModelFrame(model));
  await sink.bytes(lengthDelimited(fieldNumbers.graph, length));
  await sink.bytes(frame);
  for (const { head, weight } of tensors) {
    await sink.bytes(head);
    if (weight !== undefined) await plan.write(sink, weight);
  }
}

interface InitializerParts {
  /** Everything before the bytes of the weight. */
  readonly head: Uint8Array;
  /** How many bytes follow. */
  readonly body: number;
  /** The weight whose bytes follow, if any. */
  readonly weight?: string;
}

function initializerParts(tensor: TensorProto, { streams, places }: WeightPlan): InitializerParts {
  const name = tensor.name!;
  const stream = streams.get(name);
  const place = places.get(name);
  if (stream === undefined || place !== undefined) {
    const bytes = encodeTensor(place === undefined ? tensor : outside(tensor, place, stream!));
    return {
      head: joined(lengthDelimited(fieldNumbers.initializer, bytes.length), bytes),
      body: 0,
    };
  }
  const body = byteLength(stream);
  const own = joined(encodeTensor(tensor), lengthDelimited(fieldNumbers.rawData, body));
  const head = joined(lengthDelimited(fieldNumbers.initializer, own.length + body), own);
  return { head, body, weight: name };
}

function outside(tensor: TensorProto, { file, offset }: Place, weight: StreamedWeight) {
  return {
    ...tensor,
    dataLocation: EXTERNAL,
    externalData: [
      { key: "location", value: file },
      { key: "offset", value: `${offset}` },
      { key: "length", value: `${byteLength(weight)}` },
    ],
  };
}

function byteLength({ shape, dataType }: StreamedWeight): number {
  return numberCount(shape) * bytesPerNumber(dataType);
}

/** The tag of a field of protobuf's wire type 2, and the length of what follows. */
function lengthDelimited(field: number, length: number): Uint8Array {
  return Uint8Array.from([...varint(field * 8 + 2), ...varint(length)]);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [value % 128 + 128, ...varint(Math.floor(value / 128))];
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A file that knows how far it has come. */
class Sink {
  readonly #file: Deno.FsFile;
  #position = 0;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  async bytes(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) done += await this.#file.write(bytes.subarray(done));
    this.#position += bytes.length;
  }

  async padTo(offset: number): Promise<void> {
    await this.bytes(new Uint8Array(offset - this.#position));
  }

  async weight(name: string, weight: StreamedWeight, signal?: AbortSignal): Promise<void> {
    throwIfCancelled(signal);
    const end = this.#position + byteLength(weight);
    const made = await weight.bytes();
    for await (const bytes of made instanceof Uint8Array ? [made] : made) {
      throwIfCancelled(signal);
      await this.bytes(bytes);
      collectGarbage();
    }
    if (this.#position === end) return;
    throw new ExportError(
      `Cannot write weight '${name}': its shape takes ${byteLength(weight)} bytes and ${
        byteLength(weight) + this.#position - end
      } were made`,
    );
  }
}

async function withSink(path: string, write: (sink: Sink) => Promise<void>): Promise<void> {
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(path, { write: true, create: true, truncate: true });
    await write(new Sink(file));
  } catch (error) {
    if (error instanceof GpruneError) throw error;
    const full = error instanceof Error && "code" in error && error.code === "ENOSPC";
    const reason = full ? "the disk is full" : (error as Error).message;
    throw new ExportError(`Cannot write '${path}': ${reason}`, { cause: error });
  } finally {
    file?.close();
  }
}
