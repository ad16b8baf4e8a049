/**
 * A decoder block on the card: its weights, and its two halves as operations.
 * @module
 */
import { EngineError, GraphicsError } from "../../errors.ts";
import type { Architecture, BlockRole, LayerShape } from "../../model/types.ts";
import type { BlockSpecification } from "../types.ts";
import type { PooledBuffer } from "./buffers.ts";
import type { GraphicsContext } from "./context.ts";
import { attentionKernel, QUERIES, rotaryKernel } from "./kernels/attention.ts";
import {
  type CardRows,
  norm,
  type Operations,
  project,
  regionOf,
  someRows,
  temporaryRows,
} from "./operations.ts";
import { type CardMatrix, fours, Weights } from "./weights.ts";

/** A projection's weight, and its bias where it has one. */
export interface CardProjection {
  /** The weight. */
  readonly weight: CardMatrix;
  /** The bias. */
  readonly bias?: PooledBuffer;
}

/** A block whose weights are on the card. */
export interface CardBlock {
  /** The model's description. */
  readonly architecture: Architecture;
  /** The block's sizes. */
  readonly shape: LayerShape;
  /** The weight of the norm before attention. */
  readonly attentionNorm: PooledBuffer;
  /** The weight of the norm before the FFN. */
  readonly ffnNorm: PooledBuffer;
  /** Queries, keys and values as one projection. */
  readonly heads: CardProjection;
  /** What closes attention. */
  readonly output: CardProjection;
  /** The gate. */
  readonly gate: CardProjection;
  /** What the gate opens. */
  readonly up: CardProjection;
  /** What closes the FFN. */
  readonly down: CardProjection;
  /** Frees the weights. */
  close(): void;
}

/** Channels of a block's heads. */
export interface HeadWidths {
  /** Of all query heads. */
  readonly queries: number;
  /** Of all key heads; as many as of all value heads. */
  readonly keys: number;
  /** Of both and the values. */
  readonly all: number;
}

/**
 * Channels of a block's heads.
 *
 * @param block The block
 * @returns Widths
 */
export function headWidths(
  { architecture: { headSize }, shape }: Pick<BlockSpecification, "architecture" | "shape">,
): HeadWidths {
  const queries = shape.queryHeads * headSize;
  const keys = shape.keyValueHeads * headSize;
  return { queries, keys, all: queries + 2 * keys };
}

/**
 * Sends a block's weights to the card.
 *
 * @param context What the engine's parts share
 * @param specification The block
 * @returns The block; close it after use
 * @throws {EngineError} if a tensor is missing or holds no floating-point numbers
 * @throws {GraphicsError} if the card has no room for it
 */
export async function sendBlock(
  context: GraphicsContext,
  { architecture, shape, tensors }: BlockSpecification,
): Promise<CardBlock> {
  const weights = new Weights(context);
  const tensor = (role: BlockRole) => {
    const found = tensors.get(role);
    if (found === undefined) throw new EngineError(`Cannot run a block without '${role}'`);
    return found;
  };
  const projection = async (
    ...names:
      readonly ("q_proj" | "k_proj" | "v_proj" | "o_proj" | "gate_proj" | "up_proj" | "down_proj")[]
  ): Promise<CardProjection> => {
    const weight = await weights.matrix(names.map((name) => tensor(`${name}.weight`)));
    const biases = names.map((name) =>
      tensors.get(`${name}.bias`) ?? tensor(`${name}.weight`).shape[0]
    );
    const hasBias = biases.some((bias) => typeof bias !== "number");
    return { weight, bias: hasBias ? await weights.vector(...biases) : undefined };
  };
  try {
    return await context.guard("send a block's weights to the card", async () => ({
      architecture,
      shape,
      attentionNorm: await weights.vector(tensor("attentionNorm.weight")),
      ffnNorm: await weights.vector(tensor("ffnNorm.weight")),
      heads: await projection("q_proj", "k_proj", "v_proj"),
      output: await projection("o_proj"),
      gate: await projection("gate_proj"),
      up: await projection("up_proj"),
      down: await projection("down_proj"),
      close: () => weights.close(),
    }));
  } catch (error) {
    weights.close();
    throw error;
  }
}

/** The sizes of one run. */
export interface RunSizes {
  /** Texts in the batch. */
  readonly batch: number;
  /** New tokens per text. */
  readonly length: number;
  /** Tokens per text in the cache. */
  readonly past: number;
}

/** How attention looks at queries, keys and values; what it gives are the inputs of `o_proj`. */
export type Attend = (
  operations: Operations,
  block: CardBlock,
  heads: CardRows,
  sizes: RunSizes,
) => CardRows;

/** What the first half of a block gives. */
export interface AttentionHalf {
  /** The inputs of `o_proj`. */
  readonly heads: CardRows;
  /** The residual stream between attention and FFN. */
  readonly middle: CardRows;
}

/**
 * The first half of a block: x + o_proj(attention(norm(x))).
 *
 * @param operations Where
 * @param block The block
 * @param hidden x
 * @param sizes Texts and tokens
 * @param attend How attention looks at them
 * @returns What it gives, until the commands are sent
 */
