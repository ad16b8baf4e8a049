/**
 * What `gprune doctor` found, as a person reads it.
 * @module
 */
import type { EngineDescriptions, WebGpuDescription } from "../../core/engine/describe.ts";
import { formatBytes, formatCount, missing } from "../format.ts";
import { joinBlocks, renderEntries, renderTable } from "../layout.ts";

/** What there is, and what to install. */
export interface Diagnosis {
  /** Name and version of the format. */
  readonly schema: "gprune.doctor/1";
  /** Versions by program. */
  readonly versions: Readonly<Record<string, string>>;
  /** The system and its processor. */
  readonly system: string;
  /** Every engine, found or not. */
  readonly engines: EngineDescriptions;
  /** Bytes of memory. */
  readonly memory: { readonly total: number; readonly available: number };
  /** Where models of the hub are kept, or why nowhere. */
  readonly cache: string;
  /** Whether the embedded model is there, or why not. */
  readonly embedded: { readonly found: boolean; readonly message: string };
  /** What to do, one sentence each; empty when all is well. */
  readonly advice: readonly string[];
}

/**
 * Draws a diagnosis.
 *
 * @param diagnosis The diagnosis
 * @param width Columns of the terminal
 * @returns Text that ends with a line break
 */
export function diagnosisText(diagnosis: Diagnosis, width: number): string {
  const { versions, system, engines, memory, cache, embedded, advice } = diagnosis;
  return joinBlocks([
    renderEntries([
      ...Object.entries(versions),
      ["System", system],
      ["Memory", `${formatBytes(memory.total)}, ${formatBytes(memory.available)} of it free`],
      ["Downloads", cache],
      ["Embedded model", embedded.found ? embedded.message : `missing: ${embedded.message}`],
    ], width),
    enginesTable(engines, width),
    advice.length === 0
      ? "All is well: nothing to install."
      : renderEntries(advice.map((each) => ["To do", each] as const), width),
  ]);
}

function enginesTable({ onnx, webgpu, auto }: EngineDescriptions, width: number): string {
  const table = renderTable(
    [
      { heading: "Engine", align: "left" },
      { heading: "Found", align: "left" },
      { heading: "Auto", align: "left" },
      { heading: "Runs on", align: "left", shrinks: true },
    ],
    [
      [
        "onnx",
        onnx.available ? "yes" : "no",
        auto === "onnx" ? "yes" : "",
        onnx.available ? "cpu" : missing,
      ],
      [
        "webgpu",
        webgpu.available ? "yes" : webgpu.isFallback ? "software" : "no",
        auto === "webgpu" ? "yes" : "",
        webgpu.adapter ?? missing,
      ],
    ],
    width,
  );
  const others = onnx.providers.filter((provider) => provider !== "cpu").join(", ");
  const runtime =
    `ONNX Runtime ${onnx.version ?? "of an unknown version"}, ${onnx.threads} threads` +
    (others === "" ? "" : ` (its binary also knows ${others}, which gprune does not use)`);
  const details = renderEntries([
    ["onnx", onnx.problem ?? runtime],
    ...cardLines(webgpu).map((line, index) => [index === 0 ? "webgpu" : "", line] as const),
  ], width);
  return `${table}\n\n${details}`;
}

/** What there is to say about the graphics card, line by line. */
function cardLines({ adapters, limits, features, trial, problem }: WebGpuDescription): string[] {
  const lines = problem === undefined ? [] : [problem];
  if (adapters.length > 0) {
    const names = adapters.map(({ name, isFallback }) => isFallback ? `${name} (software)` : name);
    lines.push(`adapters: ${names.join(", ")}`);
  }
  if (limits !== undefined) {
    const { maxComputeWorkgroupStorageSize: shared, maxComputeInvocationsPerWorkgroup: threads } =
      limits;
    lines.push(
      `bindings up to ${formatBytes(limits.maxStorageBufferBindingSize)}, buffers up to ${
        formatBytes(limits.maxBufferSize)
      }, workgroups of ${threads} threads that share ${formatBytes(shared)}`,
    );
  }
  const optional = ["shader-f16", "timestamp-query"].filter((name) => features.includes(name));
  if (limits !== undefined) {
    lines.push(`features: ${optional.length === 0 ? "none that help" : optional.join(", ")}`);
  }
  if (trial !== undefined) {
    const { tokensPerSecond, referenceTokensPerSecond } = trial;
    lines.push(
      `trial: ${formatCount(Math.round(tokensPerSecond))} tokens per second through a block, ${
        formatRatio(tokensPerSecond / referenceTokensPerSecond)
      } times the processor's ${
        formatCount(Math.round(referenceTokensPerSecond))
      }, with the same numbers`,
    );
  }
  return lines;
}

function formatRatio(ratio: number): string {
  return ratio >= 10 ? ratio.toFixed(0) : ratio >= 1 ? ratio.toFixed(1) : ratio.toPrecision(1);
}
