/**
 * What files take that a runtime holds whole while they are measured.
 * @module
 */
import type { Architecture } from "../../model/types.ts";
import { fixedBytes } from "./memory_needs.ts";

/** A file's bytes are read, kept as weights, widened and rearranged for the processor, some of it twice. */
const TIMES_HELD = 5;

/**
 * What a process takes that runs a file of a model in ONNX Runtime.
 *
 * @param architecture What the file computes
 * @param bytes Bytes of the file and those beside it, of each file that is open
 * @returns Bytes of memory, the runtime's own among them
 */
export function wholeFilesBytes(architecture: Architecture, bytes: readonly number[]): number {
  const { vocabularySize, hiddenSize, tiedEmbedding } = architecture;
  // Embedding and head are unpacked to float32 when the file is opened, however it stores them.
  const outer = 4 * vocabularySize * hiddenSize * (tiedEmbedding ? 1 : 2);
  return fixedBytes + bytes.reduce((sum, own) => sum + TIMES_HELD * own + outer, 0);
}