export function attentionHalf(
  operations: Operations,
  block: CardBlock,
  hidden: CardRows,
  sizes: RunSizes,
  attend: Attend,
): AttentionHalf {
  const { commands, context } = operations;
  const { architecture, shape } = block;
  const { headSize, hiddenSize, normEpsilon, rotary } = architecture;
  const positions = sizes.past + sizes.length;
  // Tables are sent before anything is written down: what is sent must not meet a buffer that is used twice.
  const tables = context.rotationTables(rotary, positions);
  const normed = norm(operations, hidden, block.attentionNorm, normEpsilon);
  const all = temporaryRows(operations, hidden.rows, headWidths(block).all);
  project(operations, normed, block.heads.weight, all, { bias: block.heads.bias });
  commands.reuse(normed.buffer);
  const turned = shape.queryHeads + shape.keyValueHeads;
  commands.dispatch(
    rotaryKernel(headSize),
    [regionOf(all), { buffer: tables.buffer, bytes: 4 * positions * headSize }],
    [turned, 4 * fours(all.columns), sizes.length, sizes.past],
    [Math.ceil(turned * headSize / 2 / 64), hidden.rows, 1],
  );
  const heads = attend(operations, block, all, sizes);
  commands.reuse(all.buffer);
  const middle = temporaryRows(operations, hidden.rows, hiddenSize);
  project(operations, heads, block.output.weight, middle, {
    bias: block.output.bias,
    other: hidden,
    epilogue: { kind: "residual" },
  });
  return { heads, middle };
}

/**
 * Attention of whole texts among their own tokens.
 *
 * @param operations Where
 * @param block The block
 * @param all Queries, keys and values
 * @param sizes Texts and tokens
 * @returns The inputs of `o_proj`, until the commands are sent
 */
export function attendWhole(
  operations: Operations,
  block: CardBlock,
  all: CardRows,
  { batch, length }: RunSizes,
): CardRows {
  const { architecture: { headSize, slidingWindow }, shape } = block;
  const { queries, keys } = headWidths(block);
  const output = outputRows(operations, all.rows, queries);
  const stride = 4 * fours(all.columns);
  operations.commands.dispatch(
    attentionKernel({ headSize, slidingWindow }),
    [regionOf(all), regionOf(all), regionOf(output)],
    [
      length,
      0,
      shape.queryHeads / shape.keyValueHeads,
      stride,
      stride,
      length,
      queries,
      queries + keys,
      4 * fours(queries),
    ],
    [Math.ceil(length / QUERIES), shape.queryHeads, batch],
    2 * queries * batch * length * Math.min(length, 2 * (slidingWindow ?? length)),
  );
  return output;
}

/**
 * Room for what attention gives. Attention writes heads alone, so that what fills a row up has to be cleared.
 *
 * @param operations Where
 * @param rows Tokens
 * @param columns Channels of all query heads
 * @returns The rows, until the commands are sent
 */
export function outputRows(operations: Operations, rows: number, columns: number): CardRows {
  const output = temporaryRows(operations, rows, columns);
  if (columns % 4 !== 0) operations.commands.clear(regionOf(output));
  return output;
}

/**
 * The second half of a block: y + down_proj(act(gate_proj(norm(y))) * up_proj(norm(y))). It goes in parts where its
 * inner rows are too large for one binding.
 *
 * @param operations Where
 * @param block The block
 * @param middle y
 * @param output Where the residual stream after the block goes
 * @param onInput Called with the inputs of `down_proj` for each part, and the part's first row
 */
export function ffnHalf(
  operations: Operations,
  block: CardBlock,
  middle: CardRows,
  output: CardRows,
  onInput?: (input: CardRows, first: number) => void,
): void {
  const { commands, context } = operations;
  const { normEpsilon, activation } = block.architecture;
  const together = rowsTogether(context, block.shape.ffnWidth);
  for (let first = 0; first < middle.rows; first += together) {
    const own = someRows(middle, first, Math.min(together, middle.rows - first));
    const normed = norm(operations, own, block.ffnNorm, normEpsilon);
    const gate = temporaryRows(operations, own.rows, block.shape.ffnWidth);
    project(operations, normed, block.gate.weight, gate, { bias: block.gate.bias });
    const input = temporaryRows(operations, own.rows, block.shape.ffnWidth);
    project(operations, normed, block.up.weight, input, {
      bias: block.up.bias,
      other: gate,
      epilogue: { kind: "gated", activation },
    });
    commands.reuse(normed.buffer);
    commands.reuse(gate.buffer);
    onInput?.(input, first);
    project(operations, input, block.down.weight, someRows(output, first, own.rows), {
      bias: block.down.bias,
      other: own,
      epilogue: { kind: "residual" },
    });
    commands.reuse(input.buffer);
  }
}

/** Rows of so many numbers that one binding can hold, a multiple of 64 so that parts start where bindings may. */
function rowsTogether({ graphics: { limits } }: GraphicsContext, columns: number): number {
  const rows = Math.floor(limits.maxStorageBufferBindingSize / (16 * fours(columns)));
  return Math.max(64, Math.floor(rows / 64) * 64);
}

/** Tokens of one part: each is a workgroup of some kernels, along an axis that holds 65,535 by the standard. */
const TOKENS_LIMIT = 65_535;

/**
 * How many texts of a length go into one run.
 *
 * @param context What the engine's parts share
 * @param specification The block
 * @param length Tokens per text
 * @returns At least one
 * @throws {GraphicsError} if a single text is too long for the card
 */
export function textsTogether(
  { graphics: { limits, name } }: GraphicsContext,
  specification: Pick<BlockSpecification, "architecture" | "shape">,
  length: number,
): number {
  const { hiddenSize } = specification.architecture;
  const { all } = headWidths(specification);
  const bytes = 16 * fours(Math.max(hiddenSize, all)) * length;
  const texts = Math.min(
    Math.floor(limits.maxStorageBufferBindingSize / bytes),
    Math.floor(TOKENS_LIMIT / length),
  );
  if (texts > 0) return texts;
  throw new GraphicsError(
    `Cannot run texts of ${length} tokens on graphics card '${name}': they need bindings of ${bytes} bytes, and it allows ${limits.maxStorageBufferBindingSize}; give a shorter --seq-len, or use --engine onnx`,
  );
}
