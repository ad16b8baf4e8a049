/**
 * How much memory a job takes, from sizes and options alone, and the limits under which it keeps a promise. Pure.
 *
 * Every part of the work holds one block, the activations of one batch and, where matrices are summed, those of one
 * layer; nothing here but what is kept of all layers (a few numbers a channel) grows with the number of layers. What
 * is counted is resident memory: mapped pages of weight files are part of it.
 * @module
 */
import { type MemoryLimits, ordinaryLimits } from "../../engine/memory.ts";
import { OptionError } from "../../errors.ts";
import { LARGEST_COPY } from "../../linear/triangle.ts";
import type { Architecture, LayerShape } from "../../model/types.ts";
import { blockParameters } from "../../model/units.ts";
import { type GramTile, gramTiles } from "../../onnx/sums.ts";
import type { Metric, Refit } from "../../plan/types.ts";

/** What a job does, as far as memory goes. */
export interface MemoryTask {
  /** The model. */
  readonly architecture: Architecture;
  /** Bytes of one stored number. */
  readonly bytesPerNumber: number;
  /** Tokens in a window. */
  readonly seqLen: number;
  /** Statistics that are taken; none if absent. */
  readonly calibration?: {
    /** Domains, `self` among them. */
    readonly domains: number;
    /** Whether `self` is sampled. */
    readonly self: boolean;
    /** Whether Gram matrices are summed. */
    readonly gram: boolean;
    /** The metric: `obs` inverts Gram matrices. */
    readonly metric: Metric;
    /** Whether damage is learned, with refits of single layers. */
    readonly learn: boolean;
  };
  /** How a plan is carried out; not at all if absent. */
  readonly apply?: {
    /** The refit. */
    readonly refit: Refit;
    /** Whether it goes block by block. */
    readonly sequential: boolean;
    /** The largest share of a layer's channels that can stay. */
    readonly largestShare: number;
  };
  /** Whether cuts are tried in memory before one is chosen. */
  readonly tries?: boolean;
  /** Whether perplexity is measured. */
  readonly evaluates: boolean;
  /** Whether files are written in which a whole matrix is turned, as ONNX in int8. */
  readonly turnsMatrices?: boolean;
}

/** What one part of the work takes. */
export interface MemoryNeed {
  /** The part, as a person would say it after "for". */
  readonly what: string;
  /** Bytes. */
  readonly bytes: number;
}

const MEBIBYTE = 1024 * 1024;

/** The runtime, ONNX Runtime's library, the program, texts, and arrays that the garbage collector has not seen yet. */
export const fixedBytes = 384 * MEBIBYTE;

/** A tokenizer's tables, for each token of the vocabulary. */
const bytesPerToken = 1024;

/** Rows that go through the output head together. */
const headRows = 256;

/** Tokens of a batch that are tried, most first. */
const batchSizes = [4096, 2048, 1024, 512, 256, 128, 64, 32, 16];

/** The least that sampled texts need is a cache for one; this many at most are sampled together. */
const textsAtMost = 64;

/**
 * What every part of a job takes under limits, without the residual streams between blocks.
 *
 * @param task What the job does
 * @param limits Batches, and what is kept in memory
 * @returns The parts; the largest is what the job needs beside what is always there
 */
export function memoryNeeds(task: MemoryTask, limits: MemoryLimits): readonly MemoryNeed[] {
  const widest = widestLayer(task.architecture);
  const { calibration, apply } = task;
  const needs: MemoryNeed[] = [{
    what: `a block and ${batchTokens(task, limits)} tokens`,
    bytes: blockBytes(task, limits, widest),
  }];
  if (calibration !== undefined || task.evaluates || apply?.sequential === true) {
    needs.push({ what: "the output head", bytes: headBytes(task, limits) });
    needs.push({ what: "the embedding", bytes: embeddingBytes(task, limits) });
  }
  if (calibration?.self === true) {
    needs.push({ what: "sampling from the model", bytes: samplingNeed(task, limits, widest) });
  }
  if (calibration?.gram === true) {
    const bytes = gramBytes(widest, task) + placesBytes(task, limits, widest) +
      blockBytes(task, limits, widest);
    needs.push({ what: `Gram matrices of ${widest.ffnWidth} channels`, bytes });
    if (calibration.metric === "obs") {
      const bytes = obsBytes(widest, task) + placesBytes(task, limits, widest) +
        sessionBytes(task, limits, widest);
      needs.push({ what: `'obs' of ${widest.ffnWidth} channels`, bytes });
    }
  }
  if (apply !== undefined) needs.push({ what: "the cut", bytes: sliceBytes(widest, task) });
  if (task.tries === true) {
    const { hiddenSize } = task.architecture;
    const bytes = 6 * blockParameters(task.architecture, widest) + 4 * hiddenSize * widest.ffnWidth;
    needs.push({ what: "trials of a cut", bytes: bytes + blockBytes(task, limits, widest) });
  }
  const byLayer = calibration?.learn === true ? calibration.gram : apply?.sequential === false;
  if (byLayer && (apply === undefined || apply.refit === "lsq")) {
    const bytes = layerRefitBytes(widest, task) + 4 * blockParameters(task.architecture, widest);
    needs.push({ what: `the refit of ${widest.ffnWidth} channels`, bytes });
  }
  if (apply?.sequential === true) {
    const bytes = sequentialBytes(task, limits, widest, apply.largestShare);
    needs.push({ what: `the refit of ${widest.ffnWidth} channels`, bytes });
  }
  if (task.turnsMatrices === true) {
    const { vocabularySize, hiddenSize } = task.architecture;
    needs.push({
      what: "ONNX in int8",
      bytes: 2 * hiddenSize * Math.max(vocabularySize, widest.ffnWidth),
    });
  }
  return needs;
}

