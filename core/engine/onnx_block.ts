/**
 * A block that runs whole texts on ONNX Runtime.
 * @module
 */
import { checkHidden, emptySums } from "./checks.ts";
import { BLOCK_NAME, blockGraph, runFeeds } from "./block_graph.ts";
import type { MemoryLimits } from "./memory.ts";
import type { RotationTables } from "./rotations.ts";
import { type Feed, floats, openSession, type Session } from "./runtime.ts";
import type { Block, BlockSpecification, BlockSums } from "./types.ts";
import { goalOf, mappableTensors, rootFolder, weightFeeds } from "./weights.ts";

/** What blocks of one engine share. */
export interface BlockSurroundings {
  /** Threads inside an operation. */
  readonly threads: number;
  /** What memory may be taken. */
  readonly limits: MemoryLimits;
  /** Rotation tables of at least so many positions; undefined where the block rotates nothing. */
  readonly rotations: (positions: number) => RotationTables | undefined;
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
  const specification = { ...given, tensors: await mappableTensors(given.tensors) };
  const session = await openBlockSession(specification, "whole", surroundings);
  const weights = weightFeeds(BLOCK_NAME, specification.tensors);
  return {
    run: async (hidden, batch, length) => {
      checkHidden(hidden, batch, length, specification);
      const rotations = surroundings.rotations(length);
      const part = Math.min(
        batch,
        textsTogether(specification, length, surroundings.limits.scoreBytes),
      );
      const output = new Float32Array(hidden.length);
      const { capture } = specification;
      const sums = capture === "sums" || capture === "gram"
        ? emptySums(specification, batch * length)
        : undefined;
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
        const isOnly = part === batch;
        await runPart(session, { feeds, target, middle: ownMiddle, tokens, sums, isOnly });
      }
      return { hidden: output, sums, middle };
    },
    close: async () => await session.close(),
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
  readonly sums?: BlockSums;
  /** Whether the batch goes in one piece: large sums are then written where they are wanted. */
  readonly isOnly: boolean;
}

async function runPart(session: Session, part: Part): Promise<void> {
  const { feeds, target, middle, tokens, sums, isOnly } = part;
  const outputs: Record<string, Feed> = { outputHidden: floats(target, feeds.hidden.shape) };
  if (middle !== undefined) outputs.middle = floats(middle, feeds.hidden.shape);
  if (sums === undefined) {
    await session.run(feeds, outputs);
    return;
  }
  const ones = floats(new Float32Array(tokens).fill(1), [1, tokens]);
  const additions: (() => void)[] = [];
  for (const [kind, kindSums] of Object.entries(sums)) {
    const channels = kindSums.sum.length;
    for (const name of ["sum", "sumOfSquares", "gram"] as const) {
      const total = kindSums[name];
      if (total === undefined) continue;
      const direct = isOnly && total instanceof Float32Array;
      const part = direct ? total : new Float32Array(total.length);
      outputs[`${kind}.${name}`] = floats(part, [total.length / channels, channels]);
      if (!direct) additions.push(() => addTo(total, part));
    }
  }
  await session.run({ ...feeds, ones }, outputs);
  for (const add of additions) add();
}

function addTo(total: Float64Array | Float32Array, part: Float32Array): void {
  for (let index = 0; index < total.length; index++) total[index] += part[index];
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
