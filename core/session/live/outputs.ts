/**
 * What can be written from a session.
 * @module
 */
import { exportFormats, type FormatName, formatNames } from "../../export/formats.ts";

/** A format, and how its numbers can be stored. */
export interface Output {
  /** The name, as in `--format`. */
  readonly format: FormatName;
  /** The option that says how numbers are stored. */
  readonly option: "--dtype" | "--quantize";
  /** Its values, the default first. */
  readonly storages: readonly string[];
}

/** How the numbers of the Hugging Face layout can be stored. */
const dataTypes = ["keep", "f32", "f16", "bf16"] as const;

/**
 * The formats that this version writes.
 *
 * @returns Formats, `hf` first
 */
export function outputs(): readonly Output[] {
  return formatNames.filter((format) => exportFormats[format].available).map((format) =>
    format === "hf"
      ? { format, option: "--dtype", storages: dataTypes }
      : { format, option: "--quantize", storages: exportFormats[format].quantizations }
  );
}