/**
 * What a job holds from its start to its end.
 *
 * @param task What the job does
 * @returns Bytes
 */
export function heldBytes({ architecture, calibration }: MemoryTask): number {
  const domains = calibration?.domains ?? 8;
  const channels = architecture.layers.reduce(
    (sum, { ffnWidth, queryHeads }) => sum + ffnWidth + queryHeads * architecture.headSize,
    0,
  );
  // Sums of each domain, norms, orders, errors along them and scores: all in double precision.
  return fixedBytes + bytesPerToken * architecture.vocabularySize + channels * (16 * domains + 100);
}

/**
 * Limits under which a job stays below a number of bytes: the largest batches that fit, and what is left for residual
 * streams.
 *
 * @param task What the job does
 * @param bytes The promise
 * @returns The limits
 * @throws {OptionError} if the job does not fit; the message says what it takes and what would fit
 */
export function promisedLimits(task: MemoryTask, bytes: number): MemoryLimits {
  const limits = fittingLimits(task, bytes);
  if (limits !== undefined) return limits;
  const needed = leastBytes(task);
  const largest = largestNeed(task, smallestLimits(task, needed)).what;
  const lower = thrifty(task).find(({ task }) => fittingLimits(task, bytes) !== undefined);
  const advice = lower === undefined ? "" : `, or ${lower.words}`;
  throw new OptionError(
    `Cannot keep to ${inUnits(bytes)} of memory: ${
      inUnits(needed)
    } are needed for ${largest}; give --memory ${inUnits(needed).replace(" ", "")}${advice}`,
  );
}

/**
 * The least that a job can be promised.
 *
 * @param task What the job does
 * @returns Bytes, in whole tens of megabytes
 */
export function leastBytes(task: MemoryTask): number {
  // Limits are shares of the promise, so that the least promise is sought from below.
  for (let bytes = 100e6;; bytes = Math.ceil(bytes * 1.02 / 10e6) * 10e6) {
    if (fittingLimits(task, bytes) !== undefined) return bytes;
  }
}

interface ThriftyTask {
  readonly words: string;
  readonly task: MemoryTask;
}

/** The same job with less to do, in the order in which it costs least quality. */
function thrifty(task: MemoryTask): readonly ThriftyTask[] {
  const seqLen = Math.min(task.seqLen, 512);
  const shorter = (task: MemoryTask): MemoryTask => ({ ...task, seqLen });
  const { calibration, apply } = task;
  const choices: ThriftyTask[] = [];
  if (seqLen < task.seqLen) choices.push({ words: `--seq-len ${seqLen}`, task: shorter(task) });
  const plain: MemoryTask = {
    ...task,
    calibration: calibration && { ...calibration, metric: "wifv", gram: false, learn: false },
    apply: apply && { ...apply, refit: "none", sequential: false },
  };
  if (calibration?.metric === "obs" && apply?.sequential === true && !calibration.learn) {
    const wifv = { ...task, calibration: { ...calibration, metric: "wifv" as const } };
    choices.push({ words: "--metric wifv", task: wifv });
  }
  if (calibration?.gram === true) {
    choices.push({ words: "--metric wifv --refit none", task: plain });
    choices.push({
      words: `--metric wifv --refit none --seq-len ${seqLen}`,
      task: shorter(plain),
    });
  } else if (apply !== undefined && apply.refit === "lsq") {
    choices.push({ words: "--refit none", task: plain });
  }
  return choices;
}

