/**
 * A decoder file as users run it: the whole graph in ONNX Runtime, with its own key/value cache.
 * @module
 */
import { EngineError } from "../errors.ts";
import { type Feed, floats, integers, openSession, type Session } from "./runtime.ts";

/** Keys and values of the tokens so far, as the graph gives and takes them. */
export interface DecoderCache {
  /** Texts. */
  readonly batch: number;
  /** Tokens per text so far. */
  readonly length: number;
  /** Feeds by the names of the graph's inputs. */
  readonly feeds: Readonly<Record<string, Feed>>;
}

/** What a run gives. */
export interface DecoderOutput {
  /** float32 `[batch, length, vocabulary]` */
  readonly logits: Float32Array;
  /** The cache after these tokens. */
  readonly cache: DecoderCache;
}

/** A decoder file that is open. */
export interface Decoder {
  /** Numbers that one token's logits have. */
  readonly vocabularySize: number;
  /** Key/value heads of each layer, as the graph has them. */
  readonly keyValueHeads: readonly number[];
  /**
   * Runs the next tokens of each text.
   *
   * @param tokens Token numbers, `[batch, length]`
   * @param batch Texts
   * @param cache What the run before gave; none at the start of the texts
   * @param logits Where the logits go, `[batch, length, vocabulary]`; a new array if absent
   */
  run(
    tokens: Int32Array,
    batch: number,
    cache?: DecoderCache,
    logits?: Float32Array,
  ): Promise<DecoderOutput>;
  /** Frees what it holds. */
  close(): Promise<void>;
}

/** Options of {@linkcode openDecoder}. */
export interface DecoderOptions {
  /** Tokens in the vocabulary, which the graph's inputs do not tell. */
  readonly vocabularySize: number;
  /** Threads inside an operation; the machine's cores if absent. */
  readonly threads?: number;
}

/**
 * Opens a decoder file: any `.onnx` with the names of transformers.js.
 *
 * @param path The file; weights beside it are found by their names
 * @param options Vocabulary; threads
 * @returns The decoder; close it after use
 * @throws {EngineError} if ONNX Runtime is missing or refuses the file
 */
export async function openDecoder(path: string, options: DecoderOptions): Promise<Decoder> {
  const { vocabularySize, threads = navigator.hardwareConcurrency } = options;
  const session = await openSession(path, `'${path}'`, { threads, goal: "speed" });
  const slots = cacheSlots(session);
  if (slots.length === 0) {
    await session.close();
    throw new EngineError(`Cannot run '${path}': it has no inputs past_key_values.N.key`);
  }
  return {
    vocabularySize,
    keyValueHeads: slots.filter(({ name }) => name.endsWith(".key")).map(({ heads }) => heads),
    run: async (
      tokens,
      batch,
      cache,
      logits = new Float32Array(tokens.length * vocabularySize),
    ) => {
      const length = tokens.length / batch;
      const past = cache?.length ?? 0;
      const presents = emptyCaches(slots, batch, past + length);
      await session.run({
        ...(cache?.feeds ?? emptyCaches(slots, batch, 0)),
        input_ids: integers(tokens, [batch, length]),
        attention_mask: integers(new Int32Array(batch * (past + length)).fill(1), [
          batch,
          past + length,
        ]),
        position_ids: integers(positions(batch, past, length), [batch, length]),
      }, {
        logits: floats(logits, [batch, length, vocabularySize]),
        ...Object.fromEntries(
          slots.map(({ name }) => [name.replace("past_key_values", "present"), presents[name]]),
        ),
      });
      return { logits, cache: { batch, length: past + length, feeds: presents } };
    },
    close: async () => await session.close(),
  };
}

interface CacheSlot {
  readonly name: string;
  readonly heads: number;
  readonly headSize: number;
}

function cacheSlots({ inputs }: Session): readonly CacheSlot[] {
  return inputs.filter(({ name }) => name.startsWith("past_key_values."))
    .map(({ name, shape }) => ({ name, heads: Number(shape[1]), headSize: Number(shape[3]) }));
}

function emptyCaches(
  slots: readonly CacheSlot[],
  batch: number,
  length: number,
): Readonly<Record<string, Feed>> {
  return Object.fromEntries(slots.map(({ name, heads, headSize }) => [
    name,
    floats(new Float32Array(batch * heads * length * headSize), [batch, heads, length, headSize]),
  ]));
}

function positions(batch: number, past: number, length: number): Int32Array {
  return Int32Array.from({ length: batch * length }, (_, index) => past + index % length);
}
