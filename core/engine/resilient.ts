/**
 * An engine that goes on with another one when its graphics card fails.
 * @module
 */
import { GraphicsError, StateLostError } from "../errors.ts";
import type { MemoryBudget } from "./memory.ts";
import type {
  Block,
  CachedBlock,
  Embedding,
  Engine,
  FittingBlock,
  Head,
  KeyValueCache,
  Stream,
  StreamFit,
} from "./types.ts";

/** Options of {@linkcode resilientEngine}. */
export interface ResilientOptions {
  /** Called once, when the card fails, with one sentence for people. */
  readonly onNote?: (message: string) => void;
  /** How much memory the work may take. Default: what the first engine carries. */
  readonly memory?: MemoryBudget;
}

/**
 * Runs on an engine until its card fails, and on another one from then on. What was in hand when it failed is done
 * again. What the card alone held (streams, sums and caches that were kept there) is lost: whoever kept it there gets a
 * {@linkcode StateLostError}, once, and makes it again.
 *
 * @param first The engine on the card
 * @param openSecond Opens the other one, when it is needed
 * @param options Who is told
 * @returns The engine; close it after use
 */
export function resilientEngine(
  first: Engine,
  openSecond: () => Promise<Engine>,
  options: ResilientOptions = {},
): Engine {
  const state = new EngineState(first, openSecond, options);
  return {
    get name() {
      return state.current.name;
    },
    get device() {
      return state.current.device;
    },
    memory: options.memory ?? first.memory,
    openBlock: async (specification): Promise<Block> => {
      const held = await Held.open(state, (engine) => engine.openBlock(specification));
      const block: Block = {
        run: (...inputs) => held.use((block) => block.run(...inputs)),
        close: () => held.close(),
      };
      if (held.value.keep === undefined) return block;
      return {
        ...block,
        keep: (...inputs) => held.useKept((block) => block.keep!(...inputs)),
        ...(held.value.keepMiddle && {
          keepMiddle: (...inputs) => held.useKept((block) => block.keepMiddle!(...inputs)),
        }),
        takeSums: () => held.useKept((block) => block.takeSums!()),
      };
    },
    openCachedBlock: async (specification): Promise<CachedBlock> => {
      const held = await Held.open(state, (engine) => engine.openCachedBlock(specification));
      const run = continuation(state, held);
      const block: CachedBlock = { run, close: () => held.close() };
      if (held.value.keep === undefined) return block;
      return {
        ...block,
        keep: async (hidden, batch, length, cache) => {
          // Texts that start again after the card has failed find the same block on the other engine.
          if (state.hasFailed && hidden instanceof Float32Array) {
            return await run(hidden, batch, length, cache);
          }
          return await held.useKept((block) => block.keep!(hidden, batch, length, cache));
        },
      };
    },
    openFittingBlock: async (specification, structure): Promise<FittingBlock> => {
      const open = (engine: Engine) => engine.openFittingBlock(specification, structure);
      const held = await Held.open(state, open);
      const block: FittingBlock = {
        run: (...inputs) => held.use((block) => block.run(...inputs)),
        close: () => held.close(),
      };
      if (held.value.add === undefined) return block;
      return {
        ...block,
        add: (...inputs) => held.useKept((block) => block.add!(...inputs)),
        takeSums: () => held.useKept((block) => block.takeSums!()),
      };
    },
    openStreamFit: async (architecture, norm, bias): Promise<StreamFit> => {
      const open = (engine: Engine) => engine.openStreamFit(architecture, norm, bias);
      const held = await Held.open(state, open);
      const fit: StreamFit = {
        run: (...inputs) => held.use((fit) => fit.run(...inputs)),
        close: () => held.close(),
      };
      if (held.value.add === undefined) return fit;
      return {
        ...fit,
        add: (...inputs) => held.useKept((fit) => fit.add!(...inputs)),
        takeSums: () => held.useKept((fit) => fit.takeSums!()),
      };
    },
    ...(first.multiply && {
      multiply: (...inputs) => state.attempt(async (engine) => await engine.multiply?.(...inputs)),
    }),
    openEmbedding: async (model): Promise<Embedding> => {
      const held = await Held.open(state, (engine) => engine.openEmbedding(model));
      return {
        lookup: (...inputs) => held.use((embedding) => embedding.lookup(...inputs)),
        close: () => held.close(),
      };
    },
    announceBlock: (block) => state.current.announceBlock?.(block),
    openHead: async (model, finalNorm): Promise<Head> => {
      const held = await Held.open(state, (engine) => engine.openHead(model, finalNorm));
      return {
        negativeLogLikelihoods: (...inputs) =>
          ofStream(held, inputs[0], (head) => head.negativeLogLikelihoods(...inputs)),
        logits: (hidden) => ofStream(held, hidden, (head) => head.logits(hidden)),
        close: () => held.close(),
      };
    },
    close: () => state.close(),
  };
}

