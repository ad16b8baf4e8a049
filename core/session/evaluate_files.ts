/**
 * Evaluating a folder whose weights are in ONNX files alone.
 * @module
 */
import { join } from "@std/path";
import { openEngine } from "../engine/open.ts";
import { OptionError } from "../errors.ts";
import type { Report } from "../evaluate/report.ts";
import { exportFormats } from "../export/formats.ts";
import type { OnnxFolder } from "../export/onnx/folder.ts";
import { evaluationDomains, windowLength } from "../text/texts.ts";
import { evaluationTexts, perplexityRows } from "./evaluation.ts";
import { bytesOf, measureExports } from "./exports.ts";
import { wholeFilesBytes } from "./memory/whole_files.ts";
import { makeReport, type ReportStage } from "./report.ts";
import { MemoryPeak, Stopwatch } from "./setup.ts";
import type { EvaluateOptions } from "./types.ts";

/**
 * Measures perplexity, speed and size of ONNX files.
 *
 * @param folder The folder and its files
 * @param options Texts and windows; multiple choice needs weights that gprune's engine runs, and is left out
 * @returns A report whose `dense` values are those of the first file
 * @throws {GpruneError} if anything cannot be done
 */
export async function evaluateFiles(
  { model, targets }: OnnxFolder,
  options: EvaluateOptions,
): Promise<Report> {
  for (const { format, quantize } of targets) {
    const file = exportFormats[format].file(model.name, quantize);
    const bytes = await bytesOf(join(model.folder, file));
    const needed = wholeFilesBytes(model.architecture, [bytes]);
    if (needed <= (options.memory ?? Infinity)) continue;
    throw new OptionError(
      `Cannot keep to ${options.memory} bytes of memory: '${file}' takes ${needed} bytes in ONNX Runtime, which holds it whole; give more --memory`,
    );
  }
  const engine = await openEngine("onnx");
  const watch = new Stopwatch<ReportStage>();
  const first = exportFormats.onnx.file(model.name, targets[0].quantize);
  const notes = [
    `The folder holds ONNX files alone: perplexity and speed are those of '${first}', without multiple choice`,
  ];
  try {
    const { evalWindows, seed = 0 } = options;
    const seqLen = windowLength(model, options.seqLen);
    const domains = await evaluationDomains(options.evaluation);
    const texts = await evaluationTexts(model, domains, seqLen, evalWindows);
    const { rows, perplexity } = await watch.time("evaluate", () =>
      measureExports({
        ...options,
        engine,
        name: model.name,
        targets,
        directory: model.folder,
        dense: model,
        texts,
        onNote: (message) => notes.push(message),
      }));
    return makeReport({
      engine,
      model,
      pruned: model,
      request: { seed, seqLen, evalWindows: evalWindows ?? "all" },
      perplexity: perplexityRows(
        texts,
        perplexity.map(([file]) => file?.dense ?? NaN),
        undefined,
        [],
        perplexity,
      ),
      exports: rows,
      speed: {
        denseTokensPerSecond: rows[0].speed?.dense.prefillTokensPerSecond ?? 0,
        prunedTokensPerSecond: 0,
      },
      watch,
      memory: new MemoryPeak(),
      files: [],
      notes,
    });
  } finally {
    await engine.close();
  }
}
