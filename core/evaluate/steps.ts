/**
 * What each step costs: the dense model, its files in other formats, the pruned model, and its files.
 * @module
 */
import type { ExportRow, FilePerplexity, FileSpeed, PerplexityRow, Report } from "./report.ts";

/** One model or file. */
export interface Step {
  /** `dense` or `pruned`. */
  readonly which: "dense" | "pruned";
  /** Format and quantisation, such as `onnx q4`; absent for the model itself. */
  readonly file?: string;
  /** Bytes on the disk. */
  readonly bytes: number;
  /** Geometric mean of its perplexities; absent where it was not measured. */
  readonly perplexity?: number;
  /** That over the dense model's. */
  readonly ratio?: number;
  /** Tokens per second of the file in its runtime, where it was measured. */
  readonly speed?: FileSpeed;
}

/**
 * Lists the steps of a report that has files in other formats.
 *
 * @param report The report
 * @returns Dense model and files, then pruned; none where there is no file in another format
 */
export function stepsOf(report: Report): readonly Step[] {
  const { exports = [], perplexity, result } = report;
  if (exports.length === 0) return [];
  const dense = mean(perplexity.map((row) => row.dense));
  const step = (
    which: Step["which"],
    bytes: number,
    values: readonly (number | undefined)[],
    rest: Pick<Step, "file" | "speed"> = {},
  ): Step => {
    const own = mean(values);
    return {
      which,
      bytes,
      ...rest,
      ...(own === undefined ? {} : { perplexity: own, ratio: own / dense! }),
    };
  };
  const files = (which: Step["which"]) =>
    exports.flatMap((row) => {
      const bytes = row.bytes[which];
      if (bytes === undefined) return [];
      const values = perplexity.map((text) => fileOf(text, row)?.[which]);
      return [step(which, bytes, values, { file: fileName(row), speed: row.speed?.[which] })];
    });
  const pruned = report.request.sparsity !== undefined ||
    perplexity.some((row) => row.pruned !== undefined);
  return [
    step("dense", result.bytes.before, perplexity.map((row) => row.dense)),
    ...files("dense"),
    ...(pruned ? [step("pruned", result.bytes.after, perplexity.map((row) => row.pruned))] : []),
    ...files("pruned"),
  ];
}

/**
 * What a file is called in tables.
 *
 * @param file Format and quantisation
 * @returns `onnx q4`, and `onnx f32` for float32
 */
export function fileName({ format, quantize }: Pick<ExportRow, "format" | "quantize">): string {
  return `${format} ${quantize === "none" ? "f32" : quantize}`;
}

/**
 * What a text's row says of a file.
 *
 * @param text The row
 * @param file Format and quantisation
 * @returns Its perplexities, if it was measured
 */
export function fileOf(
  text: PerplexityRow,
  { format, quantize }: Pick<ExportRow, "format" | "quantize">,
): FilePerplexity | undefined {
  return text.files?.find((file) => file.format === format && file.quantize === quantize);
}

function mean(values: readonly (number | undefined)[]): number | undefined {
  if (values.length === 0 || values.includes(undefined)) return undefined;
  const logarithms = values.map((value) => Math.log(value!));
  return Math.exp(logarithms.reduce((sum, value) => sum + value, 0) / values.length);
}
