/**
 * The Hugging Face layout for models whose layers differ, padded with zero units to one size, so that stock classes
 * load it. It computes the same and is for checking: what pruning saved is back in it.
 * @module
 */
import {
  copiedEntry,
  outputDataType,
  withDataType,
  writeModelFolder,
} from "../apply/model_folder.ts";
import { sizeFields } from "../apply/config_after.ts";
import { ExportError } from "../errors.ts";
import { familyOf } from "../model/families.ts";
import { encode, type FloatDataType, numberCount } from "../model/number_formats.ts";
import type { TensorEntry } from "../model/safetensors.ts";
import { blockTensors } from "../model/open.ts";
import { joinParts, type StoredTensor, storedTensors } from "../model/stored.ts";
import type { BlockRole, LayerShape, Model, TensorView } from "../model/types.ts";
import { blockTensorShape } from "../model/units.ts";
import type { HuggingFaceOptions } from "./hf.ts";
import { hasShape, readPaddedRows } from "./padding.ts";

/** Numbers that are padded and written at a time. */
const PIECE = 8 << 20;

/**
 * The size that all layers of a model fit into.
 *
 * @param model The model
 * @returns The largest FFN width and head counts
 * @throws {ExportError} if layers share key/value heads among different numbers of query heads, which stock classes
 * cannot say
 */
export function paddedShape({ name, architecture }: Model): LayerShape {
  const { layers } = architecture;
  const groups = new Set(layers.map(({ queryHeads, keyValueHeads }) => queryHeads / keyValueHeads));
  if (groups.size > 1) {
    throw new ExportError(
      `Cannot pad '${name}' with zeros: ${
        [...groups].join(" and ")
      } query heads share a key/value head, and stock classes want one number; use --format onnx or gguf`,
    );
  }
  const largest = (size: (shape: LayerShape) => number) => Math.max(...layers.map(size));
  const ffnWidth = largest(({ ffnWidth }) => ffnWidth);
  if (familyOf(architecture.family).headsInStream === "fill") {
    const heads = architecture.hiddenSize / architecture.headSize;
    return { ffnWidth, keyValueHeads: heads, queryHeads: heads };
  }
  if (
    architecture.queryKeyNorm === "all-heads" && !isAlike(layers.map((each) => each.queryHeads))
  ) {
    throw new ExportError(
      `Cannot pad '${name}' with zeros: its queries are normed over all heads together, and heads of zeros would count; use --format onnx`,
    );
  }
  return {
    ffnWidth,
    keyValueHeads: largest(({ keyValueHeads }) => keyValueHeads),
    queryHeads: largest(({ queryHeads }) => queryHeads),
  };
}

/**
 * Writes a model as a folder in the Hugging Face layout whose layers all have the largest size, with zeros for what is
 * not there. It computes what the model computes.
 *
 * @param model The model
 * @param directory The folder; made if it is missing
 * @param options Data type; progress, cancellation
 * @throws {ExportError} if stock classes cannot say the model's sizes, or the disk refuses
 * @throws {ModelError} if a tensor cannot be read
 * @throws {CancelledError} if the signal is aborted
 */
export async function exportZeroPadded(
  model: Model,
  directory: string,
  options: HuggingFaceOptions = {},
): Promise<void> {
  const { dataType = "keep", signal, onProgress, largestShard } = options;
  const shape = paddedShape(model);
  const padded = paddedTensors(model, shape);
  const entries = [...model.tensors.values()].map((view): TensorEntry => {
    const tensor = padded.get(view.name);
    const wanted = tensor?.stored.shape ?? view.shape;
    if (tensor === undefined || hasShape(view, wanted)) return copiedEntry(view, dataType);
    const type = outputDataType(view.dataType, dataType) as FloatDataType;
    const bytes = tensor.stored.plain
      ? () => paddedPieces(view, wanted, type)
      : async () => encode(await paddedParts(model, tensor, shape), type);
    return { name: view.name, shape: wanted, dataType: type, bytes };
  });
  const config = withOneSize(model, withDataType(model.config, dataType), shape);
  const folder = { config, entries, companionsOf: model };
  await writeModelFolder(directory, folder, { stage: "export", signal, onProgress, largestShard });
}

function isAlike(sizes: readonly number[]): boolean {
  return new Set(sizes).size === 1;
}

interface PaddedTensor {
  readonly layer: number;
  readonly stored: StoredTensor;
}

function paddedTensors(
  { architecture }: Model,
  shape: LayerShape,
): ReadonlyMap<string, PaddedTensor> {
  return new Map(
    architecture.layers.flatMap((_, layer) =>
      storedTensors(architecture, shape, layer).map((stored) =>
        [stored.name, { layer, stored }] as const
      )
    ),
  );
}

/** Parts are padded each by itself, and put together again. */
async function paddedParts(
  model: Model,
  { layer, stored }: PaddedTensor,
  shape: LayerShape,
): Promise<Float32Array> {
  const { architecture } = model;
  const tensors = blockTensors(model, layer);
  const parts = new Map<BlockRole, Float32Array>();
  for (const role of stored.roles) {
    const wanted = blockTensorShape(architecture, shape, role);
    parts.set(role, await readPaddedRows(tensors.get(role)!, wanted, 0, wanted[0]));
  }
  return joinParts(stored, parts, { architecture, shape });
}

async function* paddedPieces(
  view: TensorView,
  shape: readonly number[],
  dataType: FloatDataType,
): AsyncGenerator<Uint8Array> {
  const rowsAtOnce = Math.max(1, Math.floor(PIECE / numberCount(shape.slice(1))));
  for (let row = 0; row < shape[0]; row += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, shape[0] - row);
    yield encode(await readPaddedRows(view, shape, row, count), dataType);
  }
}

/** The sizes of a stock class; what the layers really have stays readable in gprune's own field. */
function withOneSize(
  { architecture }: Model,
  config: Readonly<Record<string, unknown>>,
  shape: LayerShape,
): Record<string, unknown> {
  const { per_layer_config: layers, gprune, head_dim: headSize, ...rest } = config;
  const own = typeof gprune === "object" ? gprune : {};
  return {
    ...rest,
    ...(headSize === undefined || familyOf(architecture.family).headsInStream === "fill"
      ? {}
      : { head_dim: headSize }),
    ...sizeFields(architecture, shape),
    ...(layers === undefined ? {} : { gprune: { ...own, zero_padded_from: layers } }),
  };
}
