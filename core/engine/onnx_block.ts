/**
 * A block that runs whole texts on ONNX Runtime.
 * @module
 */
import { checkHidden, emptySums } from "./checks.ts";
import { BLOCK_NAME, blockGraph, runFeeds } from "./block_graph.ts";
import type { MemoryLimits } from "./memory.ts";
import { sumPlaces } from "./onnx_sums.ts";
import type { RotationTables } from "./rotations.ts";
import { type Feed, floats, openSession, type Session } from "./runtime.ts";
import type { Scratch } from "./scratch.ts";
import type { SharedSessions } from "./shared_sessions.ts";
import type { Block, BlockSpecification } from "./types.ts";
import { goalOf, mappableTensors, readTensorsSync, rootFolder, weightFeeds } from "./weights.ts";

/** What blocks of one engine share. */
export interface BlockSurroundings {
  /** Threads inside an operation. */
  readonly threads: number;
  /** What memory may be taken. */
  readonly limits: MemoryLimits;
  /** Rotation tables of at least so many positions; undefined where the block rotates nothing. */
  readonly rotations: (positions: number) => RotationTables | undefined;
  /** Sessions of blocks whose weights are given at every run. */
  readonly sessions: SharedSessions;
  /** Arrays for weights and sums. */
  readonly scratch: Scratch;
}

/**
 * Prepares a block to run whole texts.
 *
 * @param given The block
 * @param surroundings Threads and rotation tables
 * @returns The block; close it after use
 * @throws {EngineError} if ONNX Runtime is missing or refuses the block
 */
export async function openBlock(
  given: BlockSpecification,
  surroundings: BlockSurroundings,
): Promise<Block> {
  const { specification, session, take, close } = await prepare(given, surroundings);
  const weights = weightFeeds(BLOCK_NAME, specification.tensors);
  const places = sumPlaces(specification, take);
  return {
    weights: specification.tensors,
    run: async (hidden, batch, length) => {
      checkHidden(hidden, batch, length, specification);
      const rotations = surroundings.rotations(length);
      const part = Math.min(
        batch,
        textsTogether(specification, length, surroundings.limits.scoreBytes),
      );
      const output = new Float32Array(hidden.length);
      const { capture } = specification;
      const sums = places && emptySums(specification, batch * length);
      const middle = capture === "middle" ? new Float32Array(hidden.length) : undefined;
      const textSize = hidden.length / batch;
      for (let first = 0; first < batch; first += part) {
        const last = Math.min(batch, first + part);
        const sizes = { batch: last - first, length, past: 0 };
        const own = hidden.subarray(first * textSize, last * textSize);
        const target = output.subarray(first * textSize, last * textSize);
        const feeds = { ...runFeeds(own, sizes, rotations), ...weights };
        const ownMiddle = middle?.subarray(first * textSize, last * textSize);
        const tokens = sizes.batch * length;
        const outputs = sums && places?.outputs(sums, first === 0);
        await runPart(session, { feeds, target, middle: ownMiddle, tokens, outputs });
        if (sums !== undefined) places?.addTo(sums, first === 0);
      }
      return { hidden: output, sums, middle };
    },
    close,
  };
}

interface Prepared {
  readonly specification: BlockSpecification;
  readonly session: Session;
  /** Lends an array until the block is closed. */
  readonly take: (length: number) => Float32Array;
  readonly close: () => Promise<void>;
}

/**
 * The weights of small blocks are read, and given at every run: one session then serves all blocks, while a session of
 * its own costs a block a fifth of the time that it runs for. Large blocks are mapped.
 */
async function prepare(
  given: BlockSpecification,
  surroundings: BlockSurroundings,
): Promise<Prepared> {
  const { threads, limits, sessions, scratch } = surroundings;
  const lent: Float32Array[] = [];
  const take = (length: number) => {
    const array = scratch.take(length);
    lent.push(array);
    return array;
  };
  if (goalOf(given.tensors.values(), limits.convertedBytes) === "memory") {
    const specification = { ...given, tensors: await mappableTensors(given.tensors) };
    const session = await openBlockSession(specification, "whole", surroundings);
    return {
      specification,
      session,
      take,
      close: async () => {
        await session.close();
        scratch.giveBack(lent);
      },
    };
  }
  const specification = { ...given, tensors: readTensorsSync(given.tensors, take) };
  const { session, release } = await sessions.lend(
    blockGraph(specification, "whole"),
    "a decoder block",
    { threads, goal: "speed" },
  );
  return {
    specification,
    session,
    take,
    close: async () => {
      await release();
      scratch.giveBack(lent);
    },
  };
}

/**
 * Makes a session for a block.
 *
 * @param specification The block
 * @param attention Whether it looks at its own texts alone, or at tokens in a cache too
 * @param surroundings Threads, and what memory may be taken
 * @returns The session
 * @throws {EngineError} if ONNX Runtime is missing or refuses the block
 */
export async function openBlockSession(
  specification: BlockSpecification,
  attention: "whole" | "cached",
  { threads, limits }: Pick<BlockSurroundings, "threads" | "limits">,
): Promise<Session> {
  const tensors = [...specification.tensors.values()];
  return await openSession(blockGraph(specification, attention), "a decoder block", {
    threads,
    folder: rootFolder(tensors),
    goal: goalOf(tensors, limits.convertedBytes),
  });
}

interface Part {
  readonly feeds: Readonly<Record<string, Feed>>;
  readonly target: Float32Array;
  readonly middle?: Float32Array;
  readonly tokens: number;
  /** Where sums are written; absent where none are made. */
  readonly outputs?: Readonly<Record<string, Feed>>;
}

async function runPart(session: Session, part: Part): Promise<void> {
  const { feeds, target, middle, tokens, outputs: sums } = part;
  const outputs: Record<string, Feed> = { outputHidden: floats(target, feeds.hidden.shape) };
  if (middle !== undefined) outputs.middle = floats(middle, feeds.hidden.shape);
  if (sums === undefined) {
    await session.run(feeds, outputs);
    return;
  }
  const ones = floats(new Float32Array(tokens).fill(1), [1, tokens]);
  await session.run({ ...feeds, ones }, { ...outputs, ...sums });
}

/**
 * How many texts of a length go into one run.
 *
 * @param specification The block
 * @param length Tokens per text
 * @param scoreBytes Bytes that attention scores may take
 * @returns At least one
 */
export function textsTogether(
  { shape }: BlockSpecification,
  length: number,
  scoreBytes: number,
): number {
  return Math.max(1, Math.floor(scoreBytes / (4 * shape.queryHeads * length * length)));
}
