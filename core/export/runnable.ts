/**
 * What a file of another format must be able to do once it is written: to be measured.
 * @module
 */
import type { EvaluationText } from "../evaluate/perplexity.ts";
import type { FileSpeed } from "../evaluate/report.ts";
import type { Engine } from "../engine/types.ts";
import type { WorkOptions } from "../progress.ts";

/** What measuring perplexity takes besides texts. */
export interface FileMeasurement extends WorkOptions {
  /** gprune's own engine, for formats whose weights it runs itself. */
  readonly engine: Engine;
  /** Shown with progress, such as `dense onnx q4`. */
  readonly label: string;
}

/** A file that was written and is open. */
export interface RunnableFile {
  /**
   * Perplexity of the file itself on texts.
   *
   * @returns One number per text
   */
  perplexity(
    texts: readonly EvaluationText[],
    options: FileMeasurement,
  ): Promise<readonly number[]>;
  /** Times a prompt and a continuation once; absent where gprune has no runtime for the format. */
  speed?(): Promise<FileSpeed>;
  /** Frees what it holds. */
  close(): Promise<void>;
}