function fittingLimits(task: MemoryTask, bytes: number): MemoryLimits | undefined {
  const free = bytes - heldBytes(task);
  if (free <= 0) return undefined;
  for (const tokens of batchSizes) {
    if (tokens < task.seqLen && tokens !== batchSizes.find((size) => size <= task.seqLen)) break;
    const limits = limitsWith(task, bytes, tokens);
    const left = free - largestNeed(task, limits).bytes;
    // Whatever does not fit goes to a file, batch by batch.
    if (left >= 0) return { ...limits, streamBytes: Math.floor(left) };
  }
  return undefined;
}

function smallestLimits(task: MemoryTask, bytes: number): MemoryLimits {
  return limitsWith(task, bytes, batchSizes.find((size) => size <= task.seqLen) ?? task.seqLen);
}

function limitsWith(task: MemoryTask, bytes: number, tokens: number): MemoryLimits {
  const { vocabularySize, hiddenSize } = task.architecture;
  const share = (part: number) => Math.floor(bytes / part);
  const whole = 4 * vocabularySize * hiddenSize;
  const block = blockParameters(task.architecture, widestLayer(task.architecture));
  return {
    streamBytes: 0,
    samplingBytes: share(6),
    gramBytes: 0,
    cacheBytes: share(4),
    batchTokens: tokens,
    scoreBytes: Math.min(ordinaryLimits.scoreBytes, share(12)),
    // Converted weights lie several times in memory, and what sessions free is not always given back.
    convertedBytes: 24 * block < share(5) ? ordinaryLimits.convertedBytes : 0,
    tableBytes: Math.min(ordinaryLimits.tableBytes, share(12)),
    headBytes: 3 * whole + 12 * headRows * vocabularySize < share(6)
      ? Infinity
      : Math.max(8 * MEBIBYTE, share(24)),
  };
}

function largestNeed(task: MemoryTask, limits: MemoryLimits): MemoryNeed {
  return memoryNeeds(task, limits).reduce((a, b) => b.bytes > a.bytes ? b : a);
}

function batchTokens({ seqLen }: MemoryTask, limits: MemoryLimits): number {
  return Math.max(seqLen, limits.batchTokens);
}

function widestLayer({ layers }: Architecture): LayerShape {
  return layers.reduce((a, b) => b.ffnWidth + b.queryHeads > a.ffnWidth + a.queryHeads ? b : a);
}

/** A session with its weights, and what a batch makes on its way through. */
function blockBytes(task: MemoryTask, limits: MemoryLimits, shape: LayerShape): number {
  const { hiddenSize, headSize } = task.architecture;
  const tokens = batchTokens(task, limits);
  const texts = Math.max(1, Math.floor(tokens / task.seqLen));
  const scores = 4 * shape.queryHeads * task.seqLen ** 2;
  const wide = 3 * shape.ffnWidth + 6 * hiddenSize +
    headSize * (shape.queryHeads + 2 * shape.keyValueHeads);
  return sessionBytes(task, limits, shape) + 4 * tokens * wide +
    Math.max(scores, Math.min(scores * texts, limits.scoreBytes));
}

function sessionBytes(
  { architecture, bytesPerNumber }: MemoryTask,
  limits: MemoryLimits,
  shape: LayerShape,
): number {
  const parameters = blockParameters(architecture, shape);
  if (4 * parameters <= limits.convertedBytes) return 24 * parameters;
  const { hiddenSize, headSize } = architecture;
  const largest = hiddenSize * Math.max(shape.ffnWidth, headSize * shape.queryHeads);
  return bytesPerNumber * parameters + 6 * largest;
}

function headBytes({ architecture, bytesPerNumber }: MemoryTask, limits: MemoryLimits): number {
  const { vocabularySize, hiddenSize } = architecture;
  const rows = Math.min(vocabularySize, Math.ceil(limits.headBytes / (4 * hiddenSize)));
  return rows * hiddenSize * (bytesPerNumber + 4) + 12 * headRows * rows;
}

function embeddingBytes(task: MemoryTask, limits: MemoryLimits): number {
  const { vocabularySize, hiddenSize } = task.architecture;
  const table = 4 * vocabularySize * hiddenSize;
  const rows = 8 * batchTokens(task, limits) * hiddenSize;
  return rows + (table <= limits.tableBytes ? table : rows);
}

