/**
 * What files in other formats cost and give, as a table.
 * @module
 */
import type { Report } from "../../core/evaluate/report.ts";
import { type Step, stepsOf } from "../../core/evaluate/steps.ts";
import { formatBytes, formatCount, formatFigure, missing, wrap } from "../format.ts";
import { type Column, renderTable, type Row } from "../layout.ts";

/**
 * Draws what each step costs: the dense model and its files, then the pruned model and its files.
 *
 * @param report The report
 * @param width Columns of the terminal
 * @returns A heading and a table, or an empty text where there is no file in another format
 */
export function filesTable(report: Report, width: number): string {
  const steps = stepsOf(report);
  if (steps.length === 0) return "";
  const measured = steps.some(({ perplexity }) => perplexity !== undefined);
  const timed = steps.find(({ speed }) => speed !== undefined)?.speed;
  const shown = (when: boolean, heading: string): readonly Column[] =>
    when ? [{ heading, align: "right" }] : [];
  const columns: readonly Column[] = [
    { heading: "Model", align: "left", shrinks: true },
    { heading: "Size", align: "right" },
    ...shown(measured, "Perplexity"),
    ...shown(measured, "Ratio"),
    ...shown(timed !== undefined, "Prefill/s"),
    ...shown(timed !== undefined, "Decode/s"),
  ];
  const rows = steps.flatMap((step, at): Row[] => {
    const row = columns.map(({ heading }) => cells[heading](step));
    return at > 0 && step.which !== steps[at - 1].which ? ["rule", row] : [row];
  });
  const means = measured ? "; perplexity is the geometric mean over the texts" : "";
  const speeds = timed === undefined
    ? ""
    : `; tokens per second in ONNX Runtime, of a prompt of ${
      formatCount(timed.promptTokens)
    } tokens and of those that follow one by one`;
  const heading = wrap(`What each step costs${means}${speeds}`, Math.min(width, 80));
  return `${heading}\n\n${renderTable(columns, rows, width)}`;
}

const cells: Readonly<Record<string, (step: Step) => string>> = {
  Model: ({ which, file }) => file === undefined ? which : `${which}, ${file}`,
  Size: ({ bytes }) => formatBytes(bytes),
  Perplexity: ({ perplexity }) => formatFigure(perplexity),
  Ratio: ({ ratio }) => formatFigure(ratio),
  "Prefill/s": ({ speed }) =>
    speed === undefined ? missing : formatCount(speed.prefillTokensPerSecond),
  "Decode/s": ({ speed }) =>
    speed === undefined ? missing : formatCount(speed.decodeTokensPerSecond),
};
