/**
 * What the files of an ONNX export are called.
 * @module
 */

/** How the numbers of an ONNX file are stored; `none` is float32. */
export type OnnxQuantization = "none" | "f16" | "q8" | "q4";

/** The path of the decoder in its folder for each quantisation, with the suffixes of transformers.js. */
export const onnxFiles: Readonly<Record<OnnxQuantization, string>> = {
  none: "onnx/model.onnx",
  f16: "onnx/model_fp16.onnx",
  q8: "onnx/model_quantized.onnx",
  q4: "onnx/model_q4.onnx",
};
