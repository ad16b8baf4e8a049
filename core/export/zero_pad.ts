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
import { ExportError } from "../errors.ts";
import { blockTensorName, familyOf } from "../model/families.ts";
import { encode, type FloatDataType, numberCount } from "../model/number_formats.ts";
import type { TensorEntry } from "../model/safetensors.ts";
import type { LayerShape, Model, TensorView } from "../model/types.ts";
import { blockRoles, blockTensorShape } from "../model/units.ts";
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
  return {
    ffnWidth: largest(({ ffnWidth }) => ffnWidth),
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
  const shapes = paddedTensorShapes(model, shape);
  const entries = [...model.tensors.values()].map((view): TensorEntry => {
    const wanted = shapes.get(view.name) ?? view.shape;
    if (hasShape(view, wanted)) return copiedEntry(view, dataType);
    const stored = outputDataType(view.dataType, dataType) as FloatDataType;
    const bytes = () => paddedPieces(view, wanted, stored);
    return { name: view.name, shape: wanted, dataType: stored, bytes };
  });
  const config = withOneSize(withDataType(model.config, dataType), shape);
  const folder = { config, entries, companionsOf: model };
  await writeModelFolder(directory, folder, { stage: "export", signal, onProgress, largestShard });
}

function paddedTensorShapes(
  { architecture }: Model,
  shape: LayerShape,
): ReadonlyMap<string, readonly number[]> {
  const family = familyOf(architecture.family);
  return new Map(
    architecture.layers.flatMap((_, layer) =>
      blockRoles(architecture).map((role) =>
        [
          blockTensorName(family, role, layer),
          blockTensorShape(architecture, shape, role),
        ] as const
      )
    ),
  );
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
  config: Readonly<Record<string, unknown>>,
  { ffnWidth, keyValueHeads, queryHeads }: LayerShape,
): Record<string, unknown> {
  const { per_layer_config: layers, gprune, ...rest } = config;
  const own = typeof gprune === "object" ? gprune : {};
  return {
    ...rest,
    intermediate_size: ffnWidth,
    num_attention_heads: queryHeads,
    num_key_value_heads: keyValueHeads,
    ...(layers === undefined ? {} : { gprune: { ...own, zero_padded_from: layers } }),
  };
}
