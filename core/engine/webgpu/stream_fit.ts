/**
 * The least-squares fit of one normed stream to another on the card.
 * @module
 */
import type { Architecture, Tensor } from "../../model/types.ts";
import type { FitSums, Stream, StreamFit } from "../types.ts";
import { CardFit } from "./card_fit.ts";
import { alignedParts, rowsOf } from "./card_stream.ts";
import { Commands } from "./commands.ts";
import type { GraphicsContext } from "./context.ts";
import { sendScales } from "./fitting.ts";
import { type CardRows, norm, scaled } from "./operations.ts";
import { type CardNorm, fours, Weights } from "./weights.ts";

/** Rows of one part: each is a workgroup of some kernels. */
const ROWS_LIMIT = 65_535;

/**
 * Prepares the fit of normed streams.
 *
 * @param context What the engine's parts share
 * @param architecture The model's description
 * @param weight The norm's weight, `[hidden]`
 * @param bias The norm's bias, `[hidden]`, if it has one
 * @returns The fit; close it after use
 * @throws {GraphicsError} if the card has no room for it
 */
export async function openStreamFit(
  context: GraphicsContext,
  architecture: Architecture,
  weight: Tensor,
  bias?: Tensor,
): Promise<StreamFit> {
  const { hiddenSize } = architecture;
  const weights = new Weights(context);
  let cardNorm: CardNorm;
  try {
    const send = () => weights.norm(architecture, weight, bias);
    cardNorm = await context.guard("send a norm to the card", send);
  } catch (error) {
    weights.close();
    throw error;
  }
  const { maxStorageBufferBindingSize } = context.graphics.limits;
  const bound = Math.floor(maxStorageBufferBindingSize / (16 * fours(hiddenSize)));
  const together = Math.min(ROWS_LIMIT, bound);
  const kept = new CardFit(context, hiddenSize, hiddenSize);
  const addTokens = async (fit: CardFit, streams: readonly Stream[], scales?: Float32Array) => {
    // Every token is a text by itself here.
    const tokens = streams[0].length / hiddenSize;
    let token = 0;
    for (const parts of await alignedParts(context, streams, tokens, together)) {
      const operations = { context, commands: new Commands(context) };
      try {
        const [input, target] = parts.map((part) => rowsOf(operations, part, hiddenSize));
        const own = scales &&
          sendScales(operations, scales.subarray(token, token + input.rows));
        const normed = (rows: CardRows) => {
          const result = norm(operations, rows, cardNorm);
          return own === undefined ? result : scaled(operations, result, own);
        };
        fit.add(operations, normed(target), normed(input));
        token += input.rows;
        await operations.commands.submit();
      } finally {
        operations.commands.abandon();
      }
    }
  };
  return {
    run: (now, wanted, tokenScale) =>
      context.guard("fit a stream", async () => {
        const fit = new CardFit(context, hiddenSize, hiddenSize);
        try {
          await addTokens(fit, [now, wanted], tokenScale);
          return await fit.take() as FitSums;
        } finally {
          fit.close();
        }
      }),
    add: async (now, wanted) => {
      await context.guard("fit a stream", () => addTokens(kept, [now, wanted]));
      await context.pace();
    },
    takeSums: () => context.guard("read sums", () => kept.take()),
    close: () => {
      kept.close();
      weights.close();
      return Promise.resolve();
    },
  };
}
