/**
 * What a kernel is to the rest of the engine.
 * @module
 */

/** A kernel that is not compiled yet: its code, under a name that is the same for the same code alone. */
export interface Kernel {
  /** Its name and specialisation. */
  readonly key: string;
  /** Its WGSL; asked for once. */
  readonly code: () => string;
}
