/**
 * How a session starts, besides on which model.
 * @module
 */

/** What the command line says of the start, and of the form for writing. */
export interface LiveStart {
  /** Whether the questions come first. */
  readonly asks: boolean;
  /** The folder to write to. */
  readonly folder?: string;
  /** The formats to write; `hf` if absent. */
  readonly formats?: readonly string[];
  /** How the numbers of `hf` are stored. */
  readonly dataType?: string;
  /** How those of other formats are quantised. */
  readonly quantize?: readonly string[];
}
