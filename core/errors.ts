/**
 * The errors that the library throws: one class for each thing that can be at fault, all with a message that a
 * person can act on and, where another error led to it, a `cause`.
 * @module
 */

/** The parent of every error that gprune throws on purpose. */
export class GpruneError extends Error {
  /**
   * Makes the error.
   *
   * @param message What is wrong and what to do, in one sentence
   * @param options The `cause`, where another error led to this one
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
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
