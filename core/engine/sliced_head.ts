/**
 * An output head whose vocabulary goes through memory slice by slice: with large vocabularies it is the largest matrix
 * of a model.
 * @module
 */
import { bytesPerNumber } from "../model/number_formats.ts";
import type { Model, TensorView } from "../model/types.ts";
import { checkTargets } from "./checks.ts";
import { type Feed, floats, type Session } from "./runtime.ts";
import { numbersOf } from "./streams.ts";
import type { Head, Stream } from "./types.ts";

/** What a sliced head needs to know. */
export interface SlicedHeadParts {
  /** The model. */
  readonly model: Model;
  /** The whole output head, `[vocabulary, hidden]`, in its file. */
  readonly outputHead: TensorView;
  /** Bytes of a slice in float32 at most. */
  readonly sliceBytes: number;
  /** Rows that go through a slice together. */
  readonly rowsTogether: number;
  /** What is fed at every run besides the stream. */
  readonly fed: Readonly<Record<string, Feed>>;
  /** Prepares final norm and one slice of the head. */
  readonly openSlice: (slice: TensorView) => Promise<Session>;
}

/** Logits of some rows over one slice. */
interface SliceLogits {
  /** `[rows, width]` */
  readonly logits: Float32Array;
  /** The first of the rows. */
  readonly row: number;
  /** The first token of the slice. */
  readonly first: number;
  /** Tokens of the slice. */
  readonly width: number;
}

/**
 * Makes a head that opens one slice at a time. Losses are log Σ exp(logits) − logits[target], with the sum in double
 * precision and carried from slice to slice with the highest logit so far.
 *
 * @param parts The head and how it is cut
 * @returns The head
 */
export function slicedHead(parts: SlicedHeadParts): Head {
  const { vocabularySize } = parts.model.architecture;
  return {
    negativeLogLikelihoods: async (hidden, targets) => {
      const numbers = await numbersOf(hidden);
      checkTargets(numbers.length / parts.model.architecture.hiddenSize, targets, vocabularySize);
      const losses = new RunningLosses(targets);
      await forEachSlice(parts, numbers, (slice) => losses.add(slice));
      return losses.result();
    },
    logits: async (hidden: Stream) => {
      const numbers = await numbersOf(hidden);
      const rows = numbers.length / parts.model.architecture.hiddenSize;
      const all = new Float32Array(rows * vocabularySize);
      await forEachSlice(parts, numbers, ({ logits, row, first, width }) => {
        for (let at = 0; at < logits.length / width; at++) {
          const own = logits.subarray(at * width, (at + 1) * width);
          all.set(own, (row + at) * vocabularySize + first);
        }
      });
      return all;
    },
    close: () => Promise.resolve(),
  };
}

async function forEachSlice(
  { model, outputHead, sliceBytes, rowsTogether, fed, openSlice }: SlicedHeadParts,
  hidden: Float32Array,
  use: (slice: SliceLogits) => void,
): Promise<void> {
  const { hiddenSize, vocabularySize } = model.architecture;
  const rows = hidden.length / hiddenSize;
  const widest = Math.max(1, Math.floor(sliceBytes / (4 * hiddenSize)));
  for (let first = 0; first < vocabularySize; first += widest) {
    const width = Math.min(widest, vocabularySize - first);
    const session = await openSlice(rowsOf(outputHead, first, width));
    try {
      for (let row = 0; row < rows; row += rowsTogether) {
        const count = Math.min(rowsTogether, rows - row);
        const own = hidden.subarray(row * hiddenSize, (row + count) * hiddenSize);
        const logits = new Float32Array(count * width);
        await session.run({ hidden: floats(own, [count, hiddenSize]), ...fed }, {
          logits: floats(logits, [count, width]),
        });
        use({ logits, row, first, width });
      }
    } finally {
      await session.close();
    }
  }
}

/** Some rows of a matrix in a file, as a tensor of its own. */
function rowsOf(matrix: TensorView, first: number, count: number): TensorView {
  const rowBytes = matrix.shape[1] * bytesPerNumber(matrix.dataType);
  return {
    ...matrix,
    shape: [count, matrix.shape[1]],
    offset: matrix.offset + first * rowBytes,
    byteLength: count * rowBytes,
  };
}

/** log Σ exp over slices that come one by one. */
class RunningLosses {
  readonly #targets: Int32Array;
  readonly #highest: Float64Array;
  readonly #sums: Float64Array;
  readonly #targetLogits: Float64Array;

  constructor(targets: Int32Array) {
    this.#targets = targets;
    this.#highest = new Float64Array(targets.length).fill(-Infinity);
    this.#sums = new Float64Array(targets.length);
    this.#targetLogits = new Float64Array(targets.length);
  }

  add({ logits, row: firstRow, first, width }: SliceLogits): void {
    for (let start = 0, row = firstRow; start < logits.length; start += width, row++) {
      let highest = this.#highest[row];
      for (let at = start; at < start + width; at++) {
        if (logits[at] > highest) highest = logits[at];
      }
      let sum = this.#sums[row] * Math.exp(this.#highest[row] - highest);
      for (let at = start; at < start + width; at++) sum += Math.exp(logits[at] - highest);
      this.#sums[row] = sum;
      this.#highest[row] = highest;
      const target = this.#targets[row] - first;
      if (target >= 0 && target < width) this.#targetLogits[row] = logits[start + target];
    }
  }

  result(): Float32Array {
    return Float32Array.from(
      this.#targets,
      (_, row) => this.#highest[row] + Math.log(this.#sums[row]) - this.#targetLogits[row],
    );
  }
}
