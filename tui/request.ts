/**
 * From options of the command line to what a plan is asked for.
 * @module
 */
import { exportTargets } from "../core/export/formats.ts";
import type { NamedPath, OutputOptions, RequestOptions } from "../core/session/types.ts";
import { nearest } from "./suggest.ts";
import { UsageError } from "./values.ts";

/** The options about pruning, under the names that commander gives them. */
export type PruningWords = Omit<RequestOptions, "protectedLayers"> & {
  /** `--protect` */
  readonly protect?: readonly number[];
};

/**
 * Collects what a plan is asked for, and refuses what contradicts itself.
 *
 * @param words The options
 * @returns The request; what the user left out is left out
 * @throws {UsageError} if options contradict each other
 */
export function requestOf(words: PruningWords): RequestOptions {
  const { method, metric } = words;
  if (metric !== undefined && method !== undefined && method !== "gprune") {
    throw new UsageError(
      `--metric '${metric}' goes with --method gprune alone, since ${method} has its own; leave one of them out`,
    );
  }
  return {
    method,
    metric,
    sparsity: words.sparsity,
    structures: words.structures,
    shape: words.shape,
    refit: words.refit,
    modules: words.modules,
    multiple: words.multiple,
    switch: words.switch,
    scoreDomains: words.scoreDomains,
    objective: words.objective,
    protectedLayers: words.protect,
  };
}

/** The options about the output, under the names that commander gives them. */
export interface OutputWords {
  /** `--format` */
  readonly format?: readonly string[];
  /** `--quantize` */
  readonly quantize?: readonly string[];
  /** `--dtype` */
  readonly dtype?: OutputOptions["dataType"];
  /** `--zero-pad` */
  readonly zeroPad?: boolean;
}

/**
 * Collects what is to be written, and refuses what no format can do, before any work begins.
 *
 * @param words The options
 * @returns The options of a job
 * @throws {OptionError} if a format is not to be had, or none of those asked for has a quantisation
 * @throws {UsageError} if `--dtype` or `--zero-pad` has nothing to say
 */
export function outputOf(
  { format, quantize, dtype, zeroPad }: OutputWords,
): Pick<OutputOptions, "formats" | "quantize" | "dataType" | "zeroPad"> {
  const targets = exportTargets(format, quantize);
  if (dtype !== undefined && targets.every((target) => target.format !== "hf")) {
    throw new UsageError(
      `--dtype '${dtype}' is of --format hf alone; use --quantize for ${format?.join(" and ")}`,
    );
  }
  if (zeroPad && targets.every((target) => target.format !== "hf")) {
    throw new UsageError(
      `--zero-pad is of --format hf alone; ${
        format?.join(" and ")
      } holds layers of different sizes as they are`,
    );
  }
  return { formats: format, quantize, dataType: dtype, zeroPad };
}

/**
 * Refuses score domains that are no calibration domains. Where the calibration texts are not given on the same command
 * line, the library knows better.
 *
 * @param scoreDomains `--score-domains`
 * @param calibration `--calib`
 * @param self Whether `self` is a domain
 * @throws {UsageError} if a name is unknown
 */
export function checkScoreDomains(
  scoreDomains: readonly string[] | undefined,
  calibration: readonly NamedPath[] | undefined,
  self: boolean,
): void {
  if (scoreDomains === undefined || calibration === undefined) return;
  const names = [...calibration.map((text) => text.name), ...(self ? ["self"] : [])];
  const unknown = scoreDomains.find((name) => !names.includes(name));
  if (unknown === undefined) return;
  const meant = nearest(unknown, names);
  const hint = meant === undefined ? "" : `; did you mean '${meant}'?`;
  throw new UsageError(
    `--score-domains '${unknown}' is none of the calibration domains ${names.join(", ")}${hint}`,
  );
}
