/**
 * The errors that the library throws: one class for each thing that can be at fault, all with a message that a
 * person can act on and, where another error led to it, a `cause`.
 * @module
 */

/** Messages carry names out of files; longer ones than this are cut. */
const LONGEST_MESSAGE = 1000;

/** Controls, line breaks, changes of writing direction, halves of characters: in a terminal they do harm. */
const UNPRINTABLE =
  // deno-lint-ignore no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu;

/** A message as one line of text, whatever a hostile file put into it. */
function onOneLine(message: string): string {
  // Reasons that other libraries give may end a sentence that goes on in ours.
  const text = message.slice(0, 1 << 20).replace(/[\s.:]+$/, "").replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  if (text.length <= LONGEST_MESSAGE) return text;
  const half = LONGEST_MESSAGE / 2;
  return `${text.slice(0, half)}…${text.slice(1 - half)}`.toWellFormed();
}

/** The parent of every error that gprune throws on purpose. */
export class GpruneError extends Error {
  /**
   * Makes the error.
   *
   * @param message What is wrong and what to do, in one sentence
   * @param options The `cause`, where another error led to this one
   */
  constructor(message: string, options?: ErrorOptions) {
    super(onOneLine(message), options);
    this.name = new.target.name;
  }
}

/** A model folder, file or hub repository cannot be used. */
export class ModelError extends GpruneError {}
/** A text cannot be read, or is too short to be cut into windows. */
export class TextError extends GpruneError {}
/** An option's value, or a combination of options, makes no sense. */
export class OptionError extends GpruneError {}
/** The engine that runs the model failed or is missing. */
export class EngineError extends GpruneError {}
/** The graphics card failed: lost, out of memory, a limit too small, wrong numbers. The processor may still do it. */
export class GraphicsError extends EngineError {}
/** What a failed graphics card held is lost and must be made again; the engine goes on without the card. */
export class StateLostError extends GraphicsError {}
/** Statistics are damaged, or belong to another model. */
export class StatisticsError extends GpruneError {}
/** A plan is damaged, cannot be reached, or belongs to another model. */
export class PlanError extends GpruneError {}
/** A result cannot be written, or the format cannot hold it. */
export class ExportError extends GpruneError {}
/** The work was cancelled through its `AbortSignal`. */
export class CancelledError extends GpruneError {}
