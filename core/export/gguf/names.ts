/**
 * What GGUF files are called, and the ways in which their numbers can be stored.
 * @module
 */

/** How the numbers of a GGUF file are stored: the kind that most tensors have. */
export type GgufQuantization = "f32" | "f16" | "q8_0" | "q4_0";

/**
 * The name of a model's file.
 *
 * @param name The model's name
 * @param quantize How its numbers are stored
 * @returns Such as `tiny-0.3-q8_0.gguf`
 */
export function ggufFileName(name: string, quantize: string): string {
  return `${name}-${quantize}.gguf`;
}
