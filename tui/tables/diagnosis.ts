/**
 * What `gprune doctor` found, as a person reads it.
 * @module
 */
import type { EngineDescriptions } from "../../core/engine/describe.ts";
import { formatBytes, missing } from "../format.ts";
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

function enginesTable({ onnx, webgpu }: EngineDescriptions, width: number): string {
  const { limits } = webgpu;
  const table = renderTable(
    [
      { heading: "Engine", align: "left" },
      { heading: "Found", align: "left" },
      { heading: "Runs on", align: "left", shrinks: true },
    ],
    [
      ["onnx", onnx.available ? "yes" : "no", onnx.available ? "cpu" : missing],
      ["webgpu", webgpu.available ? "yes" : "no", webgpu.adapter ?? missing],
    ],
    width,
  );
  const others = onnx.providers.filter((provider) => provider !== "cpu").join(", ");
  const runtime =
    `ONNX Runtime ${onnx.version ?? "of an unknown version"}, ${onnx.threads} threads` +
    (others === "" ? "" : ` (its binary also knows ${others}, which gprune does not use)`);
  const details = renderEntries([
    ["onnx", onnx.problem ?? runtime],
    ["webgpu", webgpu.problem],
    [
      webgpu.problem === undefined ? "webgpu" : "",
      limits === undefined
        ? undefined
        : `bindings up to ${formatBytes(limits.maxStorageBufferBindingSize)}, buffers up to ${
          formatBytes(limits.maxBufferSize)
        }, shader-f16 ${webgpu.features.includes("shader-f16") ? "yes" : "no"}`,
    ],
    ["", "the webgpu engine itself is not in this version yet"],
  ], width);
  return `${table}\n\n${details}`;
}