function samplingNeed(task: MemoryTask, limits: MemoryLimits, shape: LayerShape): number {
  const { architecture, seqLen } = task;
  const capacity = Math.max(64, 2 ** Math.ceil(Math.log2(seqLen)));
  const perText = capacity * architecture.layers.reduce(
    (sum, { keyValueHeads }) => sum + 8 * keyValueHeads * architecture.headSize,
    0,
  );
  const texts = Math.max(1, Math.min(textsAtMost, Math.floor(limits.cacheBytes / perText)));
  const logits = 8 * texts * architecture.vocabularySize;
  const head = headBytes(task, limits);
  return Math.ceil(1.1 * texts * perText) + logits +
    Math.max(sessionBytes(task, limits, shape), limits.samplingBytes + head) +
    embeddingBytes({ ...task, seqLen: texts }, { ...limits, batchTokens: texts });
}

function squares({ ffnWidth, queryHeads }: LayerShape, { architecture }: MemoryTask): number {
  return ffnWidth ** 2 + (queryHeads * architecture.headSize) ** 2;
}

/** What a run gives in float32; of a unit, of a domain and of the windows kept back one half in double precision. */
function gramBytes(shape: LayerShape, task: MemoryTask): number {
  return 16 * squares(shape, task);
}

/** Where the engine writes what is then added: tiles, and Gram matrices in one piece where texts are run in parts. */
function placesBytes(task: MemoryTask, limits: MemoryLimits, shape: LayerShape): number {
  const scores = 4 * shape.queryHeads * task.seqLen ** 2;
  const texts = Math.floor(batchTokens(task, limits) / task.seqLen);
  const inParts = texts > Math.max(1, Math.floor(limits.scoreBytes / scores));
  const places = (channels: number) => {
    const tiles = gramTiles(channels);
    if (tiles.length === 1) return inParts ? 4 * channels ** 2 : 0;
    const area = ({ rows, columns }: GramTile) => (rows[1] - rows[0]) * (columns[1] - columns[0]);
    return tiles.reduce((sum, tile) => sum + 4 * area(tile), 0);
  };
  return places(shape.ffnWidth) + places(shape.queryHeads * task.architecture.headSize);
}

/** Pieces of two operands that are copied for a product. */
function copiesBytes(n: number): number {
  return Math.min(4 * n ** 2, 2 * 8 * LARGEST_COPY);
}

/**
 * While they are made, the Gram matrix, WᵀW and Wᵀ; then H⁻¹, WᵀW, half a matrix of what two channels cost together, a
 * stripe of a product, and thin factors. Beside them W in float32, and what waits to be saved.
 */
function obsBytes(shape: LayerShape, task: MemoryTask): number {
  const { ffnWidth: n } = shape;
  const { hiddenSize: m } = task.architecture;
  return Math.max(17 * n ** 2 + 8 * n * m, 21 * n ** 2 + copiesBytes(n) + 12_288 * n) +
    4 * n * m + 4 * squares(shape, task);
}

/**
 * Gram matrices to fit and, in float32, to judge, with four versions of W; then what is between channels that stay and
 * that go, with pieces of products and fewer versions; after the fit the judge alone.
 */
function layerRefitBytes({ ffnWidth: n }: LayerShape, { architecture }: MemoryTask): number {
  const { hiddenSize: m } = architecture;
  return Math.max(
    13 * n ** 2 + 28 * n * m,
    14 * n ** 2 + 20 * n * m + copiesBytes(n),
    5 * n ** 2 + 36 * n * m,
  );
}

/**
 * Beside the pruned block's tensors in float32: the dense block; or sums of a batch and of a domain, and at its end those
 * and a sum of all, halves in double precision; or a whole matrix, three versions of W and pieces of products.
 */
function sequentialBytes(
  task: MemoryTask,
  limits: MemoryLimits,
  shape: LayerShape,
  largestShare: number,
): number {
  const { hiddenSize: m, headSize } = task.architecture;
  const widest = Math.max(shape.ffnWidth, headSize * shape.queryHeads);
  const n = Math.max(m, Math.ceil(largestShare * widest));
  const tensors = 4 * largestShare * blockParameters(task.architecture, shape);
  const dense = blockBytes(task, limits, shape);
  // Tensors in memory are not mapped too.
  const running = dense - Math.min(tensors, sessionBytes(task, limits, shape));
  const sums = Math.max(8 * n ** 2 + 16 * m * n, 12 * (n ** 2 + m * n));
  const fit = 8 * n ** 2 + 28 * m * n + 2 * copiesBytes(n);
  return tensors + Math.max(dense, running + sums, fit);
}

function sliceBytes(shape: LayerShape, { architecture, bytesPerNumber }: MemoryTask): number {
  const widest = Math.max(shape.ffnWidth, architecture.headSize * shape.queryHeads);
  return 3 * Math.max(4, bytesPerNumber) * widest * architecture.hiddenSize;
}

function inUnits(bytes: number): string {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(Math.ceil(bytes / 1e7) / 100)} GB`;
}