/** Streams that are on the card go with it. */
async function ofStream<R>(
  held: Held<Head>,
  stream: Stream,
  work: (head: Head) => Promise<R>,
): Promise<R> {
  return stream instanceof Float32Array ? await held.use(work) : await held.useKept(work);
}

/** A cache cannot move: texts that had begun on the card are given up. */
function continuation(state: EngineState, held: Held<CachedBlock>): CachedBlock["run"] {
  const makers = new WeakMap<KeyValueCache, Engine>();
  return async (hidden, batch, length, cache) => {
    const output = await held.use((block) => {
      if (cache !== undefined && makers.get(cache) !== state.current) {
        throw lost();
      }
      return block.run(hidden, batch, length, cache);
    });
    if (output.cache !== undefined) makers.set(output.cache, state.current);
    return output;
  };
}

function lost(cause?: unknown): StateLostError {
  return new StateLostError(
    "Cannot go on with what a failed graphics card held: start it again",
    { cause },
  );
}

class EngineState {
  readonly #first: Engine;
  readonly #openSecond: () => Promise<Engine>;
  readonly #options: ResilientOptions;
  #second: Promise<Engine> | undefined;
  current: Engine;

  constructor(first: Engine, openSecond: () => Promise<Engine>, options: ResilientOptions) {
    this.#first = first;
    this.#openSecond = openSecond;
    this.#options = options;
    this.current = first;
  }

  /** Does work on the current engine, and again on the other one if the card fails. */
  async attempt<T>(work: (engine: Engine) => Promise<T>): Promise<T> {
    const engine = this.current;
    try {
      return await work(engine);
    } catch (error) {
      const isLast = !(error instanceof GraphicsError) || error instanceof StateLostError;
      if (isLast || engine !== this.#first) throw error;
      await this.giveUp(error);
      return await work(this.current);
    }
  }

  /** Whether the card has failed. */
  get hasFailed(): boolean {
    return this.current !== this.#first;
  }

  /** Whether an engine is the one on the card, and the card has not failed. */
  isFirst(engine: Engine): boolean {
    return engine === this.#first && engine === this.current;
  }

  async close(): Promise<void> {
    await this.#first.close();
    await (await this.#second)?.close();
  }

  async giveUp(error: GraphicsError): Promise<void> {
    if (this.#second === undefined) {
      this.#second = this.#openSecond();
      this.#options.onNote?.(
        `The graphics card failed, and the processor goes on: ${error.message}`,
      );
    }
    this.current = await this.#second;
  }
}

/** Something that an engine opened; opened again by the other one when the card has failed. */
class Held<T extends { close(): Promise<void> }> {
  readonly #state: EngineState;
  readonly #open: (engine: Engine) => Promise<T>;
  #engine: Engine;
  #value: T;

  private constructor(
    state: EngineState,
    open: (engine: Engine) => Promise<T>,
    engine: Engine,
    value: T,
  ) {
    this.#state = state;
    this.#open = open;
    this.#engine = engine;
    this.#value = value;
  }

  static async open<T extends { close(): Promise<void> }>(
    state: EngineState,
    open: (engine: Engine) => Promise<T>,
  ): Promise<Held<T>> {
    return await state.attempt(async (engine) => new Held(state, open, engine, await open(engine)));
  }

  async use<R>(work: (value: T) => Promise<R>): Promise<R> {
    return await this.#state.attempt(async (engine) => {
      if (engine !== this.#engine) {
        await this.#value.close();
        this.#value = await this.#open(engine);
        this.#engine = engine;
      }
      return await work(this.#value);
    });
  }

  /** Does work with what the card holds; where the card fails, that is lost. */
  async useKept<R>(work: (value: T) => Promise<R>): Promise<R> {
    if (!this.#state.isFirst(this.#engine)) throw lost();
    try {
      return await work(this.#value);
    } catch (error) {
      if (!(error instanceof GraphicsError)) throw error;
      await this.#state.giveUp(error);
      throw lost(error);
    }
  }

  /** What is held now. */
  get value(): T {
    return this.#value;
  }

  async close(): Promise<void> {
    await this.#value.close();
  }
}
