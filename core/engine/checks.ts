/**
 * What every engine checks before it works, and the sums that it starts from.
 * @module
 */
import { EngineError } from "../errors.ts";
import type { BlockSpecification, BlockSums, ChannelSums, Stream } from "./types.ts";

/**
 * Checks that the residual stream has the size that batch and length promise.
 *
 * @param hidden The residual stream
 * @param batch Texts
 * @param length Tokens per text
 * @param specification The block
 * @throws {EngineError} if it has not
 */
export function checkHidden(
  hidden: Stream,
  batch: number,
  length: number,
  { architecture }: BlockSpecification,
): void {
  const expected = batch * length * architecture.hiddenSize;
  if (hidden.length === expected && expected > 0) return;
  throw new EngineError(
    `Cannot run a decoder block: ${batch} texts of ${length} tokens are ${expected} numbers, and ${hidden.length} were given`,
  );
}

/**
 * Checks that every row has a target in the vocabulary.
 *
 * @param rows Rows
 * @param targets The tokens to predict
 * @param vocabularySize Tokens in the vocabulary
 * @throws {EngineError} if one has not
 */
export function checkTargets(rows: number, targets: Int32Array, vocabularySize: number): void {
  if (targets.length !== rows) {
    throw new EngineError(`Cannot compute losses: ${rows} rows have ${targets.length} targets`);
  }
  const stranger = targets.find((token) => token < 0 || token >= vocabularySize);
  if (stranger === undefined) return;
  throw new EngineError(
    `Cannot compute the loss of token '${stranger}': the vocabulary has ${vocabularySize} tokens`,
  );
}

/**
 * Sums of nothing yet.
 *
 * @param specification The block
 * @param tokens The tokens that will be summed
 * @returns Zeros; with capture `gram`, Gram matrices too
 */
export function emptySums(
  { architecture, shape, capture }: BlockSpecification,
  tokens: number,
): BlockSums {
  const empty = (channels: number): ChannelSums => ({
    tokens,
    sum: new Float64Array(channels),
    sumOfSquares: new Float64Array(channels),
    gram: capture === "gram" ? new Float32Array(channels * channels) : undefined,
  });
  return { ffn: empty(shape.ffnWidth), heads: empty(shape.queryHeads * architecture.headSize) };
}
