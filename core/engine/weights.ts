/**
 * Tensors as weights of a graph: views of files are mapped, tensors in memory are fed at every run.
 * @module
 */
import { EngineError } from "../errors.ts";
import { isView, memoryTensor, readTensor, readTensorIntoSync } from "../model/tensor_reader.ts";
import { numberCount } from "../model/number_formats.ts";
import type { BlockTensors, Tensor, TensorView } from "../model/types.ts";
import type { BlockPiece, BlockWeights } from "../onnx/block.ts";
import type { WeightReference } from "../onnx/graph.ts";
import { ordinaryLimits } from "./memory.ts";
import { type Feed, floats } from "./runtime.ts";

/**
 * The folder that the locations of weights are relative to: the root, since ONNX Runtime wants every file inside it.
 *
 * @param tensors Tensors, wherever they are
 * @returns The root of the file system (of the drive, on Windows)
 */
export function rootFolder(tensors: Iterable<Tensor>): string {
  for (const tensor of tensors) {
    if (isView(tensor)) return rootOf(tensor.path);
  }
  return "/";
}

/**
 * Chooses what a session spends memory on.
 *
 * @param tensors Its weights
 * @param convertedBytes Bytes in float32 up to which it keeps its own, converted and rearranged for speed
 * @returns `speed` while they are small
 */
export function goalOf(
  tensors: Iterable<Tensor>,
  convertedBytes: number = ordinaryLimits.convertedBytes,
): "speed" | "memory" {
  let bytes = 0;
  for (const { shape } of tensors) bytes += 4 * shape.reduce((product, size) => product * size, 1);
  return bytes <= convertedBytes ? "speed" : "memory";
}

/**
 * Tensors that a graph can be told of: those that lie between others' numbers in their file, which cannot be mapped, are
 * read into memory.
 *
 * @param tensors The tensors of a block
 * @returns The same, some of them in memory
 * @throws {ModelError} if one cannot be read
 */
export async function mappableTensors(tensors: BlockTensors): Promise<BlockTensors> {
  const result = new Map(tensors);
  for (const [role, tensor] of tensors) {
    if (!isView(tensor) || tensor.layout === undefined) continue;
    checkType(tensor);
    result.set(role, memoryTensor(tensor.shape, await readTensor(tensor)));
  }
  return result;
}

/**
 * Reads all tensors of a block in one go.
 *
 * @param tensors The tensors
 * @param take Lends an array of a length
 * @returns The same in memory; those that were there already are left as they are
 * @throws {ModelError} if one cannot be read
 */
export function readTensorsSync(
  tensors: BlockTensors,
  take: (length: number) => Float32Array,
): BlockTensors {
  const result = new Map(tensors);
  for (const [role, tensor] of tensors) {
    if (!isView(tensor)) continue;
    checkType(tensor);
    const data = readTensorIntoSync(tensor, take(numberCount(tensor.shape)));
    result.set(role, memoryTensor(tensor.shape, data));
  }
  return result;
}

/**
 * Tells a graph where a tensor's numbers are.
 *
 * @param tensor The tensor
 * @returns The reference
 * @throws {EngineError} if the tensor does not hold floating-point numbers
 */
export function weightReference(tensor: Tensor): WeightReference {
  if (!isView(tensor)) return { kind: "input", shape: tensor.shape };
  checkType(tensor);
  const { dataType, shape, path, offset, byteLength } = tensor;
  const location = path.slice(rootOf(path).length).replaceAll("\\", "/");
  return { kind: "external", dataType, shape, location, offset, byteLength };
}

/**
 * Tells a graph where a block's tensors are.
 *
 * @param tensors The tensors
 * @returns References by role
 * @throws {EngineError} if a tensor does not hold floating-point numbers
 */
export function blockWeights(tensors: BlockTensors): BlockWeights {
  return new Map([...tensors].map(([role, tensor]) => [role, weightReference(tensor)]));
}

/**
 * The tensors of a block that have to be fed at every run.
 *
 * @param name What the names of the block's weights start with
 * @param tensors The block's tensors
 * @returns Feeds by input name
 */
export function weightFeeds(
  name: BlockPiece["name"],
  tensors: BlockTensors,
): Readonly<Record<string, Feed>> {
  const feeds: Record<string, Feed> = {};
  for (const [role, tensor] of tensors) {
    if (!isView(tensor)) feeds[`${name}.${role}`] = floats(tensor.data, tensor.shape);
  }
  return feeds;
}

function rootOf(path: string): string {
  return /^(?:[A-Za-z]:)?[/\\]/.exec(path)?.[0] ?? "/";
}

function checkType({ name, path, dataType }: TensorView): void {
  if (["F32", "F16", "BF16", "F64"].includes(dataType)) return;
  throw new EngineError(
    `Cannot run with tensor '${name}' of '${path}': it holds ${dataType}, and F32, F16, BF16 or F64 is wanted`,
  );
}
